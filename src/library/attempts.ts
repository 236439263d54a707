import type { Engine } from '../delivery/engine.ts';
import { known } from '../delivery/known.ts';
import { publicEventId } from '../delivery/message.ts';
import { badField, notFound } from '../errors.ts';
import type { Attempt } from '../model/attempt.ts';
import { attemptId, parseId, prefixes } from '../model/id.ts';
import type { AttemptFilter, DeliveryRow } from '../store/store.ts';
import { publicEndpointOf } from './endpoint-id.ts';
import { attempt, type Result } from './result.ts';
import { placesOf } from './tenancy.ts';

/**
 * - `delivered`: the receiver answered 2xx
 * - `failed`: it did not; another attempt follows, or followed
 * - `dead_letter`: it did not, and it was the last one
 * - `cancelled`: it did not, and the subscription was deleted
 * - `pending`: the attempt that comes next
 */
export type AttemptStatus = 'pending' | 'delivered' | 'failed' | 'dead_letter' | 'cancelled';

/** One try to deliver an event to a subscription. */
export interface DeliveryAttempt {
  id: string;
  subscriptionId: string;
  eventId: string;
  eventType: string;
  status: AttemptStatus;
  statusCode: number | null;
  /** From 1. */
  attemptNumber: number;
  /** Null for one that is to come. */
  attemptedAt: Date | null;
  nextRetryAt: Date | null;
  /** Status code or named failure; null after a success. */
  errorMessage: string | null;
  durationMs: number | null;
}

export interface AttemptListFilter {
  subscriptionId?: string;
  eventId?: string;
  status?: AttemptStatus;
  tenantId?: string | null;
  /** Default 50. */
  limit?: number;
  /** Default 0. */
  offset?: number;
}

/** Attempts are looked for among the newest deliveries: these many of each tenant. */
const MAX_LISTED = 10_000;

