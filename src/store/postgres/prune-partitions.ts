import { firstIdAt, timeOf } from '../../model/id.ts';
import type { Id } from '../../model/id.ts';
import type { Connections, Run } from './connections.ts';
import { isRepeatable, sqlState } from './failure.ts';
import { beginPartitionChange, partitionedTables, partitionKeys } from './partitions.ts';
import type { Partition, PartitionedTable } from './partitions.ts';
import { SweptElsewhere, sweeping } from './prune-locks.ts';

/** Longest wait for a table, on which all that comes behind waits too. */
const LOCK_MS = 100;
/** Events and deliveries that stay, at most, for a partition to be dropped around them: copying holds up traffic. */
const MAX_SURVIVORS = 5_000;
/** How much later than their event deliveries are made, mostly: those beyond midnight. */
const SLACK_MS = 3 * 3_600_000;
/** Rows of each table that stay, at most, for a day's partitions to be dissolved into the default ones. */
const MAX_REST = 1_000;
/** Rows of a partition are counted no further. */
const MAX_COUNTED = 100_000;
/** Not the owner; too many open deliveries for a statement's time. */
const NOT_AS_A_WHOLE = new Set(['42501', '57014']);
/** Another node dropped it since it was listed. */
const GONE = '42P01';

/** The partitions of one stretch of time, one or none of each table. */
export interface PartitionRange {
  from: Id;
  to: Id;
  partitions: Partition[];
}

/**
 * `many`: too much of it stays, or this role may not drop it: its rows are for deleting one by one.
 * `busy`: its tables are in use; the same again later.
 */
export type DropOutcome = { kind: 'dropped'; rows: number } | { kind: 'many' } | { kind: 'busy' };

/** Partitions gathered by their bounds, oldest first. */
export function rangesOf(partitions: readonly Partition[]): PartitionRange[] {
  const ranges = new Map<string, PartitionRange>();
  for (const partition of partitions) {
    const { from, to } = partition;
    const range = ranges.get(`${from} ${to}`) ?? { from, to, partitions: [] };
    range.partitions.push(partition);
    ranges.set(`${from} ${to}`, range);
  }
  return [...ranges.values()];
}

/** What stays when a partition goes: by tenant and id. */
interface Keys {
  tenantIds: string[];
  ids: Id[];
}

interface Survivors {
  /** With an open delivery, or a fan-out that is not finished. */
  events: Keys;
  /** Open and ended ones of such events. */
  deliveries: Keys;
}

/**
 * Drops the partitions of a range, each in a transaction of its own that first copies what stays to the default
 * partition: so each table is locked for milliseconds, and no such lock is waited for while another is held. Payloads go
 * first: without one nothing can be sent again, so from then on no more of the range can come to stay. A crash in between
 * leaves what the next call drops.
 * @returns `rows`: events that went, of large partitions about so many; payloads where the range has no partition of events
 * @throws SweptElsewhere, and what `pg` throws
 */
export async function dropRange(connections: Connections, range: PartitionRange): Promise<DropOutcome> {
  const [first, ...rest] = partitionedTables.flatMap((table) =>
    range.partitions.filter((partition) => partition.table === table),
  );
  if (!first) return { kind: 'dropped', rows: 0 };
  try {
    const counted = range.partitions.find(({ table }) => table === 'events') ?? first;
    const before = await countRows(connections, counted);
    const survivors = await sweeping(connections, async (run) => {
      const found = await survivorsOf(run, range);
      if (found) await drop(run, first, found);
      return found;
    });
    if (survivors === null) return { kind: 'many' };
    for (const partition of rest) await sweeping(connections, (run) => drop(run, partition, survivors));
    const stay = survivorsIn(counted.table, survivors).ids.filter((id) => id >= range.from && id < range.to);
    return { kind: 'dropped', rows: Math.max(0, before - stay.length) };
  } catch (error) {
    if (sqlState(error) === GONE) throw new SweptElsewhere();
    if (isRepeatable(error)) return { kind: 'busy' };
    if (NOT_AS_A_WHOLE.has(sqlState(error) ?? '')) return { kind: 'many' };
    throw error;
  }
}

/**
 * Moves the little that is left of a day into the default partitions, and drops its own: every partition costs every
 * statement on its table a look, for as long as the most patient tenant keeps its events. Does nothing where more is left,
 * or the tables are in use.
 * @throws SweptElsewhere, and what `pg` throws
 */
export async function dissolveRange(connections: Connections, { partitions }: PartitionRange): Promise<void> {
  try {
    for (const partition of partitions) if ((await countRows(connections, partition)) > MAX_REST) return;
    for (const partition of partitions) await sweeping(connections, (run) => drop(run, partition, 'everything'));
  } catch (error) {
    if (sqlState(error) === GONE) throw new SweptElsewhere();
    if (!isRepeatable(error) && !NOT_AS_A_WHOLE.has(sqlState(error) ?? '')) throw error;
  }
}

