import { notFound, PosthornError } from '../errors.ts';
import type { Attempt } from '../model/attempt.ts';
import { move, sourcesOf } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Event } from '../model/event.ts';
import { deliveryOfAttempt, parseId, prefixes } from '../model/id.ts';
import type { DeliveryFilter, DeliveryRow, Page, Store } from '../store/store.ts';
import type { DeliveryVerbs } from './engine.ts';
import type { Redeliveries } from './redeliveries.ts';
import type { Subscriptions } from './subscriptions.ts';

export interface DeliveriesOptions {
  store: Store;
  subscriptions: Subscriptions;
  redeliveries: Redeliveries;
  now: () => number;
}

/** The verbs on deliveries and dead letters. */
export class Deliveries implements DeliveryVerbs {
  readonly #o: DeliveriesOptions;

  constructor(options: DeliveriesOptions) {
    this.#o = options;
  }

  async get(
    tenantId: string,
    id: string,
  ): Promise<{ delivery: DeliveryRow; attempts: Attempt[]; endpoint: Endpoint | null; event: Event }> {
    const { store } = this.#o;
    const delivery = await this.#require(tenantId, id);
    const [attempts, endpoint, event] = await Promise.all([
      store.deliveries.attempts(tenantId, delivery.id),
      store.endpoints.get(tenantId, delivery.endpointId, { deleted: true }),
      store.events.get(tenantId, delivery.eventId),
    ]);
    if (!event) throw notFound('delivery', id); // pruned between the two reads
    return { delivery, attempts, endpoint, event };
  }

  list(filter: DeliveryFilter, page: Page): Promise<DeliveryRow[]> {
    return this.#o.store.deliveries.list(filter, page);
  }

  count(filter: DeliveryFilter, limit: number): Promise<number> {
    return this.#o.store.deliveries.count(filter, limit);
  }

  async redeliver(tenantId: string, id: string): Promise<DeliveryRow> {
    const delivery = await this.#require(tenantId, id);
    const live = this.#o.subscriptions.get(tenantId, delivery.endpointId);
    const webhook = prefixes.endpoint + delivery.endpointId;
    if (!live)
      throw new PosthornError(
        'INVALID_STATE',
        `The webhook ${webhook} was deleted; its deliveries can be read but not sent.`,
      );
    if (!live.endpoint.isActive)
      throw new PosthornError('INVALID_STATE', `The webhook ${webhook} is disabled; enable it first.`);
    if (!(await this.#o.redeliveries.one(tenantId, delivery.id, delivery.endpointId))) {
      const { status } = await this.#require(tenantId, id);
      throw new PosthornError(
        'INVALID_STATE',
        `The delivery is "${status}"; only ${sourcesOf('redeliver')
          .map((from) => `"${from}"`)
          .join(', ')} can be redelivered.`,
      );
    }
    return this.#require(tenantId, id);
  }

  async redeliverAll(
    filter: DeliveryFilter,
    options: { dryRun: boolean; ratePerSecond: number | null },
  ): Promise<{ deliveries: number }> {
    const status = filter.status ?? (['dead_letter'] as const);
    const stuck = status.find((from) => move(from, 'redeliver') === null);
    if (stuck) {
      throw new PosthornError('BAD_REQUEST', `status: "${stuck}" deliveries cannot be redelivered`, {
        fields: [{ field: 'status', message: `must be among ${sourcesOf('redeliver').join(', ')}` }],
      });
    }
    if (options.dryRun) return { deliveries: await this.#o.redeliveries.count({ ...filter, status }) };
    return this.#o.redeliveries.start({ ...filter, status }, options.ratePerSecond);
  }

  async acknowledge(tenantId: string, id: string): Promise<DeliveryRow> {
    const delivery = await this.#require(tenantId, id);
    if (!(await this.#o.store.acknowledge(tenantId, delivery.id, this.#o.now()))) {
      throw new PosthornError(
        'INVALID_STATE',
        `The delivery is "${delivery.status}", not a dead letter; there is nothing to acknowledge.`,
      );
    }
    return this.#require(tenantId, id);
  }

  async #require(tenantId: string, id: string): Promise<DeliveryRow> {
    const parsed = id.startsWith(prefixes.attempt) ? parseId(id, prefixes.attempt) : parseId(id, prefixes.delivery);
    const delivery = parsed && (await this.#o.store.deliveries.get(tenantId, deliveryOfAttempt(parsed)));
    if (!delivery) throw notFound('delivery', id);
    return delivery;
  }
}
