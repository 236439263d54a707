import type { IncomingHttpHeaders } from 'node:http';
import { DEFAULT_TENANT } from '../delivery/tenants.ts';
import type { Engine } from '../delivery/engine.ts';
import { badField, PosthornError } from '../errors.ts';
import { isTenantId, roles, type Role } from '../model/tenant.ts';
import type { KeyVerifier, Principal } from './keys.ts';

/** What a request may do: who makes it, and for which tenant. */
export interface Permit {
  readonly principal: Principal;
  readonly tenantId: string;
}

export interface AccessOptions {
  engine: Pick<Engine, 'tenants'>;
  keys: KeyVerifier;
  /** Create a tenant the first time an operator names it. */
  createTenants: boolean;
}

/** Each role may do all that the ones before it may. */
const rank: Record<Role, number> = { viewer: 0, member: 1, admin: 2, owner: 3, operator: 4 };

export function isRole(text: unknown): text is Role {
  return roles.includes(text as Role);
}

export function mayAct(as: Role, needed: Role): boolean {
  return rank[as] >= rank[needed];
}

/**
 * Who may do what, for whom. Answers at once, but for a tenant that has to be created first.
 * Throws UNAUTHORIZED, FORBIDDEN, BAD_REQUEST (no such tenant id can be) and NOT_FOUND (no such tenant).
 */
export class Access {
  readonly #o: AccessOptions;

  constructor(options: AccessOptions) {
    this.#o = options;
  }

  permit(headers: IncomingHttpHeaders, needed: Role): Permit | Promise<Permit> {
    const principal = this.#o.keys.verify(headers.authorization);
    if (!mayAct(principal.role, needed)) {
      throw new PosthornError(
        'FORBIDDEN',
        `This needs a key with the role ${needed}${needed === 'operator' ? '' : ' or above'}; yours is ${principal.role}.`,
      );
    }
    const named = headers['posthorn-tenant'] as string | undefined;
    if (principal.tenantId !== null) {
      if (named === undefined || named === principal.tenantId) return { principal, tenantId: principal.tenantId };
      throw new PosthornError(
        'FORBIDDEN',
        'Posthorn-Tenant names another tenant than that of the key; only an operator’s key may.',
      );
    }
    const tenantId = named ?? DEFAULT_TENANT;
    if (this.#o.engine.tenants.find(tenantId)) return { principal, tenantId };
    return this.#firstUse(principal, tenantId);
  }

  async #firstUse(principal: Principal, tenantId: string): Promise<Permit> {
    if (!isTenantId(tenantId)) {
      throw badField(
        'Posthorn-Tenant',
        'must be 1 to 128 letters, digits, ".", "_", ":" or "-", and begin with a letter or digit',
      );
    }
    if (!this.#o.createTenants) {
      throw new PosthornError(
        'NOT_FOUND',
        `There is no tenant ${JSON.stringify(tenantId)}. Create it with POST /v1/tenants, or name another in Posthorn-Tenant.`,
      );
    }
    await this.#o.engine.tenants.create({ id: tenantId });
    return { principal, tenantId };
  }
}
