import { Turns } from '../delivery/turns.ts';
import { badField, notFound, PosthornError } from '../errors.ts';
import { newId, parseId, prefixes, type Id } from '../model/id.ts';
import type { Member, MemberRole } from '../model/tenant.ts';
import type { Cluster, RecordChange, Store } from '../store/store.ts';
import { BrowserSessions } from './browser-sessions.ts';
import { RateLimits } from './rate-limits.ts';

/** What can be said of a member. */
export interface MemberInput {
  role: MemberRole;
  name?: string | null;
  email?: string | null;
}

export interface PeopleOptions {
  store: { readonly members: Store['members']; readonly sessions: Store['sessions'] };
  /** Secret under which sessions are hashed; the same for the life of the store. */
  pepper: Buffer;
  /** Whether strangers may make themselves a tenant. */
  signup: 'open' | 'closed';
  /** Session cookies go over https alone. */
  secureCookies: boolean;
  /** The other nodes, which count sign-ups along; null, the default, without any. */
  cluster?: Pick<Cluster, 'count'> | null;
  /** Resolves when what other nodes changed is in force here. */
  catchUp?: () => Promise<void>;
  /** Told of counts that could not be exchanged with other nodes. */
  onFault?: (error: unknown) => void;
  now?: () => number;
}

const MAX_NAME = 128;
const MAX_EMAIL = 254;
/** Plausible, not more: only a mail that arrives proves an address. */
const EMAIL = /^[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+$/;
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\x00-\x1f\x7f]/;
const SIGNUPS_A_MINUTE = 10;
/** Tries of a change while other nodes change the same member. */
const TRIES = 5;

/** The members of every tenant, and their sessions, all in memory. */
export class People {
  readonly sessions: BrowserSessions;
  /** Counts sign-ups by address; null where sign-up is closed. */
  readonly signups: RateLimits | null;
  readonly #store: PeopleOptions['store'];
  readonly #catchUp: () => Promise<void>;
  readonly #now: () => number;
  readonly #members = new Map<Id, Member>();
  /** Changes of one tenant's go one after the other: two owners cannot demote each other at once. */
  readonly #turns = new Turns();

  constructor(options: PeopleOptions) {
    const { store, pepper, signup, secureCookies, cluster = null, now = Date.now } = options;
    this.#store = store;
    this.#catchUp = options.catchUp ?? (() => Promise.resolve());
    this.#now = now;
    this.sessions = new BrowserSessions({ store, pepper, isSecure: secureCookies, now });
    this.signups =
      signup === 'open'
        ? new RateLimits({
            ...{ perMinute: SIGNUPS_A_MINUTE, name: 'signups', cluster, now },
            ...(options.onFault ? { onFault: options.onFault } : {}),
          })
        : null;
  }

  /** Exchanges no more counts with other nodes. */
  stop(): void {
    this.signups?.stop();
  }

