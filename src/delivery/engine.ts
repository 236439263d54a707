import type { AttemptFilter, AttemptRow, DeliveryFilter, DeliveryRow, EventFilter, Page } from '../store/store.ts';
import type { Attempt } from '../model/attempt.ts';
import type { DeliveryStatus } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Event } from '../model/event.ts';
import type { Id } from '../model/id.ts';
import type { EventType, Plan, PlanFeature, Tenant } from '../model/tenant.ts';

/** Everything that can be asked of Posthorn, apart from HTTP: what the API, its faces, the library and the tests call. */
export interface Engine {
  publish(tenantId: string, input: PublishInput): Promise<Published>;
  /** All or none: commits together. A field error names its event as `events[3].type`. */
  publishBatch(tenantId: string, inputs: readonly PublishInput[]): Promise<Published[]>;
  readonly events: EventVerbs;
  readonly endpoints: EndpointVerbs;
  readonly deliveries: DeliveryVerbs;
  readonly eventTypes: EventTypeVerbs;
  readonly tenants: TenantVerbs;
  readonly plans: PlanVerbs;
  /**
   * Resolves when what other nodes changed before the call is in force here; at once where there is one node. For who
   * misses something that may just have been made elsewhere. Rejects with STORE_UNAVAILABLE.
   */
  catchUp(): Promise<void>;
  /** Resolves where events can be accepted; else rejects with the reason. For `/readyz`. */
  ready(): Promise<void>;
}

export interface PublishInput {
  type: string;
  /** JSON text of the payload, exactly as it came. */
  data: string;
  /** The same payload parsed, for the schema check. */
  value: unknown;
  /** The publisher's own id: visible ASCII, 1 to 128 characters. */
  id?: string | null;
  /** Epoch ms; default `emittedAt`, else now. */
  occurredAt?: number | null;
  /** Epoch ms at which it was left in an outbox. A repeat may have another one. */
  emittedAt?: number;
  category?: string | null;
  group?: string | null;
  source?: string | null;
  idempotencyKey?: string | null;
  /** What else the key stands for; with another scope, as with another body, it is a conflict. */
  idempotencyScope?: string;
}

export interface Published {
  /** As shown to people: the publisher's own id, or `evt_…`. */
  id: string;
  /** Endpoints it goes to. */
  deliveries: number;
  /** True where the key or id was used before with the same body: nothing was stored again. */
  duplicate: boolean;
}

export interface EventVerbs {
  /** By `evt_…`, UUID or own id; throws NOT_FOUND. */
  get(tenantId: string, id: string): Promise<Event>;
  list(filter: EventFilter, page: Page): Promise<Event[]>;
  deliveries(tenantId: string, id: Id): Promise<DeliveryRow[]>;
  /** Sends an event again: ended deliveries start a schedule anew, endpoints that had none of it and match now get one. */
  replay(tenantId: string, id: string, options?: { endpointId?: Id }): Promise<{ deliveries: number }>;
}

export interface EndpointInput {
  url: string;
  events: readonly string[];
  description?: string | null;
  isActive?: boolean;
  wireFormat?: string | object | null;
  secret?: string | null;
  headers?: Record<string, string> | null;
  retryScheduleMs?: readonly number[] | null;
  timeoutMs?: number | null;
  concurrency?: number | null;
  metadata?: Record<string, string> | null;
}

export interface CreateOptions {
  /** The same key again within 24 hours: the endpoint that was made, with its secret, and nothing new. */
  idempotencyKey?: string | null;
  /** Of the face it is made through: before the tenant's, where the endpoint chooses none. */
  wireFormat?: string | null;
  /** Of the product whose key made it: where neither endpoint nor face nor tenant chose one. */
  keyFormat?: string | null;
}

/** An endpoint from another system: keeps its id, its secrets, its state and its age. */
export interface ImportInput extends EndpointInput {
  /** A UUID, `wh_…`, or any other visible ASCII of at most 128 characters; absent: a new one. */
  id?: string | null;
  /** Secret that signs beside `secret` until `previousSecretExpiresAt` (epoch ms). */
  previousSecret?: string | null;
  previousSecretExpiresAt?: number | null;
  /** Epoch ms; default now. */
  createdAt?: number | null;
}

