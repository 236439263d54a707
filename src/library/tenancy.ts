import type { Engine } from '../delivery/engine.ts';
import { DEFAULT_TENANT } from '../delivery/tenants.ts';

/** Subscriptions without a tenant belong to the tenant `default`; the library shows that one as null. */
export function tenantOf(tenantId: string | null | undefined): string {
  return tenantId ?? DEFAULT_TENANT;
}

export function shownTenant(tenantId: string): string | null {
  return tenantId === DEFAULT_TENANT ? null : tenantId;
}

/** The tenants to look through: the one asked for, else all. */
export function tenantsFor(engine: Engine, tenantId: string | null | undefined): string[] {
  return tenantId === undefined ? engine.tenants.list().map(({ id }) => id) : [tenantOf(tenantId)];
}

/** Creates the tenant where it is new. */
export async function ensureTenant(engine: Engine, tenantId: string): Promise<void> {
  if (!engine.tenants.find(tenantId)) await engine.tenants.create({ id: tenantId });
}
