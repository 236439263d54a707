import { firstIdAt } from '../../model/id.ts';
import type { Id } from '../../model/id.ts';
import type { Store } from '../store.ts';
import type { Connections } from './connections.ts';
import { listPartitions } from './partitions.ts';
import { sweeping } from './prune-locks.ts';
import { rangesOf } from './prune-partitions.ts';
import { inPasses } from './prune-passes.ts';
import type { Present } from './prune-passes.ts';
import { deleteThose } from './prune-rows.ts';
import { dropWhenFree } from './prune.ts';

type Request = Parameters<Store['prunePayloads']>[0];

/** A day of which too many payloads stay to be dropped is walked through again after so long. */
const LOOK_AGAIN_MS = 6 * 3_600_000;
const PAYLOADS_AT_ONCE = 1_000;
/** How much later than its acceptance an event's id may be dated. */
const SLACK_MS = 3 * 3_600_000;

interface PayloadSource {
  table: 'payloads' | 'payloads_default';
  from: Id;
  to: Id;
}

/**
 * The end of retention of payloads, where it is shorter than that of history: a day's partition is dropped once the whole
 * day is past it. What has an open delivery stays.
 */
export function createPrunePayloads(connections: Connections): Store['prunePayloads'] {
  /** When each range was last walked through to its end, by its begin; on the clock of `performance`. */
  const walkedAt = new Map<Id, number>();

  async function* pass(present: Present<Request>): AsyncGenerator<number, void> {
    const partitions = (await listPartitions(connections)).filter(({ table }) => table === 'payloads');
    for (const range of rangesOf(partitions)) {
      const { from, to } = range;
      if (to > firstIdAt(present.request.before)) break;
      if (performance.now() - (walkedAt.get(from) ?? Number.NEGATIVE_INFINITY) < LOOK_AGAIN_MS) continue;
      const outcome = await dropWhenFree(connections, range);
      if (outcome.kind === 'dropped') yield outcome.rows;
      if (outcome.kind !== 'many') continue;
      yield* walk({ table: 'payloads', from, to }, present);
      walkedAt.set(from, performance.now());
    }
    yield* walk({ table: 'payloads_default', from: '', to: '~' }, present);
  }

  /** Deletes payloads one by one, a slice at each step. */
  async function* walk(source: PayloadSource, present: Present<Request>): AsyncGenerator<number, void> {
    for (let after: readonly [tenantId: string, eventId: Id] | null = ['', '']; after;) {
      const slice: Slice = await pruneSlice(connections, source, after, present);
      yield slice.deleted;
      after = slice.after;
    }
  }

  return inPasses(pass);
}

interface Slice {
  deleted: number;
  /** Null at the end. */
  after: readonly [tenantId: string, eventId: Id] | null;
}

function pruneSlice(
  connections: Connections,
  { table, from, to }: PayloadSource,
  [tenantId, eventId]: readonly [string, Id],
  { request, room }: Present<Request>,
): Promise<Slice> {
  return sweeping(connections, async (run) => {
    const youngest = firstIdAt(request.before + SLACK_MS);
    const { rows } = await run<{ tenant_id: string; event_id: Id; stays: boolean }>({
      sql: `SELECT p.tenant_id, p.event_id, e.fan_out_after IS NOT NULL OR (SELECT true FROM posthorn.open_deliveries o
              WHERE o.tenant_id = p.tenant_id AND o.event_id = p.event_id LIMIT 1) IS NOT NULL OR (SELECT true FROM posthorn.flights f
              WHERE f.tenant_id = p.tenant_id AND f.event_id = p.event_id LIMIT 1) IS NOT NULL AS stays
            FROM posthorn.${table} p LEFT JOIN LATERAL (
              SELECT e.created_at, e.fan_out_after FROM posthorn.events e
              WHERE e.tenant_id = p.tenant_id AND e.id = p.event_id LIMIT 1) e ON true
            WHERE (p.tenant_id, p.event_id) > ($1, $2) AND p.event_id >= $3 AND p.event_id < $4
              AND coalesce(e.created_at, 0) < $5::bigint
            ORDER BY p.tenant_id, p.event_id LIMIT ${PAYLOADS_AT_ONCE}`,
      parameters: [tenantId, eventId, from, to < youngest ? to : youngest, Math.floor(request.before)],
    });
    const going = new Map<string, Id[]>();
    let deleted = 0;
    let looked = 0;
    for (; looked < rows.length && deleted < room; looked++) {
      const row = rows[looked]!;
      if (row.stays) continue;
      const ids = going.get(row.tenant_id);
      if (ids) ids.push(row.event_id);
      else going.set(row.tenant_id, [row.event_id]);
      deleted += 1;
    }
    for (const [whose, ids] of going) await deleteThose(run, table, 'event_id', whose, ids);
    const last = rows[looked - 1];
    const isEnd = !last || (looked === rows.length && rows.length < PAYLOADS_AT_ONCE);
    return { deleted, after: isEnd ? null : [last.tenant_id, last.event_id] };
  });
}
