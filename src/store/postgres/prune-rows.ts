import type { Id } from '../../model/id.ts';
import type { Connections, Run } from './connections.ts';
import { sweeping } from './prune-locks.ts';

/** Events and deliveries deleted in one transaction. */
const MAX_ROWS = 2_000;
const EVENTS_AT_ONCE = 200;
const TENANTS_AT_ONCE = 500;

/** Where events are deleted one by one: in a stretch of time, or in the default partition. */
export interface EventSource {
  table: 'events' | 'events_default';
  from: Id;
  to: Id;
}

/** The default partition, from before the first id to behind the last. */
export const defaultEvents: EventSource = { table: 'events_default', from: '', to: '~' };

/** Before when (epoch ms) events of a tenant go; null = they stay. Asked anew for every slice. */
export type LimitOf = (tenantId: string) => number | null;

export interface RowPruneOptions {
  connections: Connections;
  source: EventSource;
  limitOf: LimitOf;
  /** Events that may go in the next slice. */
  room: () => number;
  /** Only these tenants; null = whoever has events there. */
  tenants: readonly string[] | null;
}

/**
 * Deletes old events with all that hangs on them, a slice at each step; yields the number of events that went. Returns
 * whether some stayed though they are old: they have an open delivery, or their fan-out goes on.
 */
export async function* pruneRows(options: RowPruneOptions): AsyncGenerator<number, boolean> {
  let someStay = false;
  for await (const page of pagesOf(options)) {
    for (const tenantId of await withOldEvents(options, page)) {
      for (let after = ''; ;) {
        const before = options.limitOf(tenantId);
        if (before === null) break;
        const slice = await pruneSlice(options, tenantId, after, before);
        someStay ||= slice.someStay;
        yield slice.deleted;
        if (slice.isEnd) break;
        after = slice.after;
      }
    }
  }
  return someStay;
}

async function* pagesOf(options: RowPruneOptions): AsyncGenerator<string[]> {
  const { connections, source, tenants } = options;
  for (let i = 0; tenants && i < tenants.length; i += TENANTS_AT_ONCE) yield tenants.slice(i, i + TENANTS_AT_ONCE);
  for (let after = ''; !tenants;) {
    const { rows } = await connections.query<{ tenant_id: string }>({
      sql: nextTenants(source.table),
      parameters: [source.from, source.to, after],
    });
    if (rows.length === 0) return;
    yield rows.map((row) => row.tenant_id);
    after = rows.at(-1)!.tenant_id;
  }
}

/** One seek a tenant, however many events each has. */
function nextTenants(table: EventSource['table']): string {
  const next = (than: string) => `SELECT e.tenant_id FROM posthorn.${table} e
    WHERE e.tenant_id > ${than} AND e.id >= $1 AND e.id < $2 ORDER BY e.tenant_id LIMIT 1`;
  return `WITH RECURSIVE found(tenant_id, n) AS (
      SELECT first.tenant_id, 1 FROM (${next('$3')}) first
      UNION ALL
      SELECT next.tenant_id, found.n + 1 FROM found CROSS JOIN LATERAL (${next('found.tenant_id')}) next
      WHERE found.n < ${TENANTS_AT_ONCE}
    ) SELECT tenant_id FROM found ORDER BY n`;
}

/** Ids are in the order of acceptance: where the first event is young, all are. */
async function withOldEvents({ connections, source, limitOf }: RowPruneOptions, page: string[]): Promise<string[]> {
  const limits = page.flatMap((tenantId) => {
    const before = limitOf(tenantId);
    return before === null ? [] : [{ tenantId, before }];
  });
  if (limits.length === 0) return [];
  const { rows } = await connections.query<{ tenant_id: string }>({
    sql: `SELECT t.tenant_id FROM unnest($3::text[], $4::bigint[]) AS t(tenant_id, before)
          WHERE (SELECT e.created_at FROM posthorn.${source.table} e
            WHERE e.tenant_id = t.tenant_id AND e.id >= $1 AND e.id < $2 ORDER BY e.id LIMIT 1) < t.before`,
    parameters: [
      source.from,
      source.to,
      limits.map(({ tenantId }) => tenantId),
      limits.map(({ before }) => Math.floor(before)),
    ],
  });
  return rows.map((row) => row.tenant_id);
}

