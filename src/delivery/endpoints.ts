import { badField, notFound, PosthornError } from '../errors.ts';
import type { DeliveryStatus } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { parseId, prefixes } from '../model/id.ts';
import type { Plan } from '../model/tenant.ts';
import type { CreateEndpointOutcome, Store } from '../store/store.ts';
import type { GuardPolicy, Sender } from '../transport/transport.ts';
import { dedupeOfCreation, draftEndpoint, isOtherSecret, originalSecret } from './endpoint-draft.ts';
import type { DefaultFormats } from './endpoint-draft.ts';
import { checkEndpointFields } from './endpoint-fields.ts';
import { importedEndpoint, isSameEndpoint } from './endpoint-import.ts';
import { patchedEndpoint, rotatedEndpoint } from './endpoint-patch.ts';
import { disabled, type EndpointChanges } from './endpoint-changes.ts';
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
import type { EndpointDefaults } from './live-endpoint.ts';
import { publicEndpointId } from './message.ts';
import type { Plans } from './plans.ts';
import type { Redeliveries } from './redeliveries.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { Tenants } from './tenants.ts';
import { TestDeliveries } from './test-deliveries.ts';

const DAY_MS = 86_400_000;
const DEFAULT_GRACE_MS = DAY_MS;
const MAX_GRACE_MS = 7 * DAY_MS;

export interface EndpointsOptions {
  store: Store;
  sender: Sender;
  subscriptions: Subscriptions;
  changes: EndpointChanges;
  eventTypes: EventTypes;
  tenants: Tenants;
  plans: Plans;
  redeliveries: Redeliveries;
  policy: GuardPolicy;
  defaults: EndpointDefaults;
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  now: () => number;
}

/** The verbs on endpoints. */
export class Endpoints implements EndpointVerbs {
  readonly #o: EndpointsOptions;
  readonly #tests: TestDeliveries;

  constructor(options: EndpointsOptions) {
    this.#o = options;
    this.#tests = new TestDeliveries(options);
  }

  list(tenantId: string): readonly Endpoint[] {
    return this.#o.subscriptions.list(tenantId);
  }

  get(tenantId: string, id: string): Endpoint {
    const live = this.#o.subscriptions.named(tenantId, id);
    if (!live) throw notFound('webhook', id);
    return live.endpoint;
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
    const fields = await this.#checked(input);
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
    const fields = await this.#checked(input);
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
    const { changes, now } = this.#o;
    await changes.require(tenantId, id);
    const given = Object.entries(patch).filter(([, value]) => value !== undefined);
    const onlyDisables = given.length === 1 && patch.isActive === false;
    if (!onlyDisables) this.#checkPlan(tenantId, patch);
    const fields = await this.#checked(patch);
    return changes.change(tenantId, id, (before) => patchedEndpoint(before, fields, now()));
  }

  remove(tenantId: string, id: string): Promise<void> {
    return this.#o.changes.remove(tenantId, id);
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
    const endpoint = await this.#o.changes.change(tenantId, id, (before) =>
      rotatedEndpoint(before, options.secret ?? null, graceMs, this.#o.now()),
    );
    return { endpoint, secret: endpoint.secrets[0]!.value };
  }

  async enable(tenantId: string, id: string): Promise<Endpoint> {
    await this.#o.changes.require(tenantId, id);
    this.#o.plans.require(tenantId, 'webhooks');
    return this.#o.changes.change(tenantId, id, (before) =>
      before.isActive ? null : { ...before, isActive: true, disabledReason: null },
    );
  }

  disable(tenantId: string, id: string): Promise<Endpoint> {
    return this.#o.changes.change(tenantId, id, (before) => disabled(before, 'by_user'));
  }

  async test(tenantId: string, id: string, options: TestOptions = {}): Promise<TestResult> {
    const live = await this.#o.changes.require(tenantId, id);
    this.#o.plans.require(tenantId, 'webhooks');
    return this.#tests.send(live, options);
  }

  async replay(
    tenantId: string,
    id: string,
    options: { from?: number; to?: number; status?: readonly DeliveryStatus[] } = {},
  ): Promise<{ deliveries: number }> {
    const { endpoint } = await this.#o.changes.require(tenantId, id);
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
    const { endpoint } = await this.#o.changes.require(tenantId, id);
    return endpointStats(this.#o.store, tenantId, endpoint.id, this.#o.now());
  }

  /** Fields that are in order. Types of a closed catalogue may have been made by another node a moment ago. */
  async #checked<T extends Partial<EndpointInput>>(input: T): Promise<T> {
    const { store, catchUp } = this.#o;
    try {
      return checkEndpointFields(input, this.#o);
    } catch (error) {
      const isOfEvents = error instanceof PosthornError && error.fields.some(({ field }) => field === 'events');
      if (store.cluster === null || !isOfEvents) throw error;
      await catchUp();
      return checkEndpointFields(input, this.#o);
    }
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
    const { store, changes } = this.#o;
    const live = changes.live(endpoint);
    const outcome = await store.endpoints.create(endpoint, { limit: plan?.endpointLimit ?? null, dedupe });
    if (outcome.kind === 'limited') throw noRoom(plan!);
    if (outcome.kind === 'created') changes.put(live);
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
