import type { Logger } from 'pino';
import { badField, notFound, PosthornError } from '../errors.ts';
import type { DeliveryStatus } from '../model/delivery.ts';
import type { DisabledReason, Endpoint } from '../model/endpoint.ts';
import { parseId, prefixes, type Id } from '../model/id.ts';
import type { Plan } from '../model/tenant.ts';
import type { CreateEndpointOutcome, Store } from '../store/store.ts';
import type { GuardPolicy, Sender } from '../transport/transport.ts';
import { dedupeOfCreation, draftEndpoint, isOtherSecret, originalSecret } from './endpoint-draft.ts';
import type { DefaultFormats } from './endpoint-draft.ts';
import { checkEndpointFields } from './endpoint-fields.ts';
import { importedEndpoint, isSameEndpoint } from './endpoint-import.ts';
import { patchedEndpoint, rotatedEndpoint } from './endpoint-patch.ts';
import { endpointStats } from './endpoint-stats.ts';
import type {
  CreateOptions,
  EndpointInput,
  EndpointStats,
  EndpointVerbs,
  ImportInput,
  ImportOutcome,
  PublicKey,
  TestOptions,
  TestResult,
} from './engine.ts';
import type { EventTypes } from './event-types.ts';
import type { Lines } from './lines.ts';
import { liveEndpoint, type EndpointDefaults } from './live-endpoint.ts';
import { publicEndpointId } from './message.ts';
import type { Moves } from './moves.ts';
import type { Plans } from './plans.ts';
import type { Redeliveries } from './redeliveries.ts';
import { isStoreFault } from './store-fault.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import type { Tenants } from './tenants.ts';
import { TestDeliveries } from './test-deliveries.ts';
import { Turns } from './turns.ts';
import type { Worker } from './worker.ts';

const DAY_MS = 86_400_000;
const DEFAULT_GRACE_MS = DAY_MS;
const MAX_GRACE_MS = 7 * DAY_MS;
const AGAIN_AFTER_FAULT_MS = 1_000;

export interface EndpointsOptions {
  store: Store;
  sender: Sender;
  subscriptions: Subscriptions;
  lines: Lines;
  worker: Worker;
  eventTypes: EventTypes;
  tenants: Tenants;
  plans: Plans;
  moves: Moves;
  redeliveries: Redeliveries;
  policy: GuardPolicy;
  defaults: EndpointDefaults;
  log: Logger;
  now: () => number;
}

/** The verbs on endpoints. A change is in force everywhere in the turn in which it is known to be durable. */
export class Endpoints implements EndpointVerbs {
  readonly #o: EndpointsOptions;
  readonly #tests: TestDeliveries;
  /** Changes of one endpoint go one after the other. */
  readonly #turns = new Turns();
  #isStopped = false;

  constructor(options: EndpointsOptions) {
    this.#o = options;
    this.#tests = new TestDeliveries(options);
  }