/** Counted, or for large ones what the server thinks: for the log a look at millions of rows would be too much. */
async function countRows(connections: Connections, { name }: Partition): Promise<number> {
  const { rows } = await connections.query<{ count: number; about: number }>({
    sql: `SELECT (SELECT count(*) FROM (SELECT FROM posthorn."${name}" LIMIT ${MAX_COUNTED}) counted) AS count,
            (SELECT reltuples::bigint FROM pg_class WHERE oid = 'posthorn."${name}"'::regclass) AS about`,
    parameters: [],
  });
  const { count, about } = rows[0]!;
  return count < MAX_COUNTED ? count : Math.max(count, about);
}

/** Null where they are too many. */
async function survivorsOf(run: Run, { from, to }: PartitionRange): Promise<Survivors | null> {
  const bounds = [from, to];
  // All open deliveries are looked at, once.
  await run({ sql: 'SET LOCAL enable_seqscan = on', parameters: [] });
  const { rows: open } = await run<{ tenant_id: string; id: Id; event_id: Id }>({
    sql: `SELECT tenant_id, id, event_id FROM (
            SELECT tenant_id, id, event_id FROM posthorn.open_deliveries UNION ALL
            SELECT tenant_id, id, event_id FROM posthorn.deliveries_in_flight) o
          WHERE (event_id >= $3 AND event_id < $2) OR (id >= $1 AND id < $2) LIMIT ${MAX_SURVIVORS + 1}`,
    parameters: [...bounds, firstIdAt(timeOf(from) - SLACK_MS)],
  });
  if (open.length > MAX_SURVIVORS) return null;
  const { rows: unfinished } = await run<{ tenant_id: string; id: Id }>({
    sql: `SELECT tenant_id, id FROM posthorn.events WHERE fan_out_after IS NOT NULL AND id >= $1 AND id < $2`,
    parameters: bounds,
  });
  const events = keysOf([...open.map((row) => ({ tenant_id: row.tenant_id, id: row.event_id })), ...unfinished]);
  const { rows: ended } = await run<{ tenant_id: string; id: Id }>({
    // Looked up event by event: a join could be a walk through the day.
    sql: `SELECT d.tenant_id, d.id FROM unnest($3::text[], $4::text[]) AS k(tenant_id, event_id) CROSS JOIN LATERAL (
            SELECT tenant_id, id FROM posthorn.ended_deliveries
            WHERE tenant_id = k.tenant_id AND event_id = k.event_id AND id >= $1 AND id < $2 LIMIT ${MAX_SURVIVORS + 1}) d
          LIMIT ${MAX_SURVIVORS + 1}`,
    parameters: [...bounds, events.tenantIds, events.ids],
  });
  const deliveries = keysOf([...open, ...ended]);
  return events.ids.length + deliveries.ids.length > MAX_SURVIVORS ? null : { events, deliveries };
}

function keysOf(rows: readonly { tenant_id: string; id: Id }[]): Keys {
  const unique = new Map(rows.map((row) => [`${row.tenant_id}\0${row.id}`, row]));
  return { tenantIds: [...unique.values()].map((row) => row.tenant_id), ids: [...unique.values()].map(({ id }) => id) };
}

async function drop(run: Run, { table, name }: Partition, survivors: Survivors | 'everything'): Promise<void> {
  const key = partitionKeys[table];
  await beginPartitionChange(run, LOCK_MS);
  // With the parent locked nobody comes to the partitions but a vacuum, which is not waited for. Detached first: while
  // the partition is attached, the default one takes none of its rows.
  await run({
    sql: `LOCK TABLE ONLY posthorn.${table} IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE posthorn."${name}", posthorn.${table}_default IN ACCESS EXCLUSIVE MODE NOWAIT;
            ALTER TABLE posthorn.${table} DETACH PARTITION posthorn."${name}"`,
    parameters: [],
  });
  if (survivors === 'everything') {
    await run({ sql: `INSERT INTO posthorn.${table} SELECT * FROM posthorn."${name}"`, parameters: [] });
  } else if (survivorsIn(table, survivors).ids.length > 0) {
    const { tenantIds, ids } = survivorsIn(table, survivors);
    await run({
      sql: `INSERT INTO posthorn.${table} SELECT gone.* FROM unnest($1::text[], $2::text[]) AS k(tenant_id, id)
              JOIN posthorn."${name}" gone ON gone.tenant_id = k.tenant_id AND gone.${key} = k.id`,
      parameters: [tenantIds, ids],
    });
  }
  await run({ sql: `DROP TABLE posthorn."${name}"`, parameters: [] });
}

function survivorsIn(table: PartitionedTable, { events, deliveries }: Survivors): Keys {
  return table === 'events' || table === 'payloads' ? events : deliveries;
}
