import { sql } from 'kysely';
import type { Expression, RawBuilder, SqlBool } from 'kysely';
import { deliveryStatuses, isEnd } from '../../model/delivery.ts';
import type { DeliveryReason, DeliveryStatus } from '../../model/delivery.ts';
import type { DeliveryFilter, DeliveryRow, Store } from '../store.ts';
import { createAttempts, toAttempt } from './attempts.ts';
import { createdBetween } from './created-between.ts';
import type { RecordDriver } from './driver.ts';

/** A type with so few events is looked up by its events; a more common one is met soon enough walking the deliveries. */
const RARE_EVENTS = 500;
/** The same for a group, whose events have an index. 20,000 cost some 60 ms. */
const GROUP_EVENTS = 20_000;

/** Their partial indexes need these very words, in this order. */
const FAILED: readonly DeliveryStatus[] = ['dead_letter', 'cancelled'];

/**
 * How the events that a filter asks for are met: `any`, it asks for none; `ids`, these few; `gathered`, all of a group
 * are looked up first; `walked`, there are so many that deliveries are walked and their events checked.
 */
type Events = { by: 'any' | 'gathered' | 'walked' } | { by: 'ids'; ids: readonly string[] };
const ANY: Events = { by: 'any' };

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
  group_key: string | null;
  category: string | null;
  endpoint_own_id: string | null;
  url: string | null;
}

export function createDeliveries(driver: RecordDriver): Store['deliveries'] {
  const { db, read, dialect } = driver;

  /** Deliveries of a tenant that match. `events`: from {@link eventsOf}. */
  function matching(filter: DeliveryFilter, events: Events) {
    const { tenantId, endpointId, status } = filter;
    let query = db.selectFrom('deliveries as d').where('d.tenant_id', '=', tenantId);
    if (status) query = query.where(isOneOf('d.status', status));
    if (status?.length && status.every((one) => FAILED.includes(one))) {
      query = query.where(isOneOf('d.status', FAILED));
    } else if (dialect === 'sqlite' && status?.length && status.every((one) => !isEnd(one))) {
      // Few of very many, and their indexes are in another order: gathered first, or the whole history would be walked.
      query = query.where('d.id', 'in', (from) => {
        const open = from.selectFrom('deliveries as open').select('open.id').where('open.tenant_id', '=', tenantId);
        return status
          .map((one) => {
            const those = open.where(isOneOf('open.status', [one]));
            if (endpointId === undefined) return those;
            // What is leased fits in memory and is in order of tenants only; by endpoint, its history would be walked.
            if (one === 'sending') return those.where(sql`open.endpoint_id || ''`, '=', endpointId);
            return those.where('open.endpoint_id', '=', endpointId);
          })
          .reduce((all, one) => all.unionAll(one));
      });
    }
    if (endpointId !== undefined) query = query.where('d.endpoint_id', '=', endpointId);
    if (filter.eventId !== undefined) query = query.where('d.event_id', '=', filter.eventId);
    if (events.by === 'ids') query = query.where('d.event_id', 'in', events.ids);
    else if (events.by === 'gathered') query = query.where(isAmong('d.event_id', eventsWith(filter).select('e.id')));
    else if (events.by === 'walked') {
      const theirs = eventsWith(filter).whereRef('e.id', '=', 'd.event_id' as never);
      query = query.where((where) => where.exists(theirs.select(sql.lit(1).as('one'))));
    }
    if (filter.attempted !== undefined) query = query.where('d.attempt_count', filter.attempted ? '>' : '=', 0);
    if (filter.acknowledged !== undefined)
      query = query.where('d.acknowledged_at', filter.acknowledged ? 'is not' : 'is', null);
    return query.where(createdBetween('d.id', 'd.created_at', filter.from, filter.to));
  }

  /** As an array where the planner may be told not to hash: it would compare each row with each. */
  function isAmong(column: string, those: Expression<unknown>): RawBuilder<SqlBool> {
    return dialect === 'sqlite'
      ? sql`${sql.ref(column)} in (${those})`
      : sql`${sql.ref(column)} = any(array(${those}))`;
  }

  function eventsWith({ tenantId, eventType, group }: DeliveryFilter) {
    let query = db.selectFrom('events as e').where('e.tenant_id', '=', tenantId);
    if (group !== undefined) query = query.where('e.group_key', '=', group);
    if (eventType !== undefined) query = query.where('e.type', '=', eventType);
    return query;
  }

  async function eventsOf(filter: DeliveryFilter): Promise<Events> {
    if (filter.eventType === undefined && filter.group === undefined) return ANY;
    if (filter.eventId !== undefined) return { by: 'walked' };
    const rows = await read(eventsWith(filter).select('e.id').limit(RARE_EVENTS));
    if (rows.length < RARE_EVENTS) return { by: 'ids', ids: rows.map(({ id }) => id) };
    if (filter.group === undefined) return { by: 'walked' };
    const [more] = await read(eventsWith(filter).select('e.id').limit(1).offset(GROUP_EVENTS));
    return { by: more ? 'walked' : 'gathered' };
  }

  /** The deliveries are picked before they are joined: a planner that knows nothing of the tables yet must not begin with the join. */
  const withEvent = (query: ReturnType<typeof matching>) =>
    db
      .selectFrom(query.selectAll('d').as('d'))
      .innerJoin('events as e', (join) =>
        join.onRef('e.tenant_id', '=', 'd.tenant_id').onRef('e.id', '=', 'd.event_id'),
      )
      .leftJoin('endpoints as endpoint', (join) =>
        join.onRef('endpoint.tenant_id', '=', 'd.tenant_id').onRef('endpoint.id', '=', 'd.endpoint_id'),
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
        'e.group_key',
        'e.category',
        'endpoint.own_id as endpoint_own_id',
        'endpoint.url',
      ]);

  /** With the newest attempt: an attempt's number is the count of attempts when it was made. */
  const withAttempt = (query: ReturnType<typeof withEvent>) =>
    query
      .leftJoin('attempts as a', (join) =>
        join
          .onRef('a.delivery_id', '=', 'd.id')
          .onRef('a.number', '=', 'd.attempt_count')
          .onRef('a.tenant_id', '=', 'd.tenant_id'),
      )
      .select(['a.number', 'a.started_at', 'a.duration_ms', 'a.succeeded', 'a.status_code', 'a.failure', 'a.detail']);

  const rowsOf = async (tenantId: string, ids: readonly string[]) =>
    (await read(withEvent(matching({ tenantId }, ANY).where('d.id', 'in', ids)))).map(toDelivery);

  return {
    async get(tenantId, id) {
      const [row] = await read(withEvent(matching({ tenantId }, ANY).where('d.id', '=', id)));
      return row ? toDelivery(row) : null;
    },

    async list(filter, { limit, before, offset, withLastAttempt }) {
      const events = await eventsOf(filter);
      if (isNone(events)) return [];
      let query = matching(filter, events);
      if (before !== null) query = query.where('d.id', '<', before);
      query = query
        .orderBy('d.id', 'desc')
        .limit(limit)
        .offset(offset ?? 0);
      const page = withEvent(query).orderBy('d.id', 'desc');
      if (!withLastAttempt) return (await read(page)).map(toDelivery);
      const rows = await read(withAttempt(page));
      return rows.map((row) => ({ ...toDelivery(row), lastAttempt: lastAttemptOf(row) }));
    },

    async count(filter, limit) {
      const events = await eventsOf(filter);
      if (isNone(events)) return 0;
      const found = matching(filter, events).select(sql.lit(1).as('one')).limit(limit).as('found');
      const [row] = await read(db.selectFrom(found).select((select) => select.fn.countAll<number>().as('count')));
      return Number(row!.count);
    },

    async countByStatus(filter) {
      const events = await eventsOf(filter);
      const counts = Object.fromEntries(deliveryStatuses.map((status) => [status, 0])) as Record<
        DeliveryStatus,
        number
      >;
      if (isNone(events)) return counts;
      const rows = await read(
        matching(filter, events)
          .select(['d.status', (select) => select.fn.countAll<number>().as('count')])
          .groupBy('d.status'),
      );
      for (const { status, count } of rows) counts[status] = Number(count);
      return counts;
    },

    async tenantOf(id) {
      const [row] = await read(
        db
          .selectFrom('tenants as t')
          .select('t.id')
          .where((where) =>
            where.exists(
              where
                .selectFrom('deliveries as d')
                .select(sql.lit(1).as('one'))
                .whereRef('d.tenant_id', '=', 't.id')
                .where('d.id', '=', id),
            ),
          )
          .limit(1),
      );
      return row?.id ?? null;
    },

    ...createAttempts(driver, rowsOf),
  };
}

