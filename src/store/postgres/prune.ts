import { setTimeout as wait } from 'node:timers/promises';
import { firstIdAt } from '../../model/id.ts';
import type { Id } from '../../model/id.ts';
import type { Store } from '../store.ts';
import type { Connections } from './connections.ts';
import { listPartitions } from './partitions.ts';
import { sweeping } from './prune-locks.ts';
import { dissolveRange, dropRange, rangesOf } from './prune-partitions.ts';
import type { DropOutcome, PartitionRange } from './prune-partitions.ts';
import { inPasses } from './prune-passes.ts';
import type { Present } from './prune-passes.ts';
import { defaultEvents, pruneRows } from './prune-rows.ts';
import type { LimitOf } from './prune-rows.ts';

type Request = Parameters<Store['prune']>[0];

/** A day that could not be dropped as a whole is walked through again after so long. */
const LOOK_AGAIN_MS = 6 * 3_600_000;
/** Tries to drop a partition whose tables are in use; after them the next sweep tries. */
const TRIES = 3;
const PAUSE_MS = 200;
const KEYS_AT_ONCE = 2_000;

/**
 * The end of retention. A day's partitions are dropped once the whole day is past the limit of every tenant: up to a day
 * later than to the minute, in milliseconds instead of hours. Events are deleted one by one only where a tenant's limit
 * is shorter than the usual one, where some tenant keeps its events longer, where too many of a day stay because they
 * have open deliveries, and in the default partition.
 */
export function createPrune(connections: Connections): Store['prune'] {
  /** When each range was last walked through to its end, by its begin; on the clock of `performance`. */
  const walkedAt = new Map<Id, number>();

  async function* pass(present: Present<Request>): AsyncGenerator<number, void> {
    const limitOf: LimitOf = (tenantId) => limitIn(present.request, tenantId);
    const walk = (source: Parameters<typeof pruneRows>[0]['source'], tenants: string[] | null) =>
      pruneRows({ connections, source, limitOf, room: () => present.room, tenants });

    const partitions = await listPartitions(connections);
    for (const range of rangesOf(partitions)) {
      const { from, to } = range;
      const isPast = to <= firstIdAt(present.request.before);
      if (!isPast) {
        const shorter = tenantsPast(present.request, from);
        if (shorter.length > 0) yield* walk({ table: 'events', from, to }, shorter);
        continue;
      }
      if (wasWalked(range)) continue;
      if (to <= firstIdAt(earliest(present.request))) {
        const outcome = await dropWhenFree(connections, range);
        if (outcome.kind === 'dropped') yield outcome.rows;
        if (outcome.kind !== 'many') continue;
      }
      if (range.partitions.some(({ table }) => table === 'events')) yield* walk({ table: 'events', from, to }, null);
      walkedAt.set(from, performance.now());
      await dissolveRange(connections, range);
    }
    yield* walk(defaultEvents, null);
    yield* forgetKeys(connections);
  }

  function wasWalked({ from }: PartitionRange): boolean {
    const at = walkedAt.get(from);
    return at !== undefined && performance.now() - at < LOOK_AGAIN_MS;
  }

  return inPasses(pass);
}

/** Tried a few times: the lock on a table is hardly ever out of reach twice. */
export async function dropWhenFree(connections: Connections, range: PartitionRange): Promise<DropOutcome> {
  for (let left = TRIES; ; left--) {
    const outcome = await dropRange(connections, range);
    if (outcome.kind !== 'busy' || left === 1) return outcome;
    await wait(PAUSE_MS);
  }
}

function limitIn({ before, beforeOf }: Request, tenantId: string): number | null {
  const own = beforeOf.get(tenantId);
  return own === undefined ? before : own;
}

/** Before this moment no tenant keeps anything, epoch ms. */
function earliest({ before, beforeOf }: Request): number {
  let earliest = before;
  for (const own of beforeOf.values()) earliest = Math.min(earliest, own ?? 0);
  return earliest;
}

/** Tenants whose own limit is shorter than the usual one, and lies behind the begin of a range. */
function tenantsPast({ before, beforeOf }: Request, from: Id): string[] {
  return [...beforeOf]
    .filter(([, own]) => own !== null && own > before && firstIdAt(own) > from)
    .map(([tenantId]) => tenantId);
}

/**
 * Idempotency keys whose event went with its partition: nobody asks for them any more, and those who accept take them
 * for absent, so they go at leisure. Yields 0 for every slice.
 */
async function* forgetKeys(connections: Connections): AsyncGenerator<number, void> {
  const oldest = (await listPartitions(connections)).find(({ table }) => table === 'events');
  for (let from = ''; oldest;) {
    const last = await sweeping(connections, async (run) => {
      const { rows } = await run<{ seen: number; last: Id }>({
        // A scalar query, which is asked key by key: a NOT EXISTS may be turned into a look at all events.
        sql: `WITH page AS (
                SELECT tenant_id, key, event_id FROM posthorn.dedupe
                WHERE event_id >= $1 AND event_id < $2 ORDER BY event_id LIMIT ${KEYS_AT_ONCE}
              ), gone AS (
                DELETE FROM posthorn.dedupe d USING page p
                WHERE d.tenant_id = p.tenant_id AND d.key = p.key AND d.event_id = p.event_id AND (
                  SELECT e.id FROM posthorn.events e WHERE e.tenant_id = p.tenant_id AND e.id = p.event_id LIMIT 1) IS NULL
              )
              SELECT count(*) AS seen, max(event_id) AS last FROM page`,
        parameters: [from, oldest.from],
      });
      return rows[0]!.seen < KEYS_AT_ONCE ? null : rows[0]!.last;
    });
    yield 0;
    if (last === null) return;
    from = last;
  }
}