  async load(): Promise<void> {
    for (const endpoint of await this.#o.store.endpoints.all()) this.#o.subscriptions.put(this.#live(endpoint));
  }

  /** Looks again what the store has: it may have made a change whose answer was lost with its writer. */
  async reload(): Promise<void> {
    const { store, subscriptions, log } = this.#o;
    while (!this.#isStopped) {
      try {
        const stored = new Map((await store.endpoints.all()).map((endpoint) => [endpoint.id, endpoint]));
        const known = new Map([...subscriptions.all()].map(({ endpoint }) => [endpoint.id, endpoint]));
        for (const [id, { tenantId }] of new Map([...stored, ...known])) {
          if (JSON.stringify(stored.get(id)) !== JSON.stringify(known.get(id))) await this.#reloadOne(tenantId, id);
        }
        return;
      } catch (error) {
        log.warn({ error: String(error) }, 'endpoints.not_reloaded');
        if (!isStoreFault(error)) return;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
      }
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  list(tenantId: string): readonly Endpoint[] {
    return this.#o.subscriptions.list(tenantId);
  }

  get(tenantId: string, id: string): Endpoint {
    return this.#require(tenantId, id).endpoint;
  }

  find(id: string): Endpoint | null {
    return this.#o.subscriptions.anywhere(id)?.endpoint ?? null;
  }

  async create(
    tenantId: string,
    input: EndpointInput,
    options: CreateOptions = {},
  ): Promise<{ endpoint: Endpoint; secret: string; replayed: boolean }> {
    const plan = this.#checkPlan(tenantId, input);
    const dedupe = dedupeOfCreation(input, options.idempotencyKey) ?? null;
    const fields = checkEndpointFields(input, this.#o);
    const formats = this.#formatsOf(tenantId, options);
    const endpoint = draftEndpoint(tenantId, fields, formats, this.#o.now());
    const outcome = await this.#store(endpoint, plan, dedupe);
    if (outcome.kind === 'repeated') return this.#repeated(tenantId, input, outcome);
    if (outcome.kind === 'taken') throw alreadyExists(endpoint);
    return { endpoint, secret: endpoint.secrets[0]!.value, replayed: false };
  }

  async import(tenantId: string, input: ImportInput, options: { dryRun: boolean }): Promise<ImportOutcome> {
    const { store, subscriptions, now } = this.#o;
    const plan = this.#checkPlan(tenantId, input);
    const fields = checkEndpointFields(input, this.#o);
    const wanted = importedEndpoint(tenantId, fields, this.#formatsOf(tenantId), now());
    const checked = (present: Endpoint | null): ImportOutcome => {
      if (!present || !isSameEndpoint(present, wanted, input, now())) throw alreadyExists(wanted);
      return { status: 'exists', endpoint: present };
    };
    const present = this.#sameId(wanted);
    if (present) return checked(present);
    if (options.dryRun) {
      if (plan?.endpointLimit != null && subscriptions.count(tenantId) >= plan.endpointLimit) throw noRoom(plan);
      if (await store.endpoints.get(tenantId, wanted.id, { deleted: true })) throw alreadyExists(wanted);
      return { status: 'created', endpoint: wanted };
    }
    const outcome = await this.#store(wanted, plan, null);
    if (outcome.kind === 'created') return { status: 'created', endpoint: wanted };
    // Somebody else was quicker, or had it once and deleted it.
    return checked(this.#sameId(wanted) ?? (await store.endpoints.get(tenantId, wanted.id)));
  }

  publicKeys(id: string): readonly PublicKey[] {
    const { subscriptions, now } = this.#o;
    // By the id that is unique over all tenants: an own id may be several tenants'.
    const parsed = parseId(id, prefixes.endpoint);
    const live = parsed && subscriptions.find(parsed);
    if (!live) throw notFound('webhook', id);
    const at = now();
    return live.endpoint.secrets.flatMap(({ value, createdAt, expiresAt }) => {
      if (expiresAt !== null && expiresAt <= at) return [];
      const key = live.format.publicKey(value);
      return key === null ? [] : { key, createdAt, expiresAt };
    });
  }

  async update(tenantId: string, id: string, patch: Partial<EndpointInput>): Promise<Endpoint> {
    this.#require(tenantId, id);
    const given = Object.entries(patch).filter(([, value]) => value !== undefined);
    const onlyDisables = given.length === 1 && patch.isActive === false;
    if (!onlyDisables) this.#checkPlan(tenantId, patch);
    const fields = checkEndpointFields(patch, this.#o);
    return this.#change(tenantId, id, (before) => patchedEndpoint(before, fields, this.#o.now()));
  }

  async remove(tenantId: string, id: string): Promise<void> {
    const { endpoint } = this.#require(tenantId, id);
    await this.#turns.take(endpoint.id, async () => {
      this.#require(tenantId, id);
      await this.#o.store.endpoints.remove(tenantId, endpoint.id, this.#o.now());
      this.#takeOut(endpoint);
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
    const endpoint = await this.#change(tenantId, id, (before) =>
      rotatedEndpoint(before, options.secret ?? null, graceMs, this.#o.now()),
    );
    return { endpoint, secret: endpoint.secrets[0]!.value };
  }

  async enable(tenantId: string, id: string): Promise<Endpoint> {
    this.#require(tenantId, id);
    this.#o.plans.require(tenantId, 'webhooks');
    return this.#change(tenantId, id, (before) =>
      before.isActive ? null : { ...before, isActive: true, disabledReason: null },
    );
  }

  async disable(tenantId: string, id: string): Promise<Endpoint> {
    return this.#change(tenantId, id, (before) => disabled(before, 'by_user'));
  }

  /** For what its receiver did: not where it has gone on to another URL, or is disabled or deleted, meanwhile. */
  async disableFor(reason: 'gone' | 'failing', { tenantId, id, url }: Endpoint): Promise<void> {
    await this.#turns.take(id, async () => {
      const before = this.#o.subscriptions.find(id)?.endpoint;
      if (!before?.isActive || before.url !== url) return;
      await this.#apply(before, disabled(before, reason));
      this.#o.log.warn({ tenant: tenantId, endpoint: publicEndpointId(before), reason }, 'endpoint.disabled');
    });
  }

  async test(tenantId: string, id: string, options: TestOptions = {}): Promise<TestResult> {
    const live = this.#require(tenantId, id);
    this.#o.plans.require(tenantId, 'webhooks');
    return this.#tests.send(live, options);
  }

  async replay(
    tenantId: string,
    id: string,
    options: { from?: number; to?: number; status?: readonly DeliveryStatus[] } = {},
  ): Promise<{ deliveries: number }> {
    const { endpoint } = this.#require(tenantId, id);
    this.#o.plans.require(tenantId, 'webhooks', 'replay');
    if (!endpoint.isActive)
      throw new PosthornError(
        'INVALID_STATE',
        `The webhook ${publicEndpointId(endpoint)} is disabled; enable it first.`,
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
    return endpointStats(this.#o.store, tenantId, endpoint.id, this.#o.now());
  }

  #require(tenantId: string, id: string): LiveEndpoint {
    const live = this.#o.subscriptions.named(tenantId, id);
    if (!live) throw notFound('webhook', id);
    return live;
  }

  /** What the tenant's plan includes; resolves to the plan, whose limit the store sees to. */
  #checkPlan(tenantId: string, { wireFormat }: Partial<EndpointInput>): Plan | null {
    const { plans } = this.#o;
    plans.require(tenantId, 'webhooks');
    if (wireFormat != null) plans.require(tenantId, 'wire_formats');
    return plans.of(tenantId);
  }

  #formatsOf(tenantId: string, { wireFormat, keyFormat }: CreateOptions = {}): DefaultFormats {
    const { tenants, defaults } = this.#o;
    const instance = defaults.wireFormat;
    const own = wireFormat ?? tenants.find(tenantId)?.wireFormat ?? keyFormat ?? instance;
    return { own, instance };
  }

  /** The endpoint that has the id already, of any tenant, or this tenant's with the same own id. */
  #sameId({ tenantId, id, ownId }: Endpoint): Endpoint | null {
    const { subscriptions } = this.#o;
    const owned = ownId === null ? null : subscriptions.named(tenantId, ownId);
    return (owned ?? subscriptions.find(id))?.endpoint ?? null;
  }

  async #store(
    endpoint: Endpoint,
    plan: Plan | null,
    dedupe: { key: string; fingerprint: string } | null,
  ): Promise<Exclude<CreateEndpointOutcome, { kind: 'limited' }>> {
    const live = this.#live(endpoint);
    const outcome = await this.#o.store.endpoints.create(endpoint, { limit: plan?.endpointLimit ?? null, dedupe });
    if (outcome.kind === 'limited') throw noRoom(plan!);
    if (outcome.kind === 'created') this.#o.subscriptions.put(live);
    return outcome;
  }

  /** The endpoint that was made when the idempotency key was used first. */
  async #repeated(
    tenantId: string,
    input: EndpointInput,
    { endpointId, sameBody }: Extract<CreateEndpointOutcome, { kind: 'repeated' }>,
  ): Promise<{ endpoint: Endpoint; secret: string; replayed: boolean }> {
    const { store, subscriptions } = this.#o;
    const conflict = (what: string): PosthornError =>
      new PosthornError('IDEMPOTENCY_CONFLICT', `This idempotency key was used before ${what}. Use a new one.`);
    if (!sameBody) throw conflict('with another body');
    // It may be on its way from the store into memory.
    const endpoint =
      subscriptions.get(tenantId, endpointId)?.endpoint ?? (await store.endpoints.get(tenantId, endpointId));
    if (!endpoint) throw conflict('for a webhook that has been deleted since');
    if (isOtherSecret(endpoint, input.secret)) throw conflict('with another secret');
    // A newer one is not for whoever holds the key of the first request.
    const secret = originalSecret(endpoint);
    if (secret === null) throw conflict('for a webhook whose secret has been changed since');
    return { endpoint, secret, replayed: true };
  }

  /** Reads, changes, stores and puts in force, after the changes of this endpoint that came before. Null changes nothing. */
  async #change(tenantId: string, id: string, next: (before: Endpoint) => Endpoint | null): Promise<Endpoint> {
    return this.#turns.take(this.#require(tenantId, id).endpoint.id, async () => {
      const before = this.#require(tenantId, id).endpoint;
      const changed = next(before);
      return changed === null ? before : this.#apply(before, changed);
    });
  }

  async #apply(before: Endpoint, changed: Endpoint | null): Promise<Endpoint> {
    if (changed === null) return before;
    const at = this.#o.now();
    const after: Endpoint = {
      ...changed,
      secrets: changed.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > at),
      updatedAt: at,
    };
    const live = this.#live(after);
    await this.#o.store.endpoints.update(after);
    this.#putInForce(before, live);
    return after;
  }

  async #reloadOne(tenantId: string, id: Id): Promise<void> {
    await this.#turns.take(id, async () => {
      const { store, subscriptions } = this.#o;
      const before = subscriptions.get(tenantId, id)?.endpoint;
      const stored = await store.endpoints.get(tenantId, id);
      if (!stored) {
        if (before) this.#takeOut(before);
        return;
      }
      const { deletedAt: _, ...endpoint } = stored;
      this.#putInForce(before ?? endpoint, this.#live(endpoint));
    });
  }

  #putInForce(before: Endpoint, live: LiveEndpoint): void {
    const { subscriptions, worker, moves } = this.#o;
    const { tenantId, id: endpointId, url, isActive } = live.endpoint;
    subscriptions.put(live);
    if (url !== before.url || (isActive && !before.isActive)) this.#startAfresh(live);
    if (before.isActive && !isActive) {
      const line = this.#o.lines.find(endpointId);
      if (line) worker.clear(line, live);
      moves.hold({ tenantId, endpointId });
    } else if (!before.isActive && isActive) moves.resume({ tenantId, endpointId });
  }

  #startAfresh(live: LiveEndpoint): void {
    const { worker, redeliveries, log } = this.#o;
    if (!worker.startAfresh(live)) return;
    // What waits in the store waits for a time that its old URL, or its old self, asked for.
    const { tenantId, id: endpointId } = live.endpoint;
    redeliveries.start({ tenantId, endpointId, status: ['pending'] }).catch((error: unknown) => {
      log.warn({ endpoint: publicEndpointId(live.endpoint), error: String(error) }, 'endpoint.pause_not_ended');
    });
  }

  /** It is deleted. What waits in memory goes back at once; what is on the wire finds out when it ends. */
  #takeOut({ tenantId, id: endpointId }: Endpoint): void {
    const { subscriptions, lines, worker, moves } = this.#o;
    subscriptions.remove(tenantId, endpointId);
    const line = lines.find(endpointId);
    if (line) {
      worker.clear(line, null);
      lines.forget(endpointId);
    }
    moves.cancel({ tenantId, endpointId });
  }

  #live(endpoint: Endpoint): LiveEndpoint {
    return liveEndpoint(endpoint, this.#o.defaults);
  }
}

function disabled(before: Endpoint, reason: DisabledReason): Endpoint | null {
  return before.isActive ? { ...before, isActive: false, disabledReason: reason } : null;
}

function noRoom({ name, endpointLimit }: Plan): PosthornError {
  return new PosthornError(
    'PLAN_LIMIT_EXCEEDED',
    `The plan "${name}" allows ${endpointLimit} webhooks, and there are as many. Delete one, or ask the operator for a larger plan.`,
  );
}

/** The same words whoever has it: what other tenants have is nobody's business. */
function alreadyExists({ ownId, id }: Endpoint): PosthornError {
  return new PosthornError(
    'ALREADY_EXISTS',
    `The id ${publicEndpointId({ ownId, id })} belongs, or belonged, to another webhook. Give another one, or leave it out.`,
  );
}
