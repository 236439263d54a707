import { randomBytes } from 'node:crypto';
import type { Id } from '../model/id.ts';
import type { Member, Session } from '../model/tenant.ts';
import type { Store } from '../store/store.ts';
import { hashKey } from './key-text.ts';

const TOKEN_BYTES = 32;

/**
 * The sessions of members in browsers, in memory as hashes. A cookie holds 256 random bits; what is kept is an HMAC of
 * them under the pepper, which a copy of the database does not hold.
 */
export class BrowserSessions {
  readonly #store: { readonly sessions: Store['sessions'] };
  readonly #pepper: Buffer;
  readonly #isSecure: boolean;
  readonly #now: () => number;
  readonly #byHash = new Map<string, Session>();

  /** `isSecure`: cookies go over https alone, and are bound to this very host. */
  constructor(options: {
    store: { readonly sessions: Store['sessions'] };
    pepper: Buffer;
    isSecure: boolean;
    now: () => number;
  }) {
    this.#store = options.store;
    this.#pepper = options.pepper;
    this.#isSecure = options.isSecure;
    this.#now = options.now;
  }

  async load(): Promise<void> {
    this.#byHash.clear();
    for (const session of await this.#store.sessions.all(this.#now())) this.#byHash.set(session.hash, session);
  }

  /** Begins a session of a member. The token is in the answer and nowhere else. */
  async begin(member: Member, lastsMs: number): Promise<{ token: string; session: Session }> {
    const now = this.#now();
    for (const [hash, { expiresAt }] of this.#byHash) if (expiresAt <= now) this.#byHash.delete(hash);
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const session: Session = {
      hash: hashKey(token, this.#pepper),
      tenantId: member.tenantId,
      memberId: member.id,
      createdAt: now,
      expiresAt: now + lastsMs,
    };
    await this.#store.sessions.create(session);
    this.#byHash.set(session.hash, session);
    return { token, session };
  }

  /** The session that a `Cookie` header names: undefined where it names none, null where that one is unknown or over. */
  find(cookies: string | undefined): Session | null | undefined {
    const token = this.#tokenIn(cookies);
    if (token === undefined) return undefined;
    const session = this.#byHash.get(hashKey(token, this.#pepper));
    return session === undefined || session.expiresAt <= this.#now() ? null : session;
  }

  /** Ends a session at once. */
  async end(session: Session): Promise<void> {
    await this.#store.sessions.remove(session.hash);
    this.#byHash.delete(session.hash);
  }

  /** Forgets the sessions of a member who was removed; the store did so by itself. */
  forget(memberId: Id): void {
    for (const [hash, session] of this.#byHash) if (session.memberId === memberId) this.#byHash.delete(hash);
  }

  /** Value of a `Set-Cookie` header that begins a session, or with `''` ends it. */
  cookie(token: string, lastsMs: number): string {
    const secure = this.#isSecure ? '; Secure' : '';
    return `${this.#cookieName}=${token}; Path=/; Max-Age=${Math.floor(lastsMs / 1000)}; HttpOnly; SameSite=Lax${secure}`;
  }

  /** A browser takes the `__Host-` one only with `Secure`, so that no other host of the domain can plant it. */
  get #cookieName(): string {
    return this.#isSecure ? '__Host-posthorn_session' : 'posthorn_session';
  }

  #tokenIn(cookies: string | undefined): string | undefined {
    if (cookies === undefined) return undefined;
    const start = `${this.#cookieName}=`;
    const found = cookies.split(';').find((cookie) => cookie.trimStart().startsWith(start));
    return found?.trim().slice(start.length);
  }
}
