import { badField, notFound } from '../errors.ts';
import type { Event } from '../model/event.ts';
import { parseId, prefixes, type Id } from '../model/id.ts';
import type { DeliveryRow, EventFilter, Page, Store } from '../store/store.ts';
import type { Assignments } from './assignment.ts';
import type { EventVerbs } from './engine.ts';
import { FAN_OUT_SLICE } from './fan-out.ts';
import { EventMessage, payloadForgotten } from './message.ts';
import type { Plans } from './plans.ts';
import type { Quotas } from './quotas.ts';
import { ownIdKey } from './publish.ts';
import type { Redeliveries } from './redeliveries.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { Worker } from './worker.ts';

export interface EventsOptions {
  store: Store;
  subscriptions: Subscriptions;
  assignments: Assignments;
  worker: Worker;
  redeliveries: Redeliveries;
  plans: Plans;
  quotas: Quotas;
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  now: () => number;
}

/** The verbs on stored events. */
export class Events implements EventVerbs {
  readonly #o: EventsOptions;

  constructor(options: EventsOptions) {
    this.#o = options;
  }

  async get(tenantId: string, id: string): Promise<Event> {
    const { events } = this.#o.store;
    const parsed = parseId(id, prefixes.event);
    const byId = parsed && (await events.get(tenantId, parsed));
    if (byId) return byId;
    const owned = await events.findOwnId(tenantId, ownIdKey(id));
    const event = owned && (await events.get(tenantId, owned));
    if (!event) throw notFound('event', id);
    return event;
  }

  list(filter: EventFilter, page: Page): Promise<Event[]> {
    return this.#o.store.events.list(filter, page);
  }

  deliveries(tenantId: string, id: Id): Promise<DeliveryRow[]> {
    return this.#o.store.deliveries.list({ tenantId, eventId: id }, { limit: 1000, before: null });
  }

  async replay(tenantId: string, id: string, options: { endpointId?: Id } = {}): Promise<{ deliveries: number }> {
    const { store, subscriptions, assignments, worker, redeliveries, plans, quotas, catchUp, now } = this.#o;
    const event = await this.get(tenantId, id);
    plans.require(tenantId, 'webhooks', 'replay');
    if (event.data === '') throw payloadForgotten();
    await catchUp(); // an endpoint that another node made a moment ago is among those that missed it
    if (options.endpointId !== undefined && !subscriptions.get(tenantId, options.endpointId)) {
      throw badField('webhookId', 'is not a webhook of this tenant');
    }
    const isAskedFor = (endpointId: Id): boolean =>
      options.endpointId === undefined || options.endpointId === endpointId;

    const reached = await this.#endpointsOf(event);
    const missed = subscriptions
      .match(tenantId, event.type)
      .filter(({ endpoint }) => isAskedFor(endpoint.id) && !reached.has(endpoint.id));
    const filter = {
      tenantId,
      eventId: event.id,
      status: ['delivered', 'dead_letter', 'held', 'pending'] as const,
      ...(options.endpointId === undefined ? {} : { endpointId: options.endpointId }),
    };
    const again = await redeliveries.count(filter);

    const message = new EventMessage(event);
    let added = 0;
    for (let i = 0; i < missed.length; i += FAN_OUT_SLICE) {
      const present = subscriptions.present(missed.slice(i, i + FAN_OUT_SLICE));
      const assignment = assignments.of(event, present, now(), quotas.stillHolds(event));
      let stored: Set<Id>;
      try {
        stored = new Set(await store.addDeliveries(tenantId, event.id, assignment.deliveries, now()));
      } catch (error) {
        assignment.giveUp();
        throw error;
      }
      assignment.enter(message, stored);
      added += stored.size;
      worker.pump();
    }
    // Not those that have just been added: they are on their way.
    if (again > 0) redeliveries.begin(filter, now(), { only: reached });
    return { deliveries: again + added };
  }

  async #endpointsOf(event: Event): Promise<Set<Id>> {
    const reached = new Set<Id>();
    for (let before: Id | null = null; ;) {
      const rows = await this.#o.store.deliveries.list(
        { tenantId: event.tenantId, eventId: event.id },
        { limit: 1000, before },
      );
      for (const { endpointId } of rows) reached.add(endpointId);
      if (rows.length < 1000) return reached;
      before = rows.at(-1)!.id;
    }
  }
}
