import type { IncomingHttpHeaders } from 'node:http';
import { DEFAULT_TENANT } from '../delivery/tenants.ts';
import type { Engine } from '../delivery/engine.ts';
import { badField, PosthornError } from '../errors.ts';
import type { Session } from '../model/tenant.ts';
import { isTenantId, mayAct, roles, type Role } from '../model/tenant.ts';
import type { Face } from './face.ts';
import { UnknownCredential, type KeyVerifier } from './keys.ts';
import type { People } from './people.ts';
import type { Principal } from './principal.ts';
import type { Route } from './route.ts';

/** What a request may do: who makes it, and for which tenant. */
export interface Permit {
  readonly principal: Principal;
  readonly tenantId: string;
}

export interface AccessOptions {
  engine: Pick<Engine, 'tenants' | 'catchUp'>;
  keys: KeyVerifier;
  people: Pick<People, 'sessions' | 'roleOf'>;
  /** Create a tenant the first time an operator names it. */
  createTenants: boolean;
}

export function isRole(text: unknown): text is Role {
  return roles.includes(text as Role);
}

/**
 * Who may do what, for whom. Answers at once, but for a tenant that has to be created first, and for a key, a session or
 * a tenant that is unknown here, which another node may have made a moment ago.
 * Throws UNAUTHORIZED, FORBIDDEN, BAD_REQUEST (no such tenant id can be) and NOT_FOUND (no such tenant).
 */
export class Access {
  readonly #o: AccessOptions;

  constructor(options: AccessOptions) {
    this.#o = options;
  }

  /**
   * @param route what it asks for: the least role, and the scope that a key with scopes must have
   * @param credentials where the request says who it is from, as its face has it
   * @param onIdentified told who it is before it is asked what they may, so that refusals are counted too
   */
  permit(
    headers: IncomingHttpHeaders,
    route: Pick<Route, 'role' | 'scope' | 'makesTenantItself'>,
    credentials: Face['credentials'],
    request: { readonly method?: string | undefined },
    onIdentified?: (principal: Principal) => void,
  ): Permit | Promise<Permit> {
    let principal: Principal;
    try {
      principal = this.#identify(headers, credentials, request.method ?? 'GET');
    } catch (error) {
      if (!(error instanceof UnknownCredential)) throw error;
      return this.#o.engine.catchUp().then(() => {
        const late = this.#identify(headers, credentials, request.method ?? 'GET');
        return this.#grant(late, headers, route, request, onIdentified);
      });
    }
    return this.#grant(principal, headers, route, request, onIdentified);
  }

  #grant(
    principal: Principal,
    headers: IncomingHttpHeaders,
    route: Pick<Route, 'role' | 'scope' | 'makesTenantItself'>,
    request: { readonly method?: string | undefined },
    onIdentified?: (principal: Principal) => void,
  ): Permit | Promise<Permit> {
    onIdentified?.(principal);
    const needed = route.role;
    if (needed !== 'public' && !mayAct(principal.role, needed)) {
      throw new PosthornError(
        'FORBIDDEN',
        `This needs a key with the role ${needed}${needed === 'operator' ? '' : ' or above'}; yours is ${principal.role}.`,
      );
    }
    if (principal.scopes !== null) checkScope(principal.scopes, route.scope);
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
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    return this.#firstUse(principal, tenantId, !isRead && !route.makesTenantItself);
  }

  #identify(headers: IncomingHttpHeaders, credentials: Face['credentials'], method: string): Principal {
    if (credentials === 'api-key') return this.#o.keys.verifyText(headers['api-key'] as string | undefined);
    if (headers.authorization === undefined && headers.cookie !== undefined) {
      const session = this.#o.people.sessions.find(headers.cookie);
      if (session !== undefined) return this.#member(session, headers, method);
    }
    return this.#o.keys.verify(headers.authorization);
  }

  /** Whom a session speaks for; what they may do is their role at this moment. */
  #member(session: Session | null, headers: IncomingHttpHeaders, method: string): Principal {
    const role = session === null ? null : this.#o.people.roleOf(session.memberId);
    if (session === null || role === null) {
      const remedy = 'Sign in again, or send "Authorization: Bearer <key>".';
      throw new UnknownCredential('The session is unknown or over.', remedy);
    }
    if (method !== 'GET' && method !== 'HEAD' && !isFromHere(headers)) {
      throw new PosthornError(
        'FORBIDDEN',
        'A request with a session cookie comes from a page of this server, or from no browser: its Origin is another.',
      );
    }
    const { memberId, tenantId } = session;
    return { keyId: null, memberId, role, tenantId, scopes: null, wireFormat: null };
  }

  /** A tenant that is not there: looking at it makes none. */
  async #firstUse(principal: Principal, tenantId: string, makesIt: boolean): Promise<Permit> {
    if (!isTenantId(tenantId)) {
      throw badField(
        'Posthorn-Tenant',
        'must be 1 to 128 letters, digits, ".", "_", ":" or "-", and begin with a letter or digit',
      );
    }
    await this.#o.engine.catchUp();
    if (this.#o.engine.tenants.find(tenantId)) return { principal, tenantId };
    if (!this.#o.createTenants) {
      throw new PosthornError(
        'NOT_FOUND',
        `There is no tenant ${JSON.stringify(tenantId)}. Create it with POST /v1/tenants, or name another in Posthorn-Tenant.`,
      );
    }
    if (makesIt) await this.#o.engine.tenants.create({ id: tenantId });
    return { principal, tenantId };
  }
}

function checkScope(held: NonNullable<Principal['scopes']>, needed: Route['scope']): void {
  if (needed !== undefined && held.includes(needed)) return;
  throw new PosthornError(
    'FORBIDDEN',
    needed === undefined
      ? 'This needs a key without scopes; yours is narrowed to some.'
      : `This needs a key with the scope ${needed}; yours has ${held.join(', ')}.`,
  );
}

/**
 * Whether a cookie came along because our own page, or a program, sent it: another site's page can make a browser send
 * it too, but says so in `Origin` or `Sec-Fetch-Site`, which no page can forge.
 */
function isFromHere(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin';
  const { origin, host } = headers;
  return origin === undefined || (host !== undefined && URL.canParse(origin) && new URL(origin).host === host);
}
