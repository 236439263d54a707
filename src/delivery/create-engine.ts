import type { Logger } from 'pino';
import type { RetryPolicy } from '../model/retry.ts';
import type { Store } from '../store/store.ts';
import type { GuardPolicy, Sender } from '../transport/transport.ts';
import { Claims } from './claims.ts';
import { Deliveries } from './deliveries.ts';
import { Endpoints } from './endpoints.ts';
import type { Engine } from './engine.ts';
import { Events } from './events.ts';
import { EventTypes } from './event-types.ts';
import { FanOuts } from './fan-out.ts';
import { Lines } from './lines.ts';
import { Publisher } from './publish.ts';
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
  /** What endpoints get that say nothing. */
  defaults: { wireFormat: string | object; retry: RetryPolicy; timeoutMs: number; concurrency: number };
  retentionDays: number;
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
  const tenants = new Tenants({ store, now });

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
    onHeldInVain: (live) => {
      endpoints.resumeHeld(live);
    },
    onDue: (dueAt) => {
      claims.dueAt(dueAt);
    },
    onGone: ({ endpoint }) => {
      endpoints.disable(endpoint.tenantId, endpoint.id, 'gone').catch((error: unknown) => {
        log.warn({ error: String(error) }, 'endpoint.not_disabled');
      });
    },
  });
  const fanOuts = new FanOuts({ store, lines, subscriptions, claims, worker, log, now });
  const publisher = new Publisher({ store, lines, subscriptions, eventTypes, claims, worker, fanOuts, now });
  const redeliveries = new Redeliveries({ store, lines, subscriptions, claims, log, now });
  const endpoints = new Endpoints({
    store,
    sender,
    subscriptions,
    lines,
    worker,
    eventTypes,
    tenants,
    redeliveries,
    policy,
    defaults,
    log,
    now,
    onResumed: () => {
      claims.dueAt(now());
    },
  });
  const retention = new Retention({ store, retentionDays, log, now });

  return {
    publish: (tenantId, input) => publisher.publish(tenantId, input),
    publishBatch: (tenantId, inputs) => publisher.publishBatch(tenantId, inputs),
    events: new Events({ store, subscriptions, lines, claims, worker, redeliveries, now }),
    endpoints,
    deliveries: new Deliveries({ store, subscriptions, redeliveries, now }),
    eventTypes,
    tenants,
    ready: () => store.check(),
    sweep: () => retention.sweep(),
    leasesLost() {
      for (const line of lines.all()) lines.drain(line);
      void fanOuts.resume();
      claims.start();
    },

    async start() {
      await Promise.all([eventTypes.load(), tenants.load()]);
      await endpoints.load();
      await endpoints.reconcile();
      await fanOuts.resume();
      claims.start();
      retention.start();
    },

    async stop(graceMs) {
      await Promise.all([claims.stop(), retention.stop(), redeliveries.stop(), fanOuts.stop(), endpoints.stop()]);
      await worker.stop(graceMs);
    },
  };
}