/** The verbs on attempts: `posthorn.attempts`. */
export class Attempts {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Newest first, of the newest 10,000 deliveries. `status: 'pending'` lists the attempts that are to come, newest
   * delivery first.
   */
  list(filter: AttemptListFilter = {}): Promise<Result<DeliveryAttempt[]>> {
    return attempt(
      async () => {
        const { limit = 50, offset = 0 } = filter;
        const found = await Promise.all(
          this.#filters(filter).map((one) =>
            filter.status === 'pending' ? this.#toCome(one, limit + offset) : this.#made(one, filter, limit + offset),
          ),
        );
        return found
          .flat()
          .sort((a, b) => b.at - a.at || (a.shown.id < b.shown.id ? 1 : -1))
          .slice(offset, offset + limit)
          .map(({ shown }) => shown);
      },
      { NOT_FOUND: 'subscription-not-found' },
    );
  }

  /** How many attempts of a subscription failed since then, of its newest 10,000 deliveries. */
  countRecentFailures(subscriptionId: string, since: Date): Promise<Result<number>> {
    return attempt(
      async () => {
        const endpoint = await known(this.#engine, () => this.#engine.endpoints.find(subscriptionId));
        if (!endpoint) throw notFound('subscription', subscriptionId);
        if (Number.isNaN(since.getTime())) throw badField('since', 'must be a valid Date');
        return this.#engine.deliveries.countFailures(endpoint.tenantId, endpoint.id, since.getTime());
      },
      { NOT_FOUND: 'subscription-not-found' },
    );
  }

  /** One filter for each tenant to look through. */
  #filters(filter: AttemptListFilter): (AttemptFilter & { ownId?: string })[] {
    const { eventId, status } = filter;
    const common: Omit<AttemptFilter, 'tenantId'> & { ownId?: string } = {};
    if (status === 'delivered') common.succeeded = true;
    else if (status !== undefined && status !== 'pending') common.succeeded = false;
    if (eventId !== undefined) {
      const id = parseId(eventId, prefixes.event);
      if (id !== null) common.eventId = id;
      else common.ownId = eventId;
    }
    return placesOf(this.#engine, filter).map((place) => ({ ...common, ...place }));
  }

  async #made(
    { ownId, ...filter }: AttemptFilter & { ownId?: string },
    { status }: AttemptListFilter,
    wanted: number,
  ): Promise<{ at: number; shown: DeliveryAttempt }[]> {
    const resolved = await this.#resolve(filter, ownId);
    if (resolved === null) return [];
    const found: { at: number; shown: DeliveryAttempt }[] = [];
    const isPlain = status === undefined || status === 'delivered';
    // A failed attempt is one of three things, which only the delivery behind it tells.
    const slice = isPlain ? Math.min(wanted, MAX_LISTED) : 500;
    for (let offset = 0; offset < MAX_LISTED && found.length < wanted; offset += slice) {
      const rows = await this.#engine.deliveries.listAttempts(resolved, { limit: slice, offset });
      for (const row of rows) {
        const shown = toDeliveryAttempt(row, row.delivery);
        if (isPlain || shown.status === status) found.push({ at: row.startedAt, shown });
      }
      if (rows.length < slice) break;
    }
    return found;
  }

  async #toCome(
    { ownId, ...filter }: AttemptFilter & { ownId?: string },
    wanted: number,
  ): Promise<{ at: number; shown: DeliveryAttempt }[]> {
    const resolved = await this.#resolve(filter, ownId);
    if (resolved === null) return [];
    const { tenantId, endpointId, eventId } = resolved;
    const rows = await this.#engine.deliveries.list(
      {
        tenantId,
        status: ['pending', 'sending', 'held'],
        ...(endpointId === undefined ? {} : { endpointId }),
        ...(eventId === undefined ? {} : { eventId }),
      },
      { limit: Math.min(wanted, MAX_LISTED), before: null },
    );
    return rows.map((row) => ({
      at: row.createdAt,
      shown: {
        ...partsOf(row, row.attemptCount + 1),
        status: 'pending',
        statusCode: null,
        attemptedAt: null,
        nextRetryAt: row.dueAt === null ? null : new Date(row.dueAt),
        errorMessage: row.lastError,
        durationMs: null,
      },
    }));
  }

  /** The filter with the event behind a publisher's own id; null where this tenant has none. */
  async #resolve(filter: AttemptFilter, ownId: string | undefined): Promise<AttemptFilter | null> {
    if (ownId === undefined) return filter;
    const found = await attempt(() => this.#engine.events.get(filter.tenantId, ownId));
    return found.ok ? { ...filter, eventId: found.value.id } : null;
  }
}

/** An attempt as the library shows it: what became of it follows from the delivery it belongs to. */
export function toDeliveryAttempt(made: Attempt, delivery: DeliveryRow): DeliveryAttempt {
  const isLast = made.number === delivery.attemptCount;
  let status: AttemptStatus = made.succeeded ? 'delivered' : 'failed';
  if (!made.succeeded && isLast && (delivery.status === 'dead_letter' || delivery.status === 'cancelled')) {
    status = delivery.status;
  }
  return {
    ...partsOf(delivery, made.number),
    status,
    statusCode: made.statusCode,
    attemptedAt: new Date(made.startedAt),
    nextRetryAt: isLast && delivery.status === 'pending' && delivery.dueAt !== null ? new Date(delivery.dueAt) : null,
    errorMessage: made.succeeded ? null : (made.failure ?? `HTTP ${made.statusCode}`),
    durationMs: made.durationMs,
  };
}

function partsOf(row: DeliveryRow, attemptNumber: number) {
  return {
    id: prefixes.attempt + attemptId(row.id, attemptNumber),
    subscriptionId: publicEndpointOf(row),
    eventId: publicEventId({ id: row.eventId, ownId: row.eventOwnId }),
    eventType: row.eventType,
    attemptNumber,
  };
}
