import type { Logger } from 'pino';
import { badField, notFound, PosthornError } from '../errors.ts';
import type { DeliveryReason, DeliveryStatus } from '../model/delivery.ts';
import type { DisabledReason, Endpoint, Secret } from '../model/endpoint.ts';
import { newDeliveryId, newId, parseId, prefixes, type Id } from '../model/id.ts';
import type { RetryPolicy } from '../model/retry.ts';
import type { MoveRequest, Store } from '../store/store.ts';
import type { GuardPolicy, Sender } from '../transport/transport.ts';
import { checkEndpointFields, checkForFormat, wireFormatOf } from './endpoint-fields.ts';
import type { EndpointInput, EndpointStats, EndpointVerbs, TestResult } from './engine.ts';
import type { EventTypes } from './event-types.ts';
import type { Lines } from './lines.ts';
import { AttemptStamp, EventMessage } from './message.ts';
import type { Redeliveries } from './redeliveries.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import type { Tenants } from './tenants.ts';
import { keysAt, type Worker } from './worker.ts';

const DAY_MS = 86_400_000;
export const DEFAULT_GRACE_MS = DAY_MS;
const MAX_GRACE_MS = 7 * DAY_MS;
/** Each live secret signs every attempt. */
const MAX_SECRETS = 5;
/** Deliveries moved by one transaction. */
const MOVE_SLICE = 1_000;
/** Test deliveries of one tenant at once. */
const MAX_TESTS = 8;
const STATS_HOURS = 24;
const STATS_ATTEMPTS = 1_000;

export interface EndpointsOptions {
  store: Store;
  sender: Sender;
  subscriptions: Subscriptions;
  lines: Lines;
  worker: Worker;
  eventTypes: EventTypes;
  tenants: Tenants;
  redeliveries: Redeliveries;
  policy: GuardPolicy;
  /** What endpoints get that say nothing. */
  defaults: { wireFormat: string | object; retry: RetryPolicy; timeoutMs: number; concurrency: number };
  log: Logger;
  now: () => number;
  /** Held deliveries of an endpoint became pending: look for them. */
  onResumed: () => void;
}

/** The verbs on endpoints. A change is in force everywhere in the turn in which it is known to be durable. */
export class Endpoints implements EndpointVerbs {
  readonly #o: EndpointsOptions;
  /** Changes of one endpoint go one after the other. */
  readonly #changes = new Map<Id, Promise<unknown>>();
  /** Moves of deliveries that follow a change, one after the other. */
  #moves: Promise<void> = Promise.resolve();
  /** Test deliveries on the wire, by tenant: they take no slots. */
  readonly #tests = new Map<string, number>();
  #isStopped = false;

  constructor(options: EndpointsOptions) {
    this.#o = options;
  }