export interface ImportOutcome {
  /** `created`: made, or with `dryRun` would be. `exists`: the tenant has one with this id that is the same; nothing was done. */
  status: 'created' | 'exists';
  endpoint: Endpoint;
}

/** A public key of an endpoint that signs with ed25519. */
export interface PublicKey {
  /** `whpk_…` */
  key: string;
  createdAt: number;
  /** Epoch ms at which it stops signing; null for the present one. */
  expiresAt: number | null;
}

export interface TestOptions {
  type?: string;
  /** JSON text of the payload. */
  data?: string;
  /** Stands for the delivery's UUID in the headers: `test-<uuid>`. */
  deliveryUuid?: string;
}

export interface TestResult {
  succeeded: boolean;
  statusCode: number | null;
  /** Named failure, or null. */
  failure: string | null;
  responseBody: string | null;
  durationMs: number;
}

export interface EndpointStats {
  /** Over the last `hours`. */
  hours: number;
  deliveries: Record<DeliveryStatus, number>;
  /** Of the newest 1,000 attempts in that time; null without any. */
  durationMsP50: number | null;
  durationMsP99: number | null;
  /** Share of those attempts that succeeded, 0 to 1; null without any. */
  successRate: number | null;
}

/** Unknown ids, and those of other tenants, throw NOT_FOUND; fields that do not fit throw BAD_REQUEST and name the field. */
export interface EndpointVerbs {
  /** Newest first, by time of creation, then by id. */
  list(tenantId: string): readonly Endpoint[];
  /** By `wh_…`, UUID or own id. */
  get(tenantId: string, id: string): Endpoint;
  /** Of any tenant, by `wh_…` or UUID, or by an own id that only one tenant has; null where there is none. */
  find(id: string): Endpoint | null;
  /**
   * PLAN_LIMIT_EXCEEDED where the plan has no room, PLAN_FEATURE_REQUIRED where it lacks `webhooks` (or `wire_formats`,
   * for a format of its own), IDEMPOTENCY_CONFLICT where the key was used for another request, or its endpoint is gone.
   */
  create(
    tenantId: string,
    input: EndpointInput,
    options?: CreateOptions,
  ): Promise<{ endpoint: Endpoint; secret: string; replayed: boolean }>;
  /** Takes an endpoint over from another system. ALREADY_EXISTS where the id belongs to another one. Plans limit it like `create`. */
  import(tenantId: string, input: ImportInput, options: { dryRun: boolean }): Promise<ImportOutcome>;
  /** Of any tenant's endpoint, for receivers to verify with; empty where it signs with HMAC. Throws NOT_FOUND. */
  publicKeys(id: string): readonly PublicKey[];
  update(tenantId: string, id: string, patch: Partial<EndpointInput>): Promise<Endpoint>;
  /** Pending deliveries are cancelled, those on the wire are not retried, history stays. */
  remove(tenantId: string, id: string): Promise<void>;
  /** `graceMs` from 0 to 7 days, default 24 h: how long the old secret signs and verifies beside the new one. */
  rotateSecret(
    tenantId: string,
    id: string,
    options?: { graceMs?: number; secret?: string | null },
  ): Promise<{ endpoint: Endpoint; secret: string }>;
  /** Held deliveries go on their way. Idempotent. */
  enable(tenantId: string, id: string): Promise<Endpoint>;
  /** Deliveries are held from now on. Idempotent. */
  disable(tenantId: string, id: string): Promise<Endpoint>;
  /** One signed delivery of a test event, now, not retried and not kept. */
  test(tenantId: string, id: string, options?: TestOptions): Promise<TestResult>;
  /** Redelivers what this endpoint did not get: dead letters and held ones, of a time range. Resolves to how many. */
  replay(
    tenantId: string,
    id: string,
    options?: { from?: number; to?: number; status?: readonly DeliveryStatus[] },
  ): Promise<{ deliveries: number }>;
  stats(tenantId: string, id: string): Promise<EndpointStats>;
}

