import { notFound, PosthornError } from '../errors.ts';
import type { Attempt } from '../model/attempt.ts';
import { move, sourcesOf } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Event } from '../model/event.ts';
import { deliveryOfAttempt, parseId, prefixes, type Id } from '../model/id.ts';
import type { AttemptFilter, AttemptRow, DeliveryFilter, DeliveryRow, Page, Store } from '../store/store.ts';
import type { EndpointChanges } from './endpoint-changes.ts';
import type { DeliveryVerbs } from './engine.ts';
import { payloadForgotten, publicEndpointId } from './message.ts';
import type { Outcomes } from './outcomes.ts';
import type { Plans } from './plans.ts';
import type { Quotas } from './quotas.ts';
import type { Redeliveries } from './redeliveries.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';

/** How much longer than the endpoint's timeout an attempt is waited for: it may stand in line. */
const PATIENCE_MS = 5_000;
/** Among several nodes another one may make the attempt: the store is looked at this often. */
const LOOK_MS = 250;

export interface DeliveriesOptions {
  store: Store;
  subscriptions: Subscriptions;
  redeliveries: Redeliveries;
  plans: Plans;
  quotas: Quotas;
  outcomes: Outcomes;
  endpoints: Pick<EndpointChanges, 'find'>;
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

  listAttempts(filter: AttemptFilter, page: { limit: number; offset: number }): Promise<AttemptRow[]> {
    return this.#o.store.deliveries.listAttempts(filter, page);
  }

  countFailures(tenantId: string, endpointId: Id, since: number): Promise<number> {
    return this.#o.store.deliveries.countFailures(tenantId, endpointId, since);
  }

  async tenantOf(id: string): Promise<string | null> {
    const parsed = deliveryIdIn(id);
    return parsed && this.#o.store.deliveries.tenantOf(parsed);
  }

  async redeliver(tenantId: string, id: string): Promise<DeliveryRow> {
    const delivery = await this.#require(tenantId, id);
    await this.#requireSendable(delivery);
    if (await this.#o.redeliveries.one(tenantId, delivery.id, delivery.endpointId)) return this.#require(tenantId, id);
    const row = await this.#require(tenantId, id);
    await this.#requirePayload(row);
    throw stuck(row);
  }

  async sendNow(tenantId: string, id: string): Promise<{ delivery: DeliveryRow; attempt: Attempt | null }> {
    const { redeliveries, outcomes, store } = this.#o;
    const delivery = await this.#require(tenantId, id);
    const { timeoutMs } = await this.#requireSendable(delivery);
    const until = performance.now() + timeoutMs + PATIENCE_MS;
    const watch = outcomes.watch(delivery.id); // before it can end
    try {
      while (!(await redeliveries.one(tenantId, delivery.id, delivery.endpointId))) {
        const row = await this.#require(tenantId, id);
        if (row.status !== 'sending') {
          if (move(row.status, 'redeliver') === null) throw stuck(row);
          await this.#requirePayload(row);
          continue;
        }
        // On its way already: that attempt first, whose answer is not to this request.
        if (performance.now() >= until || outcomes.isClosed) return { delivery: row, attempt: null };
        await watch.next(this.#lookAt(until));
      }
      const { scheduleStart } = await this.#require(tenantId, id);
      for (;;) {
        const row = await this.#require(tenantId, id);
        if (row.attemptCount > scheduleStart) {
          const attempts = await store.deliveries.attempts(tenantId, delivery.id);
          const attempt = attempts.find(({ number }) => number > scheduleStart);
          if (attempt) return { delivery: row, attempt };
        }
        // Held or cancelled without an attempt: its endpoint was disabled or deleted.
        const isOnItsWay = row.status === 'pending' || row.status === 'sending';
        if (!isOnItsWay || performance.now() >= until || outcomes.isClosed) return { delivery: row, attempt: null };
        await watch.next(this.#lookAt(until));
      }
    } finally {
      watch.end();
    }
  }

  /** Until when (ms, by `performance.now`) word of an outcome is waited for before the store is looked at. */
  #lookAt(until: number): number {
    return this.#o.store.cluster === null ? until : Math.min(until, performance.now() + LOOK_MS);
  }

  async redeliverAll(
    filter: DeliveryFilter,
    options: { dryRun: boolean; ratePerSecond: number | null },
  ): Promise<{ deliveries: number }> {
    const status = filter.status ?? (['dead_letter'] as const);
    const immovable = status.find((from) => move(from, 'redeliver') === null);
    if (immovable) {
      throw new PosthornError('BAD_REQUEST', `status: "${immovable}" deliveries cannot be redelivered`, {
        fields: [{ field: 'status', message: `must be among ${sourcesOf('redeliver').join(', ')}` }],
      });
    }
    if (options.dryRun) return { deliveries: await this.#o.redeliveries.count({ ...filter, status }) };
    this.#o.plans.require(filter.tenantId, 'webhooks', 'replay');
    return this.#o.redeliveries.start({ ...filter, status }, { ratePerSecond: options.ratePerSecond });
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
    const parsed = deliveryIdIn(id);
    const delivery = parsed && (await this.#o.store.deliveries.get(tenantId, parsed));
    if (!delivery) throw notFound('delivery', id);
    return delivery;
  }

  /** Throws INVALID_STATE where the data of its event is forgotten, which the store then refuses to send. */
  async #requirePayload({ tenantId, eventId }: DeliveryRow): Promise<void> {
    if ((await this.#o.store.events.get(tenantId, eventId))?.data === '') throw payloadForgotten();
  }

  /** Throws INVALID_STATE where its endpoint is deleted or disabled, PLAN_FEATURE_REQUIRED where the plan lacks `webhooks`. */
  async #requireSendable({ tenantId, endpointId, endpointOwnId, status, reason }: DeliveryRow): Promise<LiveEndpoint> {
    const { store, plans, quotas, subscriptions, endpoints } = this.#o;
    plans.require(tenantId, 'webhooks');
    const webhook = publicEndpointId({ id: endpointId, ownId: endpointOwnId });
    let live = subscriptions.get(tenantId, endpointId);
    if (!live && store.cluster) live = await endpoints.find(tenantId, endpointId);
    if (!live)
      throw new PosthornError(
        'INVALID_STATE',
        `The webhook ${webhook} was deleted; its deliveries can be read but not sent.`,
      );
    if (!live.endpoint.isActive)
      throw new PosthornError('INVALID_STATE', `The webhook ${webhook} is disabled; enable it first.`);
    if (status === 'held' && reason === 'over_quota') await quotas.learn(tenantId);
    if (status === 'held' && reason === 'over_quota' && quotas.isOver(tenantId)) {
      throw new PosthornError(
        'PLAN_LIMIT_EXCEEDED',
        `The events that the plan ${JSON.stringify(plans.of(tenantId)?.name)} sends in a day are used up: this is held until the next UTC day, or until the plan allows more.`,
      );
    }
    return live;
  }
}

/** The delivery that a text names, by its own id or by that of one of its attempts. */
function deliveryIdIn(text: string): Id | null {
  const parsed = parseId(text, text.startsWith(prefixes.attempt) ? prefixes.attempt : prefixes.delivery);
  return parsed && deliveryOfAttempt(parsed);
}

function stuck({ status }: DeliveryRow): PosthornError {
  const sources = sourcesOf('redeliver').map((from) => `"${from}"`);
  return new PosthornError(
    'INVALID_STATE',
    `The delivery is "${status}"; only ${sources.join(', ')} can be redelivered.`,
  );
}
