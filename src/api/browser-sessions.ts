import { randomBytes } from 'node:crypto';
import type { Id } from '../model/id.ts';
import type { Member, Session } from '../model/tenant.ts';
import { Turns } from '../delivery/turns.ts';
import type { RecordChange, Store } from '../store/store.ts';
import { hashKey } from './key-text.ts';

const TOKEN_BYTES = 32;
/** Of one member at once; the oldest ends for the next. Without an end, one viewer’s key could fill the memory. */
const MAX_PER_MEMBER = 50;
/** All of them are looked through for those that are over at most this often. */
const SWEEP_EVERY_MS = 60_000;

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
  /** Oldest first. */
  readonly #byMember = new Map<Id, Session[]>();
  /** One session is ended, or read anew, after the other. */
  readonly #turns = new Turns();
  #sweepFrom = 0;

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
    const sessions = await this.#store.sessions.all(this.#now());
    this.#byHash.clear();
    this.#byMember.clear();
    for (const session of sessions.toSorted((a, b) => a.createdAt - b.createdAt)) this.#add(session);
  }

  /** Puts in force what the store has of these sessions. */
  async follow(changes: readonly RecordChange[] | 'everything'): Promise<void> {
    let hashes: readonly string[];
    if (changes === 'everything') {
      const stored = (await this.#store.sessions.all(this.#now())).map(({ hash }) => hash);
      const known = new Set(stored);
      hashes = [
        ...stored.filter((hash) => !this.#byHash.has(hash)),
        ...[...this.#byHash.keys()].filter((hash) => !known.has(hash)),
      ];
    } else hashes = changes.map(({ key }) => key);
    await Promise.all(
      hashes.map((hash) =>
        this.#turns.take(hash, async () => {
          const session = await this.#store.sessions.get(hash);
          const known = this.#byHash.get(hash);
          if (session && !known) this.#add(session);
          else if (!session && known) this.#remove(known);
        }),
      ),
    );
  }

  /**
   * Begins a session of a member, and ends their oldest where they have too many. The token is in the answer and
   * nowhere else.
   */
  async begin(member: Member, lastsMs: number): Promise<{ token: string; session: Session }> {
    const now = this.#now();
    this.#sweep(now);
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const session: Session = {
      hash: hashKey(token, this.#pepper),
      tenantId: member.tenantId,
      memberId: member.id,
      createdAt: now,
      expiresAt: now + lastsMs,
    };
    await this.#store.sessions.create(session);
    const excess = this.#add(session).slice(0, -MAX_PER_MEMBER);
    await Promise.all(excess.map((oldest) => this.end(oldest)));
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
    await this.#turns.take(session.hash, async () => {
      await this.#store.sessions.remove(session.hash);
      this.#remove(session);
    });
  }

  /** Forgets the sessions of a member who was removed; the store did so by itself. */
  forget(memberId: Id): void {
    for (const { hash } of this.#byMember.get(memberId) ?? []) this.#byHash.delete(hash);
    this.#byMember.delete(memberId);
  }

  /** Value of a `Set-Cookie` header that begins a session, or with `''` ends it. */
  cookie(token: string, lastsMs: number): string {
    const secure = this.#isSecure ? '; Secure' : '';
    return `${this.#cookieName}=${token}; Path=/; Max-Age=${Math.floor(lastsMs / 1000)}; HttpOnly; SameSite=Lax${secure}`;
  }

  /** Its member's sessions with it. */
  #add(session: Session): readonly Session[] {
    const { hash, memberId } = session;
    this.#byHash.set(hash, session);
    const all = [...(this.#byMember.get(memberId) ?? []), session];
    this.#byMember.set(memberId, all);
    return all;
  }

  #remove({ hash, memberId }: Session): void {
    this.#byHash.delete(hash);
    const rest = (this.#byMember.get(memberId) ?? []).filter((session) => session.hash !== hash);
    if (rest.length > 0) this.#byMember.set(memberId, rest);
    else this.#byMember.delete(memberId);
  }

  #sweep(now: number): void {
    if (now < this.#sweepFrom && this.#sweepFrom - now <= SWEEP_EVERY_MS) return;
    this.#sweepFrom = now + SWEEP_EVERY_MS;
    for (const session of this.#byHash.values()) if (session.expiresAt <= now) this.#remove(session);
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
