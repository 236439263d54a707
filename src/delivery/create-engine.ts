import type { Logger } from 'pino';
import type { Endpoint } from '../model/endpoint.ts';
import type { RecordChange, Store, StoreListener } from '../store/store.ts';
import type { GuardPolicy, Sender } from '../transport/transport.ts';
import { Admission } from './admission.ts';
import { Assignments } from './assignment.ts';
import { Claims } from './claims.ts';
import { Coalesced } from './coalesced.ts';
import { Deliveries } from './deliveries.ts';
import { EndpointChanges } from './endpoint-changes.ts';
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
import { RecordChanges } from './record-changes.ts';
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
  /** Days after which events lose their data and keep their history; default 0 = as long as the events. */
  payloadRetentionDays?: number;
  /** When an endpoint that only fails is disabled; default null = never. */
  disableAfter?: DisableAfter | null;
  /** Exchanges at once on this node; default 1,024. */
  slots?: number;
  /** Deliveries that wait in memory; default 10,000, and at most 64 MiB of payloads. */
  capacity?: number;
  /** False: events that come in are left to other nodes, and nothing is sent; default true. */
  delivers?: boolean;
  /**
   * Members, their sessions and API keys that other nodes changed, or `everything`: to be read anew. Called again, for
   * the same, after it rejected with a fault of the store.
   */
  onRecordsChanged?: (changes: readonly RecordChange[] | 'everything') => Promise<void>;
  log: Logger;
  /** Epoch ms; default the store's clock. */
  now?: () => number;
  random?: () => number;
}

/** When work of a node that is gone is told of, the store is looked through at most so often. */
const RESUME_SPACING_MS = 1_000;
const RECONCILE_SPACING_MS = 60_000;
/** Word of a node that is gone also comes where others merely left something due: not at each of them. */
const RECONCILE_EVERY_MS = 600_000;

const CAPACITY_BYTES = 64 * 1024 * 1024;

/** The engine with its beginning and its end. */
export interface RunningEngine extends Engine {
  /** Reads endpoints, types and tenants from an opened store and takes up what is due. */
  start(): Promise<void>;
  /** Claims and sends nothing new, waits for what is on the wire at most `graceMs`. The store is still the caller's to close. */
  stop(graceMs: number): Promise<void>;
  /** Deletes what is past its retention now; resolves to the number of events. */
  sweep(): Promise<number>;
  /** As the store tells it: what waits here is leased no more, and is claimed anew. */
  leasesLost(): void;
}

