import type { Endpoint } from '../model/endpoint.ts';
import { matchesPattern } from '../model/event.ts';
import type { Id } from '../model/id.ts';
import type { RetryPolicy } from '../model/retry.ts';
import type { SigningKey, WireFormat } from '../wire/wire.ts';

/** An endpoint made ready for sending: everything that an attempt needs and that does not change from one to the next. */
export interface LiveEndpoint {
  readonly endpoint: Endpoint;
  readonly format: WireFormat;
  /** Newest first. */
  readonly keys: readonly { readonly key: SigningKey; readonly expiresAt: number | null }[];
  /** The owner's own headers, flat; null without any. */
  readonly extraHeaders: readonly string[] | null;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  readonly concurrency: number;
}

/** Distinct event types remembered per tenant before the memory is emptied. */
const MEMORY = 4096;

interface TenantSubscriptions {
  readonly endpoints: Map<Id, LiveEndpoint>;
  /** Event type → who gets it, made on first use, thrown away at every change. */
  readonly matched: Map<string, readonly LiveEndpoint[]>;
}

/**
 * Which endpoints there are and which of them get an event: all in memory, changed in the same turn in which a change
 * is known to be durable.
 */
export class Subscriptions {
  readonly #tenants = new Map<string, TenantSubscriptions>();
  readonly #byId = new Map<Id, LiveEndpoint>();

  put(live: LiveEndpoint): void {
    const { id, tenantId } = live.endpoint;
    let tenant = this.#tenants.get(tenantId);
    if (!tenant) this.#tenants.set(tenantId, (tenant = { endpoints: new Map(), matched: new Map() }));
    tenant.endpoints.set(id, live);
    tenant.matched.clear();
    this.#byId.set(id, live);
  }

  remove(tenantId: string, id: Id): void {
    const tenant = this.#tenants.get(tenantId);
    if (!tenant) return;
    tenant.endpoints.delete(id);
    tenant.matched.clear();
    this.#byId.delete(id);
    if (tenant.endpoints.size === 0) this.#tenants.delete(tenantId);
  }

  /** For the worker, which knows ids from the store only; null when it is deleted. */
  find(id: Id): LiveEndpoint | null {
    return this.#byId.get(id) ?? null;
  }

  get(tenantId: string, id: Id): LiveEndpoint | null {
    return this.#tenants.get(tenantId)?.endpoints.get(id) ?? null;
  }

  /** In the order of their ids, so of their creation. */
  ofTenant(tenantId: string): LiveEndpoint[] {
    const endpoints = this.#tenants.get(tenantId)?.endpoints;
    return endpoints ? [...endpoints.values()].sort(byId) : [];
  }

  /** The same endpoints as they are now, without those deleted meanwhile. */
  present(those: readonly LiveEndpoint[]): LiveEndpoint[] {
    return those.flatMap(({ endpoint }) => this.#byId.get(endpoint.id) ?? []);
  }

  all(): IterableIterator<LiveEndpoint> {
    return this.#byId.values();
  }

  /** The endpoints that subscribe to a type, disabled ones too (their deliveries are held), in the order of their ids. */
  match(tenantId: string, type: string): readonly LiveEndpoint[] {
    const tenant = this.#tenants.get(tenantId);
    if (!tenant) return [];
    let found = tenant.matched.get(type);
    if (!found) {
      found = [...tenant.endpoints.values()]
        .filter((live) => live.endpoint.events.some((pattern) => matchesPattern(pattern, type)))
        .sort(byId);
      if (tenant.matched.size >= MEMORY) tenant.matched.clear();
      tenant.matched.set(type, found);
    }
    return found;
  }
}

function byId(a: LiveEndpoint, b: LiveEndpoint): number {
  return a.endpoint.id < b.endpoint.id ? -1 : 1;
}
