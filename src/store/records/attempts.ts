import { sql } from 'kysely';
import type { Attempt } from '../../model/attempt.ts';
import type { AttemptFilter, AttemptRow, DeliveryRow, Store } from '../store.ts';
import type { RecordDriver } from './driver.ts';

type AttemptVerbs = 'attempts' | 'listAttempts' | 'countFailures' | 'recentAttempts';

/** Attempts have no index by time, which would cost every delivery more: they are looked for in so many deliveries. */
const NEWEST_DELIVERIES = 10_000;

/** `rowsOf`: deliveries by id, in any order. */
export function createAttempts(
  { db, read }: RecordDriver,
  rowsOf: (tenantId: string, ids: readonly string[]) => Promise<DeliveryRow[]>,
): Pick<Store['deliveries'], AttemptVerbs> {
  /** The newest deliveries that were attempted. */
  function newest({ tenantId, endpointId, eventId }: AttemptFilter, limit: number) {
    let query = db.selectFrom('deliveries').select('id').where('tenant_id', '=', tenantId);
    if (endpointId !== undefined) query = query.where('endpoint_id', '=', endpointId);
    if (eventId !== undefined) query = query.where('event_id', '=', eventId);
    return query.where('attempt_count', '>', 0).orderBy('id', 'desc').limit(limit).as('newest');
  }

  const attemptsOf = (filter: AttemptFilter, limit: number) =>
    db
      .selectFrom(newest(filter, limit))
      .innerJoin('attempts as a', (join) =>
        join.onRef('a.delivery_id', '=', 'newest.id').on('a.tenant_id', '=', filter.tenantId),
      );

  return {
    async attempts(tenantId, deliveryId) {
      const rows = await read(
        db
          .selectFrom('attempts')
          .selectAll()
          .where('tenant_id', '=', tenantId)
          .where('delivery_id', '=', deliveryId)
          .orderBy('number'),
      );
      return rows.map(toAttempt);
    },

    async listAttempts(filter, { limit, offset }) {
      let found = attemptsOf(filter, NEWEST_DELIVERIES).select(['a.delivery_id', 'a.number', 'a.started_at']);
      if (filter.succeeded !== undefined) found = found.where('a.succeeded', '=', filter.succeeded ? 1 : 0);
      // Sorted without their details, which can be long: these are fetched for the page alone.
      const page = found
        .orderBy('a.started_at', 'desc')
        .orderBy('a.delivery_id', 'desc')
        .orderBy('a.number', 'desc')
        .limit(limit)
        .offset(offset)
        .as('page');
      const rows = await read(
        db
          .selectFrom(page)
          .innerJoin('attempts as of', (join) =>
            join
              .onRef('of.delivery_id', '=', 'page.delivery_id')
              .onRef('of.number', '=', 'page.number')
              .on('of.tenant_id', '=', filter.tenantId),
          )
          .selectAll('of')
          .orderBy('page.started_at', 'desc')
          .orderBy('page.delivery_id', 'desc')
          .orderBy('page.number', 'desc'),
      );
      if (rows.length === 0) return [];
      const ids = [...new Set(rows.map((row) => row.delivery_id))];
      const deliveries = new Map((await rowsOf(filter.tenantId, ids)).map((row) => [row.id, row]));
      return rows.flatMap((row): AttemptRow[] => {
        const delivery = deliveries.get(row.delivery_id);
        return delivery ? [{ ...toAttempt(row), delivery }] : []; // deleted meanwhile
      });
    },

    async countFailures(tenantId, endpointId, since) {
      const [row] = await read(
        attemptsOf({ tenantId, endpointId }, NEWEST_DELIVERIES)
          .select((select) => select.fn.countAll<number>().as('count'))
          .where('a.succeeded', '=', sql.lit(0))
          .where('a.started_at', '>=', since),
      );
      return Number(row!.count);
    },

    async recentAttempts(tenantId, endpointId, limit) {
      const rows = await read(
        attemptsOf({ tenantId, endpointId }, limit).selectAll('a').orderBy('a.started_at', 'desc').limit(limit),
      );
      return rows.map(toAttempt);
    },
  };
}

/** An attempt as the store has it. */
export function toAttempt(row: {
  delivery_id: string;
  number: number;
  started_at: number;
  duration_ms: number;
  succeeded: number;
  status_code: number | null;
  failure: string | null;
  detail: string;
}): Attempt {
  return {
    deliveryId: row.delivery_id,
    number: row.number,
    startedAt: row.started_at,
    durationMs: row.duration_ms,
    succeeded: row.succeeded === 1,
    statusCode: row.status_code,
    failure: row.failure,
    detail: row.detail,
  };
}