  async load(): Promise<void> {
    for (const endpoint of await this.#o.store.endpoints.all()) this.#o.subscriptions.put(this.#live(endpoint));
  }

  /** Finishes what a crash cut off between a change and the deliveries that follow it. */
  async reconcile(): Promise<void> {
    const { store, subscriptions } = this.#o;
    for (const { tenantId, endpointId } of await store.endpointsHaving('held')) {
      const live = subscriptions.get(tenantId, endpointId);
      if (!live) this.#follow({ tenantId, endpointId, from: 'held', to: 'cancelled', reason: 'endpoint_deleted' });
      else if (live.endpoint.isActive)
        this.#follow({ tenantId, endpointId, from: 'held', to: 'pending', reason: null });
    }
    for (const { tenantId, endpointId } of await store.endpointsHaving('pending')) {
      const live = subscriptions.get(tenantId, endpointId);
      if (!live) this.#follow({ tenantId, endpointId, from: 'pending', to: 'cancelled', reason: 'endpoint_deleted' });
      else if (!live.endpoint.isActive)
        this.#follow({ tenantId, endpointId, from: 'pending', to: 'held', reason: 'endpoint_disabled' });
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#moves;
  }

  list(tenantId: string): readonly Endpoint[] {
    return this.#o.subscriptions
      .ofTenant(tenantId)
      .map(({ endpoint }) => endpoint)
      .reverse();
  }

  get(tenantId: string, id: string): Endpoint {
    return this.#require(tenantId, id).endpoint;
  }

  async create(tenantId: string, input: EndpointInput): Promise<{ endpoint: Endpoint; secret: string }> {
    const { defaults, tenants, store, subscriptions, now } = this.#o;
    const fields = checkEndpointFields(input, this.#o);
    const wireFormat = fields.wireFormat ?? tenants.find(tenantId)?.wireFormat ?? defaults.wireFormat;
    const format = wireFormatOf(wireFormat);
    checkForFormat(format, fields.headers ?? null, fields.secret ?? null);
    const at = now();
    const secret = fields.secret ?? format.newSecret();
    const isActive = fields.isActive ?? true;
    const endpoint: Endpoint = {
      id: newId(at),
      tenantId,
      url: fields.url,
      events: fields.events,
      description: fields.description ?? null,
      isActive,
      disabledReason: isActive ? null : 'by_user',
      wireFormat,
      headers: fields.headers ?? null,
      retryScheduleMs: fields.retryScheduleMs ?? null,
      timeoutMs: fields.timeoutMs ?? null,
      concurrency: fields.concurrency ?? null,
      metadata: fields.metadata ?? null,
      secrets: [{ id: newId(at), value: secret, createdAt: at, expiresAt: null }],
      createdAt: at,
      updatedAt: at,
    };
    await store.endpoints.create(endpoint);
    subscriptions.put(this.#live(endpoint));
    return { endpoint, secret };
  }

  async update(tenantId: string, id: string, patch: Partial<EndpointInput>): Promise<Endpoint> {
    const fields = checkEndpointFields(patch, this.#o);
    return this.#change(tenantId, id, (before) => {
      const {
        secret,
        isActive,
        url,
        events,
        wireFormat,
        description,
        headers,
        retryScheduleMs,
        timeoutMs,
        concurrency,
        metadata,
      } = fields;
      const at = this.#o.now();
      const after: Endpoint = {
        ...before,
        url: url ?? before.url,
        events: events ?? before.events,
        wireFormat: wireFormat ?? before.wireFormat,
        description: description === undefined ? before.description : description,
        headers: headers === undefined ? before.headers : headers,
        retryScheduleMs: retryScheduleMs === undefined ? before.retryScheduleMs : retryScheduleMs,
        timeoutMs: timeoutMs === undefined ? before.timeoutMs : timeoutMs,
        concurrency: concurrency === undefined ? before.concurrency : concurrency,
        metadata: metadata === undefined ? before.metadata : metadata,
        secrets: secret == null ? before.secrets : [{ id: newId(at), value: secret, createdAt: at, expiresAt: null }],
        ...(isActive === undefined || isActive === before.isActive
          ? {}
          : { isActive, disabledReason: isActive ? null : 'by_user' }),
      };
      const format = wireFormatOf(after.wireFormat);
      checkForFormat(format, after.headers, secret ?? null);
      if (wireFormat != null && secret == null) this.#checkSecrets(format, after.secrets);
      return after;
    });
  }

  async remove(tenantId: string, id: string): Promise<void> {
    const { endpoint } = this.#require(tenantId, id);
    await this.#serially(endpoint.id, async () => {
      if (!this.#o.subscriptions.get(tenantId, endpoint.id)) throw notFound('webhook', id);
      await this.#o.store.endpoints.remove(tenantId, endpoint.id, this.#o.now());
      this.#o.subscriptions.remove(tenantId, endpoint.id);
      this.#clearLine(endpoint.id, null);
      for (const from of ['pending', 'held'] as const) {
        this.#follow({ tenantId, endpointId: endpoint.id, from, to: 'cancelled', reason: 'endpoint_deleted' });
      }
    });
  }

  async rotateSecret(
    tenantId: string,
    id: string,
    options: { graceMs?: number; secret?: string | null } = {},
  ): Promise<{ endpoint: Endpoint; secret: string }> {
    const graceMs = options.graceMs ?? DEFAULT_GRACE_MS;
    if (!Number.isInteger(graceMs) || graceMs < 0 || graceMs > MAX_GRACE_MS) {
      throw badField('gracePeriod', 'must be from 0s (the old secret ends at once) to 7d');
    }
    let secret = '';
    const endpoint = await this.#change(tenantId, id, (before) => {
      const format = wireFormatOf(before.wireFormat);
      checkForFormat(format, null, options.secret ?? null);
      secret = options.secret ?? format.newSecret();
      const at = this.#o.now();
      const [present, ...older] = before.secrets;
      const inGrace = graceMs > 0 && present ? [{ ...present, expiresAt: at + graceMs }, ...older] : [];
      if (inGrace.length >= MAX_SECRETS) {
        throw new PosthornError(
          'INVALID_STATE',
          `${MAX_SECRETS} secrets are in force already. Wait until one expires, or rotate with a grace period of 0s, which ends them all.`,
        );
      }
      return { ...before, secrets: [{ id: newId(at), value: secret, createdAt: at, expiresAt: null }, ...inGrace] };
    });
    return { endpoint, secret };
  }