export interface DeliveryVerbs {
  /** By `whd_…`, `att_…` (the delivery it belongs to) or UUID. */
  get(
    tenantId: string,
    id: string,
  ): Promise<{ delivery: DeliveryRow; attempts: Attempt[]; endpoint: Endpoint | null; event: Event }>;
  list(filter: DeliveryFilter, page: Page): Promise<DeliveryRow[]>;
  count(filter: DeliveryFilter, limit: number): Promise<number>;
  /** Newest first, of the newest 10,000 deliveries that match. */
  listAttempts(filter: AttemptFilter, page: { limit: number; offset: number }): Promise<AttemptRow[]>;
  /** Failed attempts of an endpoint since a time (epoch ms). */
  countFailures(tenantId: string, endpointId: Id, since: number): Promise<number>;
  /** The tenant of a delivery (`whd_…`, `att_…`, UUID), for callers who act for all of them; null if unknown. */
  tenantOf(id: string): Promise<string | null>;
  /** The original bytes again, the attempt number goes on. INVALID_STATE where the table has no such move or the endpoint is disabled. */
  redeliver(tenantId: string, id: string): Promise<DeliveryRow>;
  /**
   * Redelivers and waits for the attempt: at most the endpoint's timeout and five seconds more, since it may stand in
   * line behind others. `attempt` is null where that was not enough; it is then still on its way.
   */
  sendNow(tenantId: string, id: string): Promise<{ delivery: DeliveryRow; attempt: Attempt | null }>;
  /** Starts redelivering all that match; `dryRun` only counts. */
  redeliverAll(
    filter: DeliveryFilter,
    options: { dryRun: boolean; ratePerSecond: number | null },
  ): Promise<{ deliveries: number }>;
  /** Marks a dead letter as seen. */
  acknowledge(tenantId: string, id: string): Promise<DeliveryRow>;
}

export interface EventTypeVerbs {
  list(): readonly EventType[];
  get(name: string): EventType;
  /** Creates or replaces (with `mustBeNew`: ALREADY_EXISTS); throws BAD_REQUEST where the schema is not one. */
  put(
    input: {
      name: string;
      description?: string | null;
      schema?: object | null;
      examples?: readonly unknown[];
      isArchived?: boolean;
    },
    options?: { mustBeNew?: boolean },
  ): Promise<EventType>;
  remove(name: string): Promise<void>;
}

export interface TenantVerbs {
  list(): readonly Tenant[];
  /** Null where it does not exist. */
  find(id: string): Tenant | null;
  /**
   * The tenant as it is where it exists (with `mustBeNew`: ALREADY_EXISTS). `plan` absent: the default plan, if there is
   * one. BAD_REQUEST for a plan that does not exist.
   */
  create(input: TenantInput & { id: string }, options?: { mustBeNew?: boolean }): Promise<Tenant>;
  update(id: string, patch: TenantInput): Promise<Tenant>;
  /** What a tenant has used of what its plan allows. Throws NOT_FOUND. */
  usage(id: string): Promise<Usage>;
}

export interface TenantInput {
  name?: string | null;
  wireFormat?: string | object | null;
  plan?: string | null;
}

export interface Usage {
  plan: string | null;
  endpoints: { used: number; limit: number | null };
  /**
   * Of the present UTC day; `held`: the day's events are used up, and what comes now waits for the next. Without a limit
   * `used` goes no further than 1,000,000.
   */
  eventsToday: { used: number; limit: number | null; held: boolean; resetsAt: number };
  /** 0 = for ever. */
  retentionDays: number;
  features: readonly PlanFeature[];
}

export interface PlanVerbs {
  /** By name. */
  list(): readonly Plan[];
  /** Throws NOT_FOUND. */
  get(name: string): Plan;
  /** Creates or replaces, in force at once for all its tenants. BAD_REQUEST that names the field. */
  put(input: {
    name: string;
    endpointLimit?: number | null;
    eventsPerDay?: number | null;
    retentionDays?: number | null;
    features?: readonly PlanFeature[];
    isDefault?: boolean;
  }): Promise<Plan>;
  /** INVALID_STATE while a tenant has it. */
  remove(name: string): Promise<void>;
}
