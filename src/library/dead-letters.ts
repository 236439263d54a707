import type { Engine } from '../delivery/engine.ts';
import { publicEventId } from '../delivery/message.ts';
import { notFound, PosthornError } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import type { DeliveryFilter, DeliveryRow } from '../store/store.ts';
import { toDeliveryAttempt, type DeliveryAttempt } from './attempts.ts';
import { toRedelivery, type Redelivery } from './deliveries.ts';
import { publicEndpointOf } from './endpoint-id.ts';
import { attempt, type Result } from './result.ts';
import { placesOf } from './tenancy.ts';

/** A delivery that was given up: its schedule is used up, or the receiver is gone. */
export interface DeadLetter {
  /** `whd_…` */
  id: string;
  subscriptionId: string;
  eventId: string;
  eventType: string;
  /** What would have been delivered, parsed; null once the payload is past its retention. */
  payload: unknown;
  errorMessage: string;
  /** Every attempt, oldest first. */
  attempts: readonly DeliveryAttempt[];
  createdAt: Date;
  failedAt: Date;
}

const MAX_COUNTED = 1_000_000;

/** The verbs on dead letters: `posthorn.deadLetters`. Acknowledged ones are history, and no longer listed or counted. */
export class DeadLetters {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Newest first; `limit` default 50. */
  list(
    filter: { limit?: number; subscriptionId?: string; tenantId?: string | null } = {},
  ): Promise<Result<DeadLetter[]>> {
    return attempt(
      async () => {
        const { limit = 50 } = filter;
        const found = await Promise.all(
          this.#filters(filter).map((one) => this.#engine.deliveries.list(one, { limit, before: null })),
        );
        const rows = found
          .flat()
          .sort((a, b) => (a.id < b.id ? 1 : -1))
          .slice(0, limit);
        return Promise.all(rows.map((row) => this.#read(row)));
      },
      { NOT_FOUND: 'subscription-not-found' },
    );
  }

  /** How many there are, counted to a million. */
  count(filter: { subscriptionId?: string; tenantId?: string | null } = {}): Promise<Result<number>> {
    return attempt(
      async () => {
        const counts = this.#filters(filter).map((one) => this.#engine.deliveries.count(one, MAX_COUNTED));
        return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
      },
      { NOT_FOUND: 'subscription-not-found' },
    );
  }

  /** Sends it again with a whole schedule anew. Err `attempt-not-found`; `subscription-inactive` while that is deactivated or deleted. */
  retry(id: string): Promise<Result<Redelivery>> {
    return this.#with(id, async (tenantId) => {
      return toRedelivery(await this.#engine.deliveries.redeliver(tenantId, id));
    });
  }

  /** Somebody saw it and leaves it at that. */
  acknowledge(id: string): Promise<Result<null>> {
    return this.#with(id, async (tenantId) => {
      await this.#engine.deliveries.acknowledge(tenantId, id);
      return null;
    });
  }

  #with<Value>(id: string, work: (tenantId: string) => Promise<Value>): Promise<Result<Value>> {
    return attempt(
      async () => {
        const tenantId = await this.#engine.deliveries.tenantOf(id);
        if (tenantId === null) throw notFound('dead letter', id);
        const { delivery } = await this.#engine.deliveries.get(tenantId, id);
        if (delivery.status !== 'dead_letter') {
          throw new PosthornError('NOT_FOUND', `${id} is no dead letter; it is ${delivery.status}.`);
        }
        return work(tenantId);
      },
      { NOT_FOUND: 'attempt-not-found', INVALID_STATE: 'subscription-inactive' },
    );
  }

  #filters(filter: { subscriptionId?: string; tenantId?: string | null }): DeliveryFilter[] {
    return placesOf(this.#engine, filter).map((place) => ({ ...place, status: ['dead_letter'], acknowledged: false }));
  }

  async #read(row: DeliveryRow): Promise<DeadLetter> {
    const { event, attempts } = await this.#engine.deliveries.get(row.tenantId, row.id);
    return {
      id: prefixes.delivery + row.id,
      subscriptionId: publicEndpointOf(row),
      eventId: publicEventId({ id: row.eventId, ownId: row.eventOwnId }),
      eventType: row.eventType,
      payload: event.data === '' ? null : (JSON.parse(event.data) as unknown),
      errorMessage: /^\d{3}$/.test(row.lastError ?? '') ? `HTTP ${row.lastError}` : (row.lastError ?? ''),
      attempts: attempts.map((made) => toDeliveryAttempt(made, row)),
      createdAt: new Date(row.createdAt),
      failedAt: new Date(row.endedAt ?? row.createdAt),
    };
  }
}
