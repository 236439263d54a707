import { badField, notFound } from '../errors.ts';
import { isTenantId, type Tenant } from '../model/tenant.ts';
import type { Store } from '../store/store.ts';
import type { TenantVerbs } from './engine.ts';
import { checkWireFormat } from './endpoint-fields.ts';

export const DEFAULT_TENANT = 'default';

/** The tenants of this deployment, all in memory. */
export class Tenants implements TenantVerbs {
  readonly #store: Store;
  readonly #now: () => number;
  readonly #tenants = new Map<string, Tenant>();

  constructor(options: { store: Store; now: () => number }) {
    this.#store = options.store;
    this.#now = options.now;
  }

  async load(): Promise<void> {
    for (const tenant of await this.#store.tenants.all()) this.#tenants.set(tenant.id, tenant);
    if (!this.#tenants.has(DEFAULT_TENANT)) await this.create({ id: DEFAULT_TENANT });
  }

  list(): readonly Tenant[] {
    return [...this.#tenants.values()].sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1));
  }

  find(id: string): Tenant | null {
    return this.#tenants.get(id) ?? null;
  }

  /** The tenant as it is where it exists already. */
  async create(input: Parameters<TenantVerbs['create']>[0]): Promise<Tenant> {
    if (!isTenantId(input.id)) {
      throw badField('id', 'must be 1 to 128 letters, digits, ".", "_", ":" or "-", and begin with a letter or digit');
    }
    const existing = this.#tenants.get(input.id);
    if (existing) return existing;
    checkWireFormat(input.wireFormat ?? null);
    const tenant: Tenant = {
      id: input.id,
      name: input.name ?? null,
      wireFormat: input.wireFormat ?? null,
      createdAt: this.#now(),
    };
    await this.#store.tenants.create(tenant);
    this.#tenants.set(tenant.id, tenant);
    return tenant;
  }

  async update(id: string, patch: Parameters<TenantVerbs['update']>[1]): Promise<Tenant> {
    const before = this.#tenants.get(id);
    if (!before) throw notFound('tenant', id);
    if (patch.wireFormat !== undefined) checkWireFormat(patch.wireFormat);
    const tenant: Tenant = {
      ...before,
      ...(patch.name === undefined ? {} : { name: patch.name }),
      ...(patch.wireFormat === undefined ? {} : { wireFormat: patch.wireFormat }),
    };
    await this.#store.tenants.update(tenant);
    this.#tenants.set(id, tenant);
    return tenant;
  }
}
