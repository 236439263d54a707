import type { DeliveryFilter, DeliveryRow, EventFilter, Page } from '../store/store.ts';
import type { Attempt } from '../model/attempt.ts';
import type { DeliveryStatus } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Event } from '../model/event.ts';
import type { Id } from '../model/id.ts';
import type { EventType, Tenant } from '../model/tenant.ts';

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
  /** Epoch ms; default now. */
  occurredAt?: number | null;
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
  /** Newest first. */
  list(tenantId: string): readonly Endpoint[];
  get(tenantId: string, id: string): Endpoint;
  create(tenantId: string, input: EndpointInput): Promise<{ endpoint: Endpoint; secret: string }>;
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
  test(tenantId: string, id: string, options?: { type?: string; data?: string }): Promise<TestResult>;
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
  /** The original bytes again, the attempt number goes on. INVALID_STATE where the table has no such move or the endpoint is disabled. */
  redeliver(tenantId: string, id: string): Promise<DeliveryRow>;
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
  /** Creates or replaces; throws BAD_REQUEST where the schema is not one. */
  put(input: {
    name: string;
    description?: string | null;
    schema?: object | null;
    examples?: readonly unknown[];
    isArchived?: boolean;
  }): Promise<EventType>;
  remove(name: string): Promise<void>;
}

export interface TenantVerbs {
  list(): readonly Tenant[];
  /** Null where it does not exist. */
  find(id: string): Tenant | null;
  create(input: { id: string; name?: string | null; wireFormat?: string | object | null }): Promise<Tenant>;
  update(id: string, patch: { name?: string | null; wireFormat?: string | object | null }): Promise<Tenant>;
}
