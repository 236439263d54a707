import { sql } from 'kysely';
import { deliveryStatuses, isEnd } from '../../model/delivery.ts';
import type { DeliveryReason, DeliveryStatus } from '../../model/delivery.ts';
import type { Attempt } from '../../model/attempt.ts';
import type { DeliveryFilter, DeliveryRow, Store } from '../store.ts';
import { createdBetween } from './created-between.ts';
import type { RecordDriver } from './driver.ts';

/** A type with so few events is looked up by its events; a more common one is met soon enough walking the deliveries. */
const RARE_EVENTS = 500;

interface Row {
  id: string;
  tenant_id: string;
  event_id: string;
  endpoint_id: string;
  status: DeliveryStatus;
  reason: DeliveryReason | null;
  attempt_count: number;
  schedule_start: number;
  due_at: number | null;
  last_error: string | null;
  created_at: number;
  ended_at: number | null;
  acknowledged_at: number | null;
  type: string;
  own_id: string | null;
}

export function createDeliveries(driver: RecordDriver): Store['deliveries'] {
  const { db, read } = driver;

  /** Deliveries of a tenant that match. `eventIds`: those of a rare type, in place of the type. */
  function matching(filter: DeliveryFilter, eventIds: readonly string[] | null) {
    let query = db.selectFrom('deliveries as d').where('d.tenant_id', '=', filter.tenantId);
    // Statuses are literals, not bound values: only so do partial indexes apply.
    const { status } = filter;
    if (status?.length === 1) query = query.where('d.status', '=', sql.lit(status[0]!));
    else if (status)
      query = query.where(
        'd.status',
        'in',
        status.map((one) => sql.lit(one)),
      );
    if (status?.length && status.every((one) => !isEnd(one))) {
      // Few of very many, and their indexes are in another order: gathered first, or the whole history would be walked.
      query = query.where('d.id', 'in', (from) => {
        let open = from
          .selectFrom('deliveries as open')
          .select('open.id')
          .where('open.tenant_id', '=', filter.tenantId);
        if (filter.endpointId !== undefined) open = open.where('open.endpoint_id', '=', filter.endpointId);
        return status
          .map((one) => open.where('open.status', '=', sql.lit(one)))
          .reduce((all, one) => all.unionAll(one));
      });
    }
    if (filter.endpointId !== undefined) query = query.where('d.endpoint_id', '=', filter.endpointId);
    if (filter.eventId !== undefined) query = query.where('d.event_id', '=', filter.eventId);
    if (eventIds) query = query.where('d.event_id', 'in', eventIds);
    else if (filter.eventType !== undefined) {
      const { eventType } = filter;
      query = query.where((where) =>
        where.exists(
          where
            .selectFrom('events as typed')
            .select(sql.lit(1).as('one'))
            .whereRef('typed.tenant_id', '=', 'd.tenant_id')
            .whereRef('typed.id', '=', 'd.event_id')
            .where('typed.type', '=', eventType),
        ),
      );
    }
    if (filter.acknowledged !== undefined)
      query = query.where('d.acknowledged_at', filter.acknowledged ? 'is not' : 'is', null);
    return query.where(createdBetween('d.id', 'd.created_at', filter.from, filter.to));
  }

  /** The events of a rare type; null where the type is common or not asked for. */
  async function rareEvents({ tenantId, eventType, eventId }: DeliveryFilter): Promise<string[] | null> {
    if (eventType === undefined || eventId !== undefined) return null;
    const rows = await read(
      db
        .selectFrom('events')
        .select('id')
        .where('tenant_id', '=', tenantId)
        .where('type', '=', eventType)
        .limit(RARE_EVENTS),
    );
    return rows.length < RARE_EVENTS ? rows.map(({ id }) => id) : null;
  }

  const withEvent = (query: ReturnType<typeof matching>) =>
    query
      .innerJoin('events as e', (join) =>
        join.onRef('e.tenant_id', '=', 'd.tenant_id').onRef('e.id', '=', 'd.event_id'),
      )
      .select([
        'd.id',
        'd.tenant_id',
        'd.event_id',
        'd.endpoint_id',
        'd.status',
        'd.reason',
        'd.attempt_count',
        'd.schedule_start',
        'd.due_at',
        'd.last_error',
        'd.created_at',
        'd.ended_at',
        'd.acknowledged_at',
        'e.type',
        'e.own_id',
      ]);

  return {
    async get(tenantId, id) {
      const [row] = await read(withEvent(matching({ tenantId }, null).where('d.id', '=', id)));
      return row ? toDelivery(row) : null;
    },

    async list(filter, { limit, before, offset }) {
      const eventIds = await rareEvents(filter);
      if (eventIds?.length === 0) return [];
      let query = withEvent(matching(filter, eventIds));
      if (before !== null) query = query.where('d.id', '<', before);
      const rows = await read(
        query
          .orderBy('d.id', 'desc')
          .limit(limit)
          .offset(offset ?? 0),
      );
      return rows.map(toDelivery);
    },

    async count(filter, limit) {
      const eventIds = await rareEvents(filter);
      if (eventIds?.length === 0) return 0;
      const found = matching(filter, eventIds).select(sql.lit(1).as('one')).limit(limit).as('found');
      const [row] = await read(db.selectFrom(found).select((select) => select.fn.countAll<number>().as('count')));
      return Number(row!.count);
    },

    async countByStatus(filter) {
      const eventIds = await rareEvents(filter);
      const counts = Object.fromEntries(deliveryStatuses.map((status) => [status, 0])) as Record<
        DeliveryStatus,
        number
      >;
      if (eventIds?.length === 0) return counts;
      const rows = await read(
        matching(filter, eventIds)
          .select(['d.status', (select) => select.fn.countAll<number>().as('count')])
          .groupBy('d.status'),
      );
      for (const { status, count } of rows) counts[status] = Number(count);
      return counts;
    },

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

    async recentAttempts(tenantId, endpointId, limit) {
      // Of the newest deliveries that were attempted: an index on the time of attempts would cost every delivery more.
      const newest = db
        .selectFrom('deliveries')
        .select('id')
        .where('tenant_id', '=', tenantId)
        .where('endpoint_id', '=', endpointId)
        .where('attempt_count', '>', 0)
        .orderBy('id', 'desc')
        .limit(limit)
        .as('d');
      const rows = await read(
        db
          .selectFrom(newest)
          .innerJoin('attempts as a', (join) =>
            join.onRef('a.delivery_id', '=', 'd.id').on('a.tenant_id', '=', tenantId),
          )
          .selectAll('a')
          .orderBy('a.started_at', 'desc')
          .limit(limit),
      );
      return rows.map(toAttempt);
    },
  };
}

function toDelivery(row: Row): DeliveryRow {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    eventId: row.event_id,
    endpointId: row.endpoint_id,
    status: row.status,
    reason: row.reason,
    attemptCount: row.attempt_count,
    scheduleStart: row.schedule_start,
    dueAt: row.due_at,
    lastError: row.last_error,
    createdAt: row.created_at,
    endedAt: row.ended_at,
    acknowledgedAt: row.acknowledged_at,
    eventType: row.type,
    eventOwnId: row.own_id,
  };
}

function toAttempt(row: {
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
