import type { Id } from '../model/id.ts';
import type { Scope } from '../model/scope.ts';
import type { Role } from '../model/tenant.ts';

/** Who makes a request. */
export interface Principal {
  /** As shown: `key_…`; null for a key that the settings give, and for sessions. */
  readonly keyId: string | null;
  /** The member that a personal key or a session speaks for. */
  readonly memberId: Id | null;
  readonly role: Role;
  /** The tenant it acts for; null for an operator, who names one. */
  readonly tenantId: string | null;
  /** What it may of what its role may; null = all of it. */
  readonly scopes: readonly Scope[] | null;
  /** Wire format of endpoints it makes where neither they nor their tenant chose one: that of its key's product; else null. */
  readonly wireFormat: string | null;
}