interface Slice {
  deleted: number;
  someStay: boolean;
  /** Everything of the tenant up to here was looked at. */
  after: Id;
  isEnd: boolean;
}

function pruneSlice(options: RowPruneOptions, tenantId: string, after: Id, before: number): Promise<Slice> {
  const { connections, source, room } = options;
  return sweeping(connections, async (run) => {
    const { rows } = await run<{ id: Id; created_at: number; stays: boolean }>({
      // Scalar queries, which are asked row by row: an EXISTS may be turned into a look at the whole table.
      sql: `SELECT e.id, e.created_at, e.fan_out_after IS NOT NULL OR (SELECT true FROM posthorn.open_deliveries o
              WHERE o.tenant_id = e.tenant_id AND o.event_id = e.id LIMIT 1) IS NOT NULL OR (SELECT true FROM posthorn.flights f
              WHERE f.tenant_id = e.tenant_id AND f.event_id = e.id LIMIT 1) IS NOT NULL AS stays
            FROM posthorn.${source.table} e
            WHERE e.tenant_id = $1 AND e.id > $2 AND e.id >= $3 AND e.id < $4 ORDER BY e.id LIMIT ${EVENTS_AT_ONCE}`,
      parameters: [tenantId, after, source.from, source.to],
    });
    const young = rows.findIndex((row) => row.created_at >= before);
    const old = young === -1 ? rows : rows.slice(0, young);
    const going: Id[] = [];
    let looked = 0;
    for (; looked < old.length && going.length < room(); looked++) if (!old[looked]!.stays) going.push(old[looked]!.id);
    const isGone = going.length === 0 || (await forget(run, source, tenantId, going));
    if (!isGone) return { deleted: 0, someStay: false, after, isEnd: false };
    return {
      deleted: going.length,
      someStay: going.length < looked,
      after: looked === 0 ? after : old[looked - 1]!.id,
      isEnd: looked === old.length && old.length < EVENTS_AT_ONCE,
    };
  });
}

/** Deletes events with all that hangs on them; false where their deliveries are so many that only some of them went. */
async function forget(run: Run, { table, from }: EventSource, tenantId: string, events: Id[]): Promise<boolean> {
  const { rows } = await run<{ id: Id }>({
    sql: `SELECT id FROM posthorn.ended_deliveries
          WHERE tenant_id = $1 AND event_id = ANY ($2::text[]) AND id >= $3 LIMIT ${MAX_ROWS}`,
    parameters: [tenantId, events, from],
  });
  const deliveries = rows.map(({ id }) => id);
  await deleteThose(run, 'attempts', 'delivery_id', tenantId, deliveries);
  await deleteThose(run, 'ended_deliveries', 'id', tenantId, deliveries);
  if (deliveries.length === MAX_ROWS) return false;
  await deleteThose(run, 'dedupe', 'event_id', tenantId, events);
  await deleteThose(run, 'payloads', 'event_id', tenantId, events);
  await deleteThose(run, table, 'id', tenantId, events);
  return true;
}

/** With their bounds: so only the partitions that can hold them are looked at. */
export async function deleteThose(run: Run, table: string, key: string, tenantId: string, ids: Id[]): Promise<void> {
  if (ids.length === 0) return;
  const [first, last] = ids.reduce(
    ([low, high], id) => [id < low ? id : low, id > high ? id : high],
    [ids[0]!, ids[0]!],
  );
  await run({
    sql: `DELETE FROM posthorn.${table} WHERE tenant_id = $1 AND ${key} = ANY ($2::text[]) AND ${key} >= $3 AND ${key} <= $4`,
    parameters: [tenantId, ids, first, last],
  });
}
