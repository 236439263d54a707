import type { Id } from './id.ts';
import type { Scope } from './scope.ts';

/** The unit of isolation, quota and fairness. Its id is chosen by the operator: `default`, `acme`, a UUID. */
export interface Tenant {
  id: string;
  name: string | null;
  /** Preset name or custom format of new endpoints that choose none; null = the instance's. */
  wireFormat: string | object | null;
  /** Name of its plan; null = no limits, every feature. */
  plan: string | null;
  createdAt: number;
}

const TENANT_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

export function isTenantId(text: string): boolean {
  return TENANT_ID.test(text);
}

/** `operator` acts for any tenant; the others for their own. */
export const roles = ['viewer', 'member', 'admin', 'owner', 'operator'] as const;
export type Role = (typeof roles)[number];

/** What a member of a tenant can be. */
export const memberRoles = ['viewer', 'member', 'admin', 'owner'] as const;
export type MemberRole = (typeof memberRoles)[number];

/** Each role may do all that the ones before it may. */
export function mayAct(as: Role, needed: Role): boolean {
  return roles.indexOf(as) >= roles.indexOf(needed);
}

/** What a plan can include beside its limits. */
export const planFeatures = [
  /** To make, change, enable and test endpoints, and to redeliver. */
  'webhooks',
  /** To give an endpoint a wire format of its own, declared or preset. */
  'wire_formats',
  /** To redeliver in bulk: replay of events and endpoints, bulk redelivery. */
  'replay',
] as const;
export type PlanFeature = (typeof planFeatures)[number];

/** What the operator sells: limits as data, assigned per tenant. */
export interface Plan {
  /** Lower-case letters, digits, `_` and `-`, 1 to 64 characters: `free`, `pro`. */
  name: string;
  /** Endpoints of a tenant at most; null = any number. */
  endpointLimit: number | null;
  /** Events a UTC day that are sent at once; those beyond are held until the next day. Null = any number. */
  eventsPerDay: number | null;
  /** Days for which events and their history are kept; null = the instance's, 0 = for ever. */
  retentionDays: number | null;
  features: readonly PlanFeature[];
  /** New tenants get this plan where none is named; at most one plan has it. */
  isDefault: boolean;
  createdAt: number;
  updatedAt: number;
}

/** Somebody who belongs to a tenant. */
export interface Member {
  id: Id;
  tenantId: string;
  name: string | null;
  email: string | null;
  role: MemberRole;
  createdAt: number;
  updatedAt: number;
}

/** A member's session in a browser, as it is kept: never the text of its cookie, only an HMAC of it. */
export interface Session {
  hash: string;
  tenantId: string;
  memberId: Id;
  createdAt: number;
  expiresAt: number;
}

/** An API key as it is kept: never its text, only an HMAC of it. */
export interface ApiKey {
  id: Id;
  /** The tenant it acts for; null for an operator's. */
  tenantId: string | null;
  /** What it may do; of a personal key, at most what its member may at that moment. */
  role: Role;
  /** The member a personal key speaks for; null for application keys. */
  memberId: Id | null;
  /** What it may do of what its role may; null = all of it. */
  scopes: readonly Scope[] | null;
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
