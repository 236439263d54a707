import type { Id } from './id.ts';

/** The unit of isolation, quota and fairness. Its id is chosen by the operator: `default`, `acme`, a UUID. */
export interface Tenant {
  id: string;
  name: string | null;
  /** Preset name or custom format of new endpoints that choose none; null = the instance's. */
  wireFormat: string | object | null;
  createdAt: number;
}

const TENANT_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

export function isTenantId(text: string): boolean {
  return TENANT_ID.test(text);
}

/** `operator` acts for any tenant; the others for their own. */
export const roles = ['viewer', 'member', 'admin', 'owner', 'operator'] as const;
export type Role = (typeof roles)[number];

/** An API key as it is kept: never its text, only an HMAC of it. */
export interface ApiKey {
  id: Id;
  /** The tenant it acts for; null for an operator's. */
  tenantId: string | null;
  role: Role;
  name: string | null;
  /** The first characters of the text, for people to tell keys apart. */
  hint: string;
  createdAt: number;
  lastUsedAt: number | null;
  expiresAt: number | null;
  revokedAt: number | null;
}

/** A type in the catalogue. Tenants share one catalogue: the operator's. */
export interface EventType {
  name: string;
  description: string | null;
  /** JSON Schema of `data` (draft 2020-12), or null for anything. */
  schema: object | null;
  examples: readonly unknown[];
  isArchived: boolean;
  createdAt: number;
  updatedAt: number;
}