  /** Reads members and sessions of the store, anew when it is called again. */
  async load(): Promise<void> {
    const [members] = await Promise.all([this.#store.members.all(), this.sessions.load()]);
    this.#members.clear();
    for (const member of members) this.#members.set(member.id, member);
  }

  /**
   * Puts in force what the store has of these members and sessions.
   * @param onRemoved told of members that are gone, whose keys the store revoked
   */
  async follow(
    changes: readonly RecordChange[] | 'everything',
    onRemoved: (memberId: Id, now: number) => void,
  ): Promise<void> {
    for (const { tenantId, id } of await this.#changed(changes)) {
      await this.#turns.take(tenantId, async () => {
        if ((await this.#read(tenantId, id)) === null) onRemoved(id, this.#now());
      });
    }
    await this.sessions.follow(changes === 'everything' ? changes : changes.filter(({ kind }) => kind === 'session'));
  }

  async #changed(changes: readonly RecordChange[] | 'everything'): Promise<readonly { tenantId: string; id: Id }[]> {
    if (changes !== 'everything') {
      return changes.flatMap(({ kind, tenantId, key }) => (kind === 'member' ? { tenantId, id: key } : []));
    }
    const stored = new Map((await this.#store.members.all()).map((member) => [member.id, member]));
    return [...new Map([...stored, ...this.#members]).values()].filter(
      ({ id }) => JSON.stringify(stored.get(id)) !== JSON.stringify(this.#members.get(id)),
    );
  }

  /** In the tenant's turn: puts a member in force as the store has it; null where it is gone. */
  async #read(tenantId: string, id: Id): Promise<Member | null> {
    const member = await this.#store.members.get(tenantId, id);
    if (member) this.#members.set(id, member);
    else {
      this.#members.delete(id);
      this.sessions.forget(id);
    }
    return member;
  }

  /** Newest first. */
  list(tenantId: string): Member[] {
    return [...this.#members.values()]
      .filter((member) => member.tenantId === tenantId)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** By `mem_…` or UUID; null where the tenant has no such member. */
  find(tenantId: string, id: string): Member | null {
    const parsed = parseId(id, prefixes.member);
    const member = parsed === null ? undefined : this.#members.get(parsed);
    return member?.tenantId === tenantId ? member : null;
  }

  /** What a member may at this moment; null where there is none any more. */
  roleOf(id: Id): MemberRole | null {
    return this.#members.get(id)?.role ?? null;
  }

  /** Throws BAD_REQUEST that names the field, and ALREADY_EXISTS where a member has that email. */
  create(tenantId: string, input: MemberInput): Promise<Member> {
    const { role, name = null, email = null } = input;
    return this.#turns.take(tenantId, async () => {
      this.#check(tenantId, name, email, null);
      const now = this.#now();
      const member: Member = { id: newId(now), tenantId, name, email, role, createdAt: now, updatedAt: now };
      if (!(await this.#store.members.create(member))) throw emailTaken(email);
      this.#members.set(member.id, member);
      return member;
    });
  }

  /** What is not given stays. Throws as `create`, NOT_FOUND, and INVALID_STATE where no owner would be left. */
  async update(tenantId: string, id: string, patch: Partial<MemberInput>): Promise<Member> {
    if (!this.find(tenantId, id)) await this.#catchUp();
    return this.#turns.take(tenantId, async () => {
      for (let tries = 1; ; tries++) {
        const before = this.#require(tenantId, id);
        const { role = before.role, name = before.name, email = before.email } = patch;
        this.#check(tenantId, name, email, before.id);
        const updatedAt = Math.max(this.#now(), before.updatedAt + 1);
        const after: Member = { ...before, role, name, email, updatedAt };
        const outcome = await this.#store.members.update(after, before.updatedAt);
        if (outcome === 'last_owner') throw lastOwner();
        if (outcome === 'done') {
          this.#members.set(after.id, after);
          return after;
        }
        // Another node was quicker: once more, on top of what it did.
        if (tries === TRIES) {
          throw new PosthornError('INVALID_STATE', 'The member is being changed by others at this moment; try again.');
        }
        await this.#read(tenantId, before.id);
      }
    });
  }

  /**
   * Removes a member with its sessions and personal keys. Throws NOT_FOUND, and INVALID_STATE for the last owner.
   * @param onRemoved told in the turn in which it is so
   */
  async remove(tenantId: string, id: string, onRemoved: (memberId: Id, now: number) => void): Promise<void> {
    if (!this.find(tenantId, id)) await this.#catchUp();
    return this.#turns.take(tenantId, async () => {
      const member = this.#require(tenantId, id);
      const now = this.#now();
      if ((await this.#store.members.remove(tenantId, member.id, now)) === 'last_owner') throw lastOwner();
      this.#members.delete(member.id);
      this.sessions.forget(member.id);
      onRemoved(member.id, now);
    });
  }

  #require(tenantId: string, id: string): Member {
    const member = this.find(tenantId, id);
    if (!member) throw notFound('member', id);
    return member;
  }

  #check(tenantId: string, name: string | null, email: string | null, self: Id | null): void {
    checkPerson(name, email);
    if (email === null) return;
    const wanted = email.toLowerCase();
    const other = this.list(tenantId).find((member) => member.email?.toLowerCase() === wanted);
    if (other !== undefined && other.id !== self) throw emailTaken(email);
  }
}

/** Throws BAD_REQUEST where a name or an email cannot be one. */
export function checkPerson(name: string | null, email: string | null): void {
  if (name !== null && (name.trim() === '' || name.length > MAX_NAME || CONTROL.test(name))) {
    throw badField('name', `must have 1 to ${MAX_NAME} characters, none of them a control character`);
  }
  if (email !== null && (email.length > MAX_EMAIL || CONTROL.test(email) || !EMAIL.test(email))) {
    throw badField('email', `must be an email address of at most ${MAX_EMAIL} characters`);
  }
}

function lastOwner(): PosthornError {
  return new PosthornError(
    'INVALID_STATE',
    'This is the last owner, and a tenant with members keeps one. Make somebody else an owner first.',
  );
}

function emailTaken(email: string | null): PosthornError {
  return new PosthornError('ALREADY_EXISTS', `A member with the email ${JSON.stringify(email)} exists.`);
}
