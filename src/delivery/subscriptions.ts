import type { Endpoint } from '../model/endpoint.ts';
import { matchesPattern } from '../model/event.ts';
import { parseId, prefixes, type Id } from '../model/id.ts';
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
  readonly byOwnId: Map<string, LiveEndpoint>;
  /** Newest first; null after a change, until somebody asks. */
  list: readonly Endpoint[] | null;
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
  /** Of all tenants; few have any. */
  readonly #byOwnId = new Map<string, Set<Id>>();

  put(live: LiveEndpoint): void {
    const { id, tenantId, ownId } = live.endpoint;
    let tenant = this.#tenants.get(tenantId);
    if (!tenant) {
      tenant = { endpoints: new Map(), byOwnId: new Map(), list: null, matched: new Map() };
      this.#tenants.set(tenantId, tenant);
    }
    tenant.endpoints.set(id, live);
    tenant.list = null;
    tenant.matched.clear();
    this.#byId.set(id, live);
    if (ownId === null) return;
    tenant.byOwnId.set(ownId, live);
    this.#byOwnId.set(ownId, (this.#byOwnId.get(ownId) ?? new Set()).add(id));
  }

  remove(tenantId: string, id: Id): void {
    const tenant = this.#tenants.get(tenantId);
    const live = tenant?.endpoints.get(id);
    if (!tenant || !live) return;
    tenant.endpoints.delete(id);
    tenant.list = null;
    tenant.matched.clear();
    this.#byId.delete(id);
    if (tenant.endpoints.size === 0) this.#tenants.delete(tenantId);
    const { ownId } = live.endpoint;
    if (ownId === null) return;
    tenant.byOwnId.delete(ownId);
    const others = this.#byOwnId.get(ownId)!;
    others.delete(id);
    if (others.size === 0) this.#byOwnId.delete(ownId);
  }

  /** For the worker, which knows ids from the store only; null when it is deleted. */
  find(id: Id): LiveEndpoint | null {
    return this.#byId.get(id) ?? null;
  }

  get(tenantId: string, id: Id): LiveEndpoint | null {
    return this.#tenants.get(tenantId)?.endpoints.get(id) ?? null;
  }

  /** By `wh_…`, UUID or own id. */
  named(tenantId: string, text: string): LiveEndpoint | null {
    const own = this.#tenants.get(tenantId)?.byOwnId.get(text);
    if (own) return own;
    const id = parseId(text, prefixes.endpoint);
    return id === null ? null : this.get(tenantId, id);
  }

  /** The same of any tenant. Null also for an own id that several of them use. */
  anywhere(text: string): LiveEndpoint | null {
    const id = parseId(text, prefixes.endpoint);
    const live = id === null ? null : this.find(id);
    if (live) return live;
    const ids = [...(this.#byOwnId.get(text) ?? [])];
    return ids.length === 1 ? this.find(ids[0]!) : null;
  }

  /** Newest first, by time of creation, then by id. The same array until something changes. */
  list(tenantId: string): readonly Endpoint[] {
    const tenant = this.#tenants.get(tenantId);
    if (!tenant) return [];
    tenant.list ??= [...tenant.endpoints.values()]
      .map(({ endpoint }) => endpoint)
      .sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1));
    return tenant.list;
  }

  count(tenantId: string): number {
    return this.#tenants.get(tenantId)?.endpoints.size ?? 0;
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
