import { badField, notFound, PosthornError } from '../errors.ts';
import { isTenantId, planFeatures, type Tenant } from '../model/tenant.ts';
import type { Store } from '../store/store.ts';
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
  store: Pick<Store, 'tenants'>;
  plans: Plans;
  quotas: Quotas;
  subscriptions: Subscriptions;
  /** Of the instance; 0 = for ever. */
  retentionDays: number;
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
    return this.#turns.take(id, async () => {
      const existing = this.#tenants.get(id);
      if (existing && options.mustBeNew) throw new PosthornError('ALREADY_EXISTS', `The tenant "${id}" exists.`);
      if (existing) return existing;
      checkWireFormat(wireFormat);
      const { store, plans, quotas, now } = this.#o;
      const plan = input.plan === undefined ? (plans.default?.name ?? null) : input.plan;
      const tenant: Tenant = { id, name, wireFormat, plan, createdAt: now() };
      await plans.give(plan, async () => {
        await store.tenants.create(tenant);
        this.#tenants.set(id, tenant);
      });
      await quotas.refresh([id]);
      return tenant;
    });
  }

  async update(id: string, patch: TenantInput): Promise<Tenant> {
    return this.#turns.take(id, async () => {
      const before = this.#tenants.get(id);
      if (!before) throw notFound('tenant', id);
      if (patch.wireFormat !== undefined) checkWireFormat(patch.wireFormat);
      const { store, plans, quotas } = this.#o;
      const tenant: Tenant = {
        ...before,
        ...(patch.name === undefined ? {} : { name: patch.name }),
        ...(patch.wireFormat === undefined ? {} : { wireFormat: patch.wireFormat }),
        ...(patch.plan === undefined ? {} : { plan: patch.plan }),
      };
      await plans.give(tenant.plan, async () => {
        await store.tenants.update(tenant);
        this.#tenants.set(id, tenant);
      });
      if (tenant.plan !== before.plan) await quotas.refresh([id]);
      return tenant;
    });
  }

  async usage(id: string): Promise<Usage> {
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