  async enable(tenantId: string, id: string): Promise<Endpoint> {
    return this.#change(tenantId, id, (before) =>
      before.isActive ? null : { ...before, isActive: true, disabledReason: null },
    );
  }

  async disable(tenantId: string, id: string, reason: DisabledReason = 'by_user'): Promise<Endpoint> {
    return this.#change(tenantId, id, (before) =>
      before.isActive ? { ...before, isActive: false, disabledReason: reason } : null,
    );
  }

  /** Sends what was held although the endpoint is active: the outcome of an attempt was written late. */
  resumeHeld({ endpoint: { tenantId, id } }: LiveEndpoint): void {
    this.#follow({ tenantId, endpointId: id, from: 'held', to: 'pending', reason: null });
  }

  async test(tenantId: string, id: string, options: { type?: string; data?: string } = {}): Promise<TestResult> {
    const live = this.#require(tenantId, id);
    const { sender, now } = this.#o;
    const underWay = this.#tests.get(tenantId) ?? 0;
    if (underWay >= MAX_TESTS) {
      const message = `${MAX_TESTS} test deliveries of this tenant are under way; wait until one has ended.`;
      throw new PosthornError('TOO_MANY_REQUESTS', message, { retryAfterSeconds: 1 });
    }
    this.#tests.set(tenantId, underWay + 1);
    const at = now();
    const type = options.type ?? live.endpoint.events.find((pattern) => !pattern.includes('*')) ?? 'posthorn.test';
    const message = new EventMessage({
      id: newId(at),
      tenantId,
      ownId: null,
      type,
      data: options.data ?? JSON.stringify({ test: true, message: 'A test delivery: nothing happened.' }),
      occurredAt: at,
      category: null,
      group: null,
      source: 'posthorn',
      createdAt: at,
    });
    const body = message.body(live.format);
    const stamp = new AttemptStamp(newDeliveryId(at), 1, at);
    const headers = live.format.headers(message, body, keysAt(live, at), stamp, live.extraHeaders);
    return new Promise((resolve) => {
      sender.send({ url: live.endpoint.url, headers, body, timeoutMs: live.timeoutMs }, (exchange) => {
        const left = this.#tests.get(tenantId)! - 1;
        if (left > 0) this.#tests.set(tenantId, left);
        else this.#tests.delete(tenantId);
        const { statusCode, reason, responseBody, totalMs } = exchange;
        const succeeded = reason === null && statusCode !== null && statusCode >= 200 && statusCode < 300;
        resolve({ succeeded, statusCode, failure: reason, responseBody, durationMs: totalMs });
      });
    });
  }

  async replay(
    tenantId: string,
    id: string,
    options: { from?: number; to?: number; status?: readonly DeliveryStatus[] } = {},
  ): Promise<{ deliveries: number }> {
    const { endpoint } = this.#require(tenantId, id);
    if (!endpoint.isActive)
      throw new PosthornError(
        'INVALID_STATE',
        `The webhook ${prefixes.endpoint}${endpoint.id} is disabled; enable it first.`,
      );
    return this.#o.redeliveries.start({
      tenantId,
      endpointId: endpoint.id,
      status: options.status ?? ['dead_letter', 'held'],
      ...(options.from === undefined ? {} : { from: options.from }),
      ...(options.to === undefined ? {} : { to: options.to }),
    });
  }

  async stats(tenantId: string, id: string): Promise<EndpointStats> {
    const { endpoint } = this.#require(tenantId, id);
    const { store, now } = this.#o;
    const from = now() - STATS_HOURS * 3_600_000;
    const [deliveries, attempts] = await Promise.all([
      store.deliveries.countByStatus({ tenantId, endpointId: endpoint.id, from }),
      store.deliveries.recentAttempts(tenantId, endpoint.id, STATS_ATTEMPTS),
    ]);
    const recent = attempts.filter(({ startedAt }) => startedAt >= from);
    const durations = recent.map(({ durationMs }) => durationMs).sort((a, b) => a - b);
    const at = (share: number): number | null =>
      durations[Math.min(durations.length - 1, Math.floor(durations.length * share))] ?? null;
    return {
      hours: STATS_HOURS,
      deliveries,
      durationMsP50: at(0.5),
      durationMsP99: at(0.99),
      successRate: recent.length === 0 ? null : recent.filter(({ succeeded }) => succeeded).length / recent.length,
    };
  }

  #require(tenantId: string, id: string): LiveEndpoint {
    const parsed = parseId(id, prefixes.endpoint);
    const live = parsed && this.#o.subscriptions.get(tenantId, parsed);
    if (!live) throw notFound('webhook', id);
    return live;
  }

  /** Reads, changes, stores and puts in force, after the changes of this endpoint that came before. Null changes nothing. */
  async #change(tenantId: string, id: string, next: (before: Endpoint) => Endpoint | null): Promise<Endpoint> {
    return this.#serially(this.#require(tenantId, id).endpoint.id, async () => {
      const { store, subscriptions, now } = this.#o;
      const before = this.#require(tenantId, id).endpoint;
      const changed = next(before);
      if (changed === null) return before;
      const at = now();
      const after: Endpoint = {
        ...changed,
        secrets: changed.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > at),
        updatedAt: at,
      };
      const live = this.#live(after);
      await store.endpoints.update(after);
      subscriptions.put(live);
      if (after.url !== before.url || (after.isActive && !before.isActive)) this.#o.worker.startAfresh(live);
      if (before.isActive && !after.isActive) {
        this.#clearLine(after.id, live);
        this.#follow({ tenantId, endpointId: after.id, from: 'pending', to: 'held', reason: 'endpoint_disabled' });
      } else if (!before.isActive && after.isActive) {
        this.#follow({ tenantId, endpointId: after.id, from: 'held', to: 'pending', reason: null });
      }
      return after;
    });
  }

  async #serially<T>(id: Id, work: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(id) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#changes.set(id, mine);
    try {
      return await mine;
    } finally {
      if (this.#changes.get(id) === mine) this.#changes.delete(id);
    }
  }

  /** What waits in memory goes back at once; what is on the wire finds out when it ends. */
  #clearLine(endpointId: Id, live: LiveEndpoint | null): void {
    const { lines, worker } = this.#o;
    const line = lines.find(endpointId);
    if (!line) return;
    worker.clear(line, live);
    if (!live) lines.forget(endpointId);
  }

  /** Moves the deliveries of an endpoint in slices, as long as its state is still the one that asks for it. */
  #follow(request: {
    tenantId: string;
    endpointId: Id;
    from: MoveRequest['from'];
    to: MoveRequest['to'];
    reason: DeliveryReason | null;
  }): void {
    const { store, subscriptions, log, now, onResumed } = this.#o;
    const wanted = (): boolean => {
      const live = subscriptions.get(request.tenantId, request.endpointId);
      if (request.to === 'cancelled') return !live;
      return live?.endpoint.isActive === (request.to === 'pending');
    };
    this.#moves = this.#moves.then(async () => {
      while (!this.#isStopped && wanted()) {
        try {
          const moved = await store.moveDeliveries({ ...request, limit: MOVE_SLICE, now: now() });
          if (request.to === 'pending' && moved > 0) onResumed();
          if (moved < MOVE_SLICE) return;
        } catch (error) {
          log.warn(
            { endpoint: prefixes.endpoint + request.endpointId, to: request.to, error: String(error) },
            'deliveries.not_moved',
          );
          await new Promise((resolve) => setTimeout(resolve, 1000));
        }
      }
    });
  }

  #checkSecrets(format: ReturnType<typeof wireFormatOf>, secrets: readonly Secret[]): void {
    if (secrets.every(({ value }) => format.checkSecret(value) === null)) return;
    throw badField(
      'wireFormat',
      `the present secret does not fit the format "${format.name}"; give a new one as "secret" in the same request`,
    );
  }

  #live(endpoint: Endpoint): LiveEndpoint {
    const { defaults } = this.#o;
    const format = wireFormatOf(endpoint.wireFormat);
    return {
      endpoint,
      format,
      keys: endpoint.secrets.map(({ value, expiresAt }) => ({ key: format.key(value), expiresAt })),
      extraHeaders: endpoint.headers === null ? null : Object.entries(endpoint.headers).flat(),
      retry:
        endpoint.retryScheduleMs === null
          ? defaults.retry
          : { ...defaults.retry, scheduleMs: endpoint.retryScheduleMs },
      timeoutMs: endpoint.timeoutMs ?? defaults.timeoutMs,
      concurrency: endpoint.concurrency ?? defaults.concurrency,
    };
  }
}
