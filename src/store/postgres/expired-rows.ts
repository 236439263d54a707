import { KEPT_MS as CHANGES_KEPT_MS } from './change-feed.ts';
import type { Connections } from './connections.ts';

const SLICE = 5_000;
const DAY_MS = 86_400_000;
const MINUTES_KEPT_MS = 3_600_000;
const DAYS_KEPT_MS = 2 * DAY_MS;
const NODES_KEPT_MS = DAY_MS;

/** Rows of what nodes share that nobody asks for any more; $1 = the database's clock, epoch ms. */
const EXPIRED = [
  { table: 'changes', key: 'id', where: `made_at < to_timestamp(($1::bigint - ${CHANGES_KEPT_MS}) / 1000.0)` },
  { table: 'pauses', key: 'tenant_id, endpoint_id', where: 'until <= $1::bigint' },
  {
    // Minutes are many, and matter for a minute; days begin at midnight, and are few.
    table: 'counters',
    key: 'name, "window"',
    where: `"window" < $1::bigint - CASE WHEN "window" % ${DAY_MS} = 0 THEN ${DAYS_KEPT_MS} ELSE ${MINUTES_KEPT_MS} END`,
  },
  { table: 'nodes', key: 'number', where: `ended_at < to_timestamp(($1::bigint - ${NODES_KEPT_MS}) / 1000.0)` },
];

/** Deletes them, in slices, until it is done or told to stop. Several nodes may do so at once. `now`: epoch ms. */
export async function forgetExpired(connections: Connections, now: number, stop?: AbortSignal): Promise<void> {
  for (const { table, key, where } of EXPIRED) {
    for (let deleted = SLICE; deleted === SLICE && !stop?.aborted;) {
      ({ rowCount: deleted } = await connections.query({
        sql: `DELETE FROM posthorn.${table} WHERE (${key}) IN (
                SELECT ${key} FROM posthorn.${table} WHERE ${where} LIMIT ${SLICE} FOR UPDATE SKIP LOCKED)`,
        parameters: [now],
      }));
    }
  }
}
