import { badField, notFound, PosthornError, refuseZero } from '../errors.ts';
import { isTenantId, planFeatures, type Tenant } from '../model/tenant.ts';
import type { RecordChange, Store } from '../store/store.ts';
import type { TenantInput, TenantVerbs, Usage } from './engine.ts';
import { checkWireFormat } from './endpoint-fields.ts';
import type { Plans } from './plans.ts';
import type { Quotas } from './quotas.ts';
import type { Subscriptions } from './subscriptions.ts';
import { Turns } from './turns.ts';

export const DEFAULT_TENANT = 'default';
/** Where no plan limits a tenant's events, those of today are counted no further. */
const COUNT_LIMIT = 1_000_000;

export interface TenantsOptions {
  store: Pick<Store, 'tenants' | 'cluster'>;
  plans: Plans;
  quotas: Quotas;
  subscriptions: Subscriptions;
  /** Of the instance; 0 = for ever. */
  retentionDays: number;
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  now: () => number;
}

/** The tenants of this deployment, all in memory. */
export class Tenants implements TenantVerbs {
  readonly #o: TenantsOptions;
  readonly #tenants = new Map<string, Tenant>();
  readonly #turns = new Turns();

  constructor(options: TenantsOptions) {
    this.#o = options;
  }

  /** After the plans. */
  async load(): Promise<void> {
    for (const tenant of await this.#o.store.tenants.all()) this.#tenants.set(tenant.id, tenant);
    if (!this.#tenants.has(DEFAULT_TENANT)) await this.create({ id: DEFAULT_TENANT });
    const limited = [...this.#tenants.keys()].filter((id) => this.#o.plans.of(id)?.eventsPerDay != null);
    await this.#o.quotas.refresh(limited);
  }

  /** Puts in force what the store has of these tenants. */
  async follow(changes: readonly RecordChange[] | 'everything'): Promise<void> {
    if (changes !== 'everything') {
      await Promise.all(changes.map(({ key }) => this.#turns.take(key, () => this.#read(key))));
      return;
    }
    for (const stored of await this.#o.store.tenants.all()) {
      if (JSON.stringify(stored) === JSON.stringify(this.#tenants.get(stored.id))) continue;
      await this.#turns.take(stored.id, () => this.#read(stored.id));
    }
  }

  /** In the tenant's turn: puts it in force as the store has it. */
  async #read(id: string): Promise<Tenant | null> {
    const { store, quotas } = this.#o;
    const before = this.#tenants.get(id);
    const tenant = await store.tenants.get(id);
    if (!tenant) return null;
    this.#tenants.set(id, tenant);
    if (tenant.plan !== (before?.plan ?? null)) await quotas.refresh([id]);
    return tenant;
  }

  /** Another node may have made this plan a moment ago. */
  #isUnknown(plan: string | null | undefined): boolean {
    return plan != null && !this.#o.plans.has(plan);
  }

  /** In no order, at no cost. */
  all(): IterableIterator<Tenant> {
    return this.#tenants.values();
  }

  list(): readonly Tenant[] {
    return [...this.#tenants.values()].sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1));
  }

  find(id: string): Tenant | null {
    return this.#tenants.get(id) ?? null;
  }

  async create(input: TenantInput & { id: string }, options: { mustBeNew?: boolean } = {}): Promise<Tenant> {
    const { id, name = null, wireFormat = null } = input;
    if (!isTenantId(id)) {
      throw badField('id', 'must be 1 to 128 letters, digits, ".", "_", ":" or "-", and begin with a letter or digit');
    }
    refuseZero('name', name);
    if (this.#isUnknown(input.plan)) await this.#o.catchUp();
    return this.#turns.take(id, async () => {
      const existing = this.#tenants.get(id);
      if (existing && options.mustBeNew) throw alreadyExists(id);
      if (existing) return existing;
      checkWireFormat(wireFormat);
      const { store, plans, quotas, now } = this.#o;
      const plan = input.plan === undefined ? (plans.default?.name ?? null) : input.plan;
      const tenant: Tenant = { id, name, wireFormat, plan, createdAt: now() };
      const outcome = await plans.give(plan, async () => {
        const stored = await store.tenants.create(tenant);
        if (stored === 'done') this.#tenants.set(id, tenant);
        return stored;
      });
      if (outcome === 'no_plan') throw plans.none(plan!); // another node removed it a moment ago
      if (outcome === 'present') {
        // Another node made it a moment ago.
        const present = await this.#read(id);
        if (options.mustBeNew || !present) throw alreadyExists(id);
        return present;
      }
      await quotas.refresh([id]);
      return tenant;
    });
  }

  async update(id: string, patch: TenantInput): Promise<Tenant> {
    refuseZero('name', patch.name);
    if (!this.#tenants.has(id) || this.#isUnknown(patch.plan)) await this.#o.catchUp();
    return this.#turns.take(id, async () => {
      const before = this.#tenants.get(id);
      if (!before) throw notFound('tenant', id);
      if (patch.wireFormat !== undefined) checkWireFormat(patch.wireFormat);
      const { store, plans, quotas } = this.#o;
      const fields = {
        ...(patch.name === undefined ? {} : { name: patch.name }),
        ...(patch.wireFormat === undefined ? {} : { wireFormat: patch.wireFormat }),
        ...(patch.plan === undefined ? {} : { plan: patch.plan }),
      };
      const tenant: Tenant = { ...before, ...fields };
      const outcome = await plans.give(tenant.plan, async () => {
        const stored = await store.tenants.update(id, fields);
        if (stored === 'done') this.#tenants.set(id, tenant);
        return stored;
      });
      if (outcome === 'no_plan') throw plans.none(tenant.plan!); // another node removed it a moment ago
      if (tenant.plan !== before.plan) await quotas.refresh([id]);
      // Another node may have changed another field a moment ago: both are stored.
      return store.cluster === null ? tenant : ((await this.#read(id)) ?? tenant);
    });
  }

  async usage(id: string): Promise<Usage> {
    if (!this.#tenants.has(id)) await this.#o.catchUp();
    if (!this.#tenants.has(id)) throw notFound('tenant', id);
    const { plans, quotas, subscriptions, retentionDays } = this.#o;
    const plan = plans.of(id);
    return {
      plan: plan?.name ?? null,
      endpoints: { used: subscriptions.count(id), limit: plan?.endpointLimit ?? null },
      eventsToday: await quotas.today(id, COUNT_LIMIT),
      retentionDays: plan?.retentionDays ?? retentionDays,
      features: plan?.features ?? planFeatures,
    };
  }
}

function alreadyExists(id: string): PosthornError {
  return new PosthornError('ALREADY_EXISTS', `The tenant "${id}" exists.`);
}