/** Puts the parts together. Nothing runs before `start`. */
export function createEngine(options: EngineOptions): RunningEngine {
  const { store, sender, policy, log, defaults, catalogue, retentionDays } = options;
  const { delivers = true } = options;
  const { cluster } = store;
  const now = options.now ?? (() => store.now());
  const random = options.random ?? Math.random;
  const subscriptions = new Subscriptions();
  const lines = new Lines({
    slots: options.slots ?? 1024,
    capacity: options.capacity ?? 10_000,
    capacityBytes: CAPACITY_BYTES,
  });
  const admission = new Admission(lines);
  const catchUp = (): Promise<void> => recordChanges.catchUp();
  const eventTypes = new EventTypes({ store, catalogue, catchUp, now });
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
  const tenants: Tenants = new Tenants({ store, plans, quotas, subscriptions, retentionDays, catchUp, now });
  const moves: Moves = new Moves({
    store,
    subscriptions,
    quotas,
    refresh: (tenantId, endpointId) => changes.read(tenantId, endpointId),
    log,
    now,
    onResumed: () => {
      claims.dueAt(now());
    },
  });
  const disableFor = (reason: 'gone' | 'failing', endpoint: Endpoint): void => {
    changes.disableFor(reason, endpoint).catch((error: unknown) => {
      log.warn({ error: String(error) }, 'endpoint.not_disabled');
    });
  };

  const claims: Claims = new Claims({
    store,
    lines,
    subscriptions,
    worker: () => worker,
    refresh: (tenantId, endpointId) => changes.find(tenantId, endpointId),
    delivers,
    log,
    now,
  });
  const worker: Worker = new Worker({
    store,
    sender,
    lines,
    subscriptions,
    log,
    now,
    random,
    onFinish: (line) => {
      admission.onRoom(line);
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
  const assignments = new Assignments({ cluster, lines, claims, subscriptions, quotas, moves });
  const fanOuts = new FanOuts({ store, subscriptions, assignments, worker, quotas, catchUp, log, now });
  const publisher = new Publisher({
    ...{ store, lines, admission, subscriptions, eventTypes, assignments, worker, fanOuts, quotas, catchUp, now },
  });
  const redeliveries = new Redeliveries({ store, lines, subscriptions, claims, quotas, log, now });
  const changes: EndpointChanges = new EndpointChanges({
    ...{ store, subscriptions, lines, worker, moves, redeliveries, defaults, catchUp, random, log, now },
  });
  const endpoints = new Endpoints({
    ...{
      store,
      sender,
      subscriptions,
      changes,
      eventTypes,
      tenants,
      plans,
      redeliveries,
      policy,
      defaults,
      catchUp,
      now,
    },
  });
  const recordChanges: RecordChanges = new RecordChanges({
    cluster,
    followers: [
      { kinds: ['event_type'], follow: (those) => eventTypes.follow(those) },
      { kinds: ['plan'], follow: (those) => plans.follow(those) },
      { kinds: ['tenant'], follow: (those) => tenants.follow(those) },
      {
        kinds: ['member', 'session', 'api_key'],
        follow: (those) => options.onRecordsChanged?.(those) ?? Promise.resolve(),
      },
      { kinds: ['endpoint'], follow: (those) => changes.follow(those) },
    ],
    log,
  });
  const retention = new Retention({
    ...{ store, plans, tenants, retentionDays, log, now },
    payloadRetentionDays: options.payloadRetentionDays ?? 0,
  });

  const resuming = new Coalesced(() => fanOuts.resume(), RESUME_SPACING_MS);
  const reconciling = new Coalesced(() => moves.reconcile(), RECONCILE_SPACING_MS);
  let reconciledAt = performance.now();
  let state: 'new' | 'started' | 'stopped' = 'new';

  function takePlace(): void {
    lines.place = delivers ? (cluster?.place() ?? { index: 0, count: 1 }) : { index: 0, count: 0 };
  }

  /** Finishes what a node that is gone left between a change and the deliveries that follow it. */
  function reconcile(): void {
    reconciledAt = performance.now();
    reconciling.run().catch((error: unknown) => {
      log.warn({ error: String(error) }, 'deliveries.not_reconciled');
    });
  }

  const listener: StoreListener = {
    leasesLost() {
      if (state !== 'started') return;
      log.error('leases.lost');
      worker.leasesLost();
      void changes.reload();
      void fanOuts.resume();
      claims.start();
    },
    orphansFound() {
      if (state !== 'started') return;
      claims.start();
      void resuming.run();
      if (performance.now() - reconciledAt >= RECONCILE_EVERY_MS) reconcile();
    },
    recordsChanged(those) {
      recordChanges.changed(those);
    },
    placeChanged() {
      // At once, and before this node says that it knows: what others may send from then on is theirs.
      const before = lines.place.count;
      takePlace();
      if (state !== 'started') return undefined;
      if (lines.place.count < before) reconcile();
      claims.start();
      return worker.placeChanged();
    },
    endpointPaused(tenantId, endpointId, until) {
      worker.pauses.heard(tenantId, endpointId, until);
    },
  };
  store.listen(listener);

  return {
    publish: (tenantId, input) => publisher.publish(tenantId, input),
    publishBatch: (tenantId, inputs) => publisher.publishBatch(tenantId, inputs),
    events: new Events({ store, subscriptions, assignments, worker, redeliveries, plans, quotas, catchUp, now }),
    endpoints,
    deliveries: new Deliveries({
      ...{ store, subscriptions, redeliveries, plans, quotas, endpoints: changes, now },
      outcomes: worker.settling.outcomes,
    }),
    eventTypes,
    tenants,
    plans,
    ready: () => store.check(),
    sweep: async () => (await retention.sweep()).events,
    catchUp,
    leasesLost: () => {
      listener.leasesLost();
    },

    async start() {
      await Promise.all([eventTypes.load(), plans.load()]);
      await tenants.load();
      await changes.load();
      for (const { tenantId, endpointId, until } of (await cluster?.pauses()) ?? []) {
        worker.pauses.heard(tenantId, endpointId, until);
      }
      takePlace();
      recordChanges.begin();
      state = 'started';
      await moves.reconcile();
      await fanOuts.resume();
      claims.start();
      retention.start();
    },

    async stop(graceMs) {
      state = 'stopped';
      changes.stop();
      recordChanges.stop();
      await Promise.all([claims.stop(), retention.stop(), redeliveries.stop(), fanOuts.stop(), moves.stop()]);
      await worker.stop(graceMs);
      await quotas.stop(); // last: the others may ask it until they have ended
    },
  };
}
