import { Turns } from '../delivery/turns.ts';
import { badField, notFound, PosthornError } from '../errors.ts';
import { newId, parseId, prefixes, type Id } from '../model/id.ts';
import type { Member, MemberRole } from '../model/tenant.ts';
import type { Store } from '../store/store.ts';
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
  now?: () => number;
}

const MAX_NAME = 128;
const MAX_EMAIL = 254;
/** Plausible, not more: only a mail that arrives proves an address. */
const EMAIL = /^[^\s@]+@[^\s@.]+(?:\.[^\s@.]+)+$/;
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL = /[\x00-\x1f\x7f]/;
const SIGNUPS_A_MINUTE = 10;

/** The members of every tenant, and their sessions, all in memory. */
export class People {
  readonly sessions: BrowserSessions;
  /** Counts sign-ups by address; null where sign-up is closed. */
  readonly signups: RateLimits | null;
  readonly #store: PeopleOptions['store'];
  readonly #now: () => number;
  readonly #members = new Map<Id, Member>();
  /** Changes of one tenant's go one after the other: two owners cannot demote each other at once. */
  readonly #turns = new Turns();

  constructor(options: PeopleOptions) {
    const { store, pepper, signup, secureCookies, now = Date.now } = options;
    this.#store = store;
    this.#now = now;
    this.sessions = new BrowserSessions({ store, pepper, isSecure: secureCookies, now });
    this.signups = signup === 'open' ? new RateLimits({ perMinute: SIGNUPS_A_MINUTE, now }) : null;
  }

  /** Reads members and sessions of the store, anew when it is called again. */
  async load(): Promise<void> {
    const [members] = await Promise.all([this.#store.members.all(), this.sessions.load()]);
    this.#members.clear();
    for (const member of members) this.#members.set(member.id, member);
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
  update(tenantId: string, id: string, patch: Partial<MemberInput>): Promise<Member> {
    return this.#turns.take(tenantId, async () => {
      const before = this.#require(tenantId, id);
      const { role = before.role, name = before.name, email = before.email } = patch;
      this.#check(tenantId, name, email, before.id);
      if (role !== 'owner') this.#requireAnotherOwner(before);
      const after: Member = { ...before, role, name, email, updatedAt: this.#now() };
      await this.#store.members.update(after);
      this.#members.set(after.id, after);
      return after;
    });
  }

  /**
   * Removes a member with its sessions and personal keys. Throws NOT_FOUND, and INVALID_STATE for the last owner.
   * @param onRemoved told in the turn in which it is so
   */
  remove(tenantId: string, id: string, onRemoved: (memberId: Id, now: number) => void): Promise<void> {
    return this.#turns.take(tenantId, async () => {
      const member = this.#require(tenantId, id);
      this.#requireAnotherOwner(member);
      const now = this.#now();
      await this.#store.members.remove(tenantId, member.id, now);
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

  #requireAnotherOwner(member: Member): void {
    if (member.role !== 'owner') return;
    const owners = this.list(member.tenantId).filter(({ role }) => role === 'owner');
    if (owners.length > 1) return;
    throw new PosthornError(
      'INVALID_STATE',
      'This is the last owner, and a tenant with members keeps one. Make somebody else an owner first.',
    );
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

function emailTaken(email: string | null): PosthornError {
  return new PosthornError('ALREADY_EXISTS', `A member with the email ${JSON.stringify(email)} exists.`);
}
