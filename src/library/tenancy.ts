import type { Engine } from '../delivery/engine.ts';
import { DEFAULT_TENANT } from '../delivery/tenants.ts';
import { notFound } from '../errors.ts';
import { parseId, prefixes, type Id } from '../model/id.ts';

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

/** Where to look for what belongs to a subscription, or to any: one entry a tenant. Throws NOT_FOUND. */
export function placesOf(
  engine: Engine,
  { subscriptionId, tenantId }: { subscriptionId?: string; tenantId?: string | null },
): { tenantId: string; endpointId?: Id }[] {
  if (subscriptionId === undefined) return tenantsFor(engine, tenantId).map((tenant) => ({ tenantId: tenant }));
  const endpoint = engine.endpoints.find(subscriptionId);
  const endpointId = endpoint?.id ?? parseId(subscriptionId, prefixes.endpoint);
  if (endpointId === null) throw notFound('subscription', subscriptionId);
  // A deleted one has its history still, in some tenant.
  const tenants = endpoint ? [endpoint.tenantId] : tenantsFor(engine, tenantId);
  return tenants.map((tenant) => ({ tenantId: tenant, endpointId }));
}

/** Creates the tenant where it is new. */
export async function ensureTenant(engine: Engine, tenantId: string): Promise<void> {
  if (!engine.tenants.find(tenantId)) await engine.tenants.create({ id: tenantId });
}
