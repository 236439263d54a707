import type { Logger } from 'pino';
import type { Endpoint } from '../model/endpoint.ts';
import type { Store } from '../store/store.ts';
import type { GuardPolicy, Sender } from '../transport/transport.ts';
import { Claims } from './claims.ts';
import { Deliveries } from './deliveries.ts';
import { Endpoints } from './endpoints.ts';
import type { Engine } from './engine.ts';
import { Events } from './events.ts';
import { EventTypes } from './event-types.ts';
import { Failures, type DisableAfter } from './failures.ts';
import { FanOuts } from './fan-out.ts';
import { Lines } from './lines.ts';
import type { EndpointDefaults } from './live-endpoint.ts';
import { Moves } from './moves.ts';
import { Plans } from './plans.ts';
import { Publisher } from './publish.ts';
import { Quotas } from './quotas.ts';
import { Redeliveries } from './redeliveries.ts';
import { Retention } from './retention.ts';
import { Subscriptions } from './subscriptions.ts';
import { Tenants } from './tenants.ts';
import { Worker } from './worker.ts';

export interface EngineOptions {
  store: Store;
  sender: Sender;
  policy: GuardPolicy;
  catalogue: 'open' | 'closed';
  defaults: EndpointDefaults;
  /** 0 = for ever. */
  retentionDays: number;
  /** When an endpoint that only fails is disabled; default null = never. */
  disableAfter?: DisableAfter | null;
  /** Exchanges at once on this node; default 1,024. */
  slots?: number;
  /** Deliveries that wait in memory; default 10,000, and at most 64 MiB of payloads. */
  capacity?: number;
  log: Logger;
  now?: () => number;
  random?: () => number;
}

const CAPACITY_BYTES = 64 * 1024 * 1024;

/** The engine with its beginning and its end. */
export interface RunningEngine extends Engine {
  /** Reads endpoints, types and tenants from an opened store and takes up what is due. */
  start(): Promise<void>;
  /** Claims and sends nothing new, waits for what is on the wire at most `graceMs`. The store is still the caller's to close. */
  stop(graceMs: number): Promise<void>;
  /** Deletes what is past its retention now; resolves to the number of events. */
  sweep(): Promise<number>;
  /** The store began a new session by itself: what waits here is leased no more, and is claimed anew. */
  leasesLost(): void;
}

/** Puts the parts together. Nothing runs before `start`. */
export function createEngine(options: EngineOptions): RunningEngine {
  const { store, sender, policy, log, defaults, catalogue, retentionDays } = options;
  const now = options.now ?? Date.now;
  const random = options.random ?? Math.random;
  const subscriptions = new Subscriptions();
  const lines = new Lines({
    slots: options.slots ?? 1024,
    capacity: options.capacity ?? 10_000,
    capacityBytes: CAPACITY_BYTES,
  });
  const eventTypes = new EventTypes({ store, catalogue, now });
  const plans: Plans = new Plans({
    store,
    tenants: () => tenants,
    now,
    onChange: (tenantIds) => quotas.refresh(tenantIds),
  });
  const quotas: Quotas = new Quotas({
    store,
    plans,
    log,
    now,
    onOpen: (tenantId) => {
      moves.resumeTenant(tenantId);
    },
  });
  const tenants: Tenants = new Tenants({ store, plans, quotas, subscriptions, retentionDays, now });
  const moves = new Moves({
    store,
    subscriptions,
    quotas,
    log,
    now,
    onResumed: () => {
      claims.dueAt(now());
    },
  });
  const disableFor = (reason: 'gone' | 'failing', endpoint: Endpoint): void => {
    endpoints.disableFor(reason, endpoint).catch((error: unknown) => {
      log.warn({ error: String(error) }, 'endpoint.not_disabled');
    });
  };

  const claims: Claims = new Claims({ store, lines, subscriptions, worker: () => worker, log, now });
  const worker: Worker = new Worker({
    store,
    sender,
    lines,
    subscriptions,
    log,
    now,
    random,
    onFinish: (line) => {
      publisher.onRoom();
      claims.onFinish(line);
    },
    onHeldInVain: ({ endpoint }) => {
      moves.resume({ tenantId: endpoint.tenantId, endpointId: endpoint.id });
    },
    onDue: (dueAt) => {
      claims.dueAt(dueAt);
    },
    onGone: ({ endpoint }) => {
      disableFor('gone', endpoint);
    },
    failures:
      options.disableAfter == null
        ? null
        : new Failures({
            store,
            disableAfter: options.disableAfter,
            log,
            now,
            onFailing: ({ endpoint }) => {
              disableFor('failing', endpoint);
            },
          }),
  });
  const fanOuts = new FanOuts({ store, lines, subscriptions, claims, worker, quotas, log, now });
  const publisher = new Publisher({ store, lines, subscriptions, eventTypes, claims, worker, fanOuts, quotas, now });
  const redeliveries = new Redeliveries({ store, lines, subscriptions, claims, quotas, log, now });
  const endpoints = new Endpoints({
    store,
    sender,
    subscriptions,
    lines,
    worker,
    eventTypes,
    tenants,
    plans,
    moves,
    redeliveries,
    policy,
    defaults,
    log,
    now,
  });
  const retention = new Retention({ store, plans, tenants, retentionDays, log, now });

  return {
    publish: (tenantId, input) => publisher.publish(tenantId, input),
    publishBatch: (tenantId, inputs) => publisher.publishBatch(tenantId, inputs),
    events: new Events({ store, subscriptions, lines, claims, worker, redeliveries, plans, quotas, now }),
    endpoints,
    deliveries: new Deliveries({ store, subscriptions, redeliveries, plans, quotas, outcomes: worker.outcomes, now }),
    eventTypes,
    tenants,
    plans,
    ready: () => store.check(),
    sweep: () => retention.sweep(),
    leasesLost() {
      for (const line of lines.all()) lines.drain(line);
      void endpoints.reload();
      void fanOuts.resume();
      claims.start();
    },

    async start() {
      await Promise.all([eventTypes.load(), plans.load()]);
      await tenants.load();
      await endpoints.load();
      await moves.reconcile();
      await fanOuts.resume();
      claims.start();
      retention.start();
    },

    async stop(graceMs) {
      quotas.stop();
      endpoints.stop();
      await Promise.all([claims.stop(), retention.stop(), redeliveries.stop(), fanOuts.stop(), moves.stop()]);
      await worker.stop(graceMs);
    },
  };
}