function isNone(events: Events): boolean {
  return events.by === 'ids' && events.ids.length === 0;
}

/** Statuses are literals, not bound values: only so do partial indexes apply. */
function isOneOf(column: string, statuses: readonly DeliveryStatus[]): RawBuilder<SqlBool> {
  const [first] = statuses;
  if (first === undefined) return sql`1 = 0`;
  if (statuses.length === 1) return sql`${sql.ref(column)} = ${sql.lit(first)}`;
  return sql`${sql.ref(column)} in (${sql.join(statuses.map((one) => sql.lit(one)))})`;
}

/** What a left join with attempts adds: null throughout where there is none. */
interface AttemptColumns {
  number: number | null;
  started_at: number | null;
  duration_ms: number | null;
  succeeded: number | null;
  status_code: number | null;
  failure: string | null;
  detail: string | null;
}

function lastAttemptOf({ id, number, started_at, duration_ms, succeeded, detail, ...row }: Row & AttemptColumns) {
  if (number === null) return null;
  const { status_code, failure } = row;
  return toAttempt({
    ...{ delivery_id: id, number, status_code, failure },
    ...{ started_at: started_at!, duration_ms: duration_ms!, succeeded: succeeded!, detail: detail! },
  });
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
    eventGroup: row.group_key,
    eventCategory: row.category,
    endpointOwnId: row.endpoint_own_id,
    endpointUrl: row.url ?? '',
  };
}
