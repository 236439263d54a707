import { badField, notFound, PosthornError, refuseZero } from '../errors.ts';
import { newId, parseId, prefixes, type Id } from '../model/id.ts';
import type { Scope } from '../model/scope.ts';
import { mayAct, type ApiKey, type Role } from '../model/tenant.ts';
import { Turns } from '../delivery/turns.ts';
import type { RecordChange, Store } from '../store/store.ts';
import { hashKey, hintOf, isMistyped, newKeyText, wireFormatOfKey, type KeyPrefix } from './key-text.ts';
import type { People } from './people.ts';
import type { Principal } from './principal.ts';

/** A key that is to be made. */
export interface NewKey {
  /** What it may do; of no meaning beside `memberId`. */
  role?: Role;
  /** Null for an operator's. */
  tenantId: string | null;
  /** The member a personal key speaks for, as `mem_…` or bare; its role is that of the member. */
  memberId?: string | null;
  /** What it may do of what its role may; null = all of it. */
  scopes?: readonly Scope[] | null;
  /** How it begins; default `ph_live_`, and `gpat_` for a personal key. */
  prefix?: KeyPrefix;
  /** The whole text, for a key that clients hold already: 16 to 512 visible ASCII characters. */
  text?: string;
  name?: string | null;
  /** Epoch ms; null = never. */
  expiresAt?: number | null;
}

export interface KeyVerifierOptions {
  store: { readonly apiKeys: Store['apiKeys'] };
  /** Whom personal keys speak for. Loaded by the caller. */
  people: Pick<People, 'find' | 'roleOf'>;
  /** Secret under which keys are hashed; the same for the life of the store. */
  pepper: Buffer;
  /** Texts of keys with an operator's rights that come from the settings and not from the store. */
  fixed?: readonly string[];
  /** Told of uses that could not be noted. */
  onFault?: (error: unknown) => void;
  /** Resolves when what other nodes changed is in force here. */
  catchUp?: () => Promise<void>;
  now?: () => number;
}

interface Known {
  /** Another one once the role of a personal key's member changed. */
  principal: Principal;
  /** Null for a fixed key. */
  readonly key: ApiKey | null;
  readonly expiresAt: number;
  /** Epoch ms from which the next use is noted again. */
  noteFrom: number;
}

const KEY = /^bearer +([\x21-\x7e]{16,512})$/i;
const TEXT = /^[\x21-\x7e]{16,512}$/;
/** Headers remembered; only valid ones are, so that guessing does not push them out. */
const MAX_REMEMBERED = 10_000;
const PLAIN_LENGTH = 'Bearer '.length;
/** A key's last use is noted at most this often, and written at most {@link FLUSH_MS} later. */
const NOTE_EVERY_MS = 60_000;
const FLUSH_MS = 5_000;
const MAX_NAME = 128;

/**
 * The API keys, in memory as hashes. Texts that were verified are remembered, so that the hash is made once and a
 * request costs one look-up. A key given by the settings is hashed like the others: no text is ever compared.
 */
export class KeyVerifier {
  readonly #store: KeyVerifierOptions['store'];
  readonly #people: KeyVerifierOptions['people'];
  readonly #pepper: Buffer;
  readonly #onFault: (error: unknown) => void;
  readonly #catchUp: () => Promise<void>;
  readonly #now: () => number;
  readonly #fixed: ReadonlyMap<string, Known>;
  #byHash = new Map<string, Known>();
  readonly #remembered = new Map<string, Known>();
  /** Hashes of keys that are being stored. */
  readonly #underWay = new Set<string>();
  readonly #uses = new Map<Id, number>();
  #timer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> = Promise.resolve();
  /** A key is revoked, or read anew, one after the other. */
  readonly #turns = new Turns();

  constructor(options: KeyVerifierOptions) {
    this.#store = options.store;
    this.#people = options.people;
    this.#pepper = options.pepper;
    this.#onFault = options.onFault ?? (() => undefined);
    this.#catchUp = options.catchUp ?? (() => Promise.resolve());
    this.#now = options.now ?? Date.now;
    const principal: Principal = {
      keyId: null,
      memberId: null,
      role: 'operator',
      tenantId: null,
      scopes: null,
      wireFormat: null,
    };
    const fixed = { principal, key: null, expiresAt: Infinity, noteFrom: Infinity };
    this.#fixed = new Map((options.fixed ?? []).map((text) => [hashKey(text, this.#pepper), fixed]));
  }

  /** Reads the keys of the store, anew when it is called again. */
  async load(): Promise<void> {
    const keys = await this.#store.apiKeys.all();
    this.#byHash = new Map(keys.map(({ hash, ...key }) => [hash, known(key)]));
    this.#remembered.clear();
  }

  /** Puts in force what the store has of these keys. What is revoked stays so. */
  async follow(changes: readonly RecordChange[] | 'everything'): Promise<void> {
    let ids: readonly Id[];
    if (changes === 'everything') {
      const known = new Map(this.#keys().map((key) => [key.id, key]));
      const stored = await this.#store.apiKeys.all();
      ids = stored.flatMap(({ id, revokedAt }) => {
        const key = known.get(id);
        return key && (key.revokedAt === null) === (revokedAt === null) ? [] : id;
      });
    } else ids = changes.flatMap(({ kind, key }) => (kind === 'api_key' ? key : []));
    await Promise.all(ids.map((id) => this.#turns.take(id, () => this.#read(id))));
  }

  async #read(id: Id): Promise<void> {
    const stored = await this.#store.apiKeys.get(id);
    if (!stored) return;
    const { hash, ...key } = stored;
    const present = this.#byHash.get(hash)?.key;
    if (!present) this.#byHash.set(hash, known(key));
    else if (key.revokedAt !== null) present.revokedAt ??= key.revokedAt;
    this.#remembered.clear();
  }

  /** Notes the last uses. Tolerates being called twice. */
  async close(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#flush();
    await this.#flushing;
  }

  /** Who an `Authorization` header speaks for. Throws UNAUTHORIZED that says what is wrong with it. */
  verify(authorization: string | undefined): Principal {
    const now = this.#now();
    const remembered = authorization === undefined ? undefined : this.#remembered.get(authorization);
    const found = remembered ?? this.#find(authorization, now);
    if (now >= found.expiresAt) {
      this.#remembered.delete(authorization!);
      throw unauthorized(NO_KEY);
    }
    if (found.principal.memberId !== null) this.#followMember(found, found.principal.memberId);
    if (now >= found.noteFrom) this.#noteUse(found, now);
    return found.principal;
  }

  /** The same for the header `Api-Key`, which holds a key and nothing else. */
  verifyText(text: string | undefined): Principal {
    if (text === undefined) throw unauthorized('The Api-Key header is missing.', API_KEY_REMEDY);
    if (!TEXT.test(text)) throw unauthorized('The Api-Key header does not hold a key.', API_KEY_REMEDY);
    return this.verify(`Bearer ${text}`);
  }

  /** Keys of a tenant, or with null of operators; newest first, revoked ones too. */
  list(tenantId: string | null): ApiKey[] {
    return this.#keys()
      .filter((key) => key.tenantId === tenantId)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /**
   * Makes a key. Its text is in the answer and nowhere else. Throws BAD_REQUEST that names the field, and
   * ALREADY_EXISTS where a given text is in use.
   */
  async create(request: NewKey): Promise<{ id: string; key: string; apiKey: ApiKey }> {
    const now = this.#now();
    const text = this.#textOf(request);
    const hash = hashKey(text, this.#pepper);
    const apiKey = this.#newKey(request, hintOf(text), now);
    if (this.#fixed.has(hash) || this.#byHash.has(hash) || this.#underWay.has(hash)) {
      throw new PosthornError('ALREADY_EXISTS', 'A key with this text exists, or did until it was revoked.');
    }
    this.#underWay.add(hash);
    try {
      await this.#store.apiKeys.create({ ...apiKey, hash });
    } finally {
      this.#underWay.delete(hash);
    }
    this.#byHash.set(hash, known(apiKey));
    return { id: prefixes.apiKey + apiKey.id, key: text, apiKey };
  }

  /**
   * Ends a key at once; one that is revoked already stays so. Throws NOT_FOUND for unknown ids, and for keys that
   * belong to none of `owners`: tenants, and null for operators.
   */
  async revoke(id: string, owners: readonly (string | null)[]): Promise<void> {
    const parsed = parseId(id, prefixes.apiKey);
    const find = (): ApiKey | undefined =>
      this.#keys().find((candidate) => candidate.id === parsed && owners.includes(candidate.tenantId));
    if (!find()) await this.#catchUp();
    const key = find();
    if (!key) throw notFound('API key', id);
    await this.#turns.take(key.id, async () => {
      if (key.revokedAt !== null) return;
      const now = this.#now();
      await this.#store.apiKeys.revoke(key.id, now);
      key.revokedAt = now;
      this.#remembered.clear();
    });
  }

  /** Ends the personal keys of a member who was removed; the store did so by itself. */
  forgetMember(memberId: Id, now: number): void {
    for (const key of this.#keys()) if (key.memberId === memberId) key.revokedAt ??= now;
    this.#remembered.clear();
  }

  /** What a key may do now; null for a personal one whose member is gone. */
  roleOf(key: ApiKey): Role | null {
    if (key.memberId === null) return key.role;
    const role = this.#people.roleOf(key.memberId);
    return role === null || mayAct(key.role, role) ? role : key.role;
  }

  #textOf({ text, prefix, memberId }: NewKey): string {
    if (text !== undefined) {
      if (!TEXT.test(text)) throw badField('key', 'must be 16 to 512 visible ASCII characters');
      if (isMistyped(text)) throw badField('key', 'begins as keys of Posthorn do, but its checksum does not fit');
      return text;
    }
    if (prefix === 'gpat_' && memberId == null) throw badField('prefix', 'gpat_ is for personal keys; give memberId');
    return newKeyText(prefix ?? (memberId == null ? 'ph_live_' : 'gpat_'));
  }

  #newKey(request: NewKey, hint: string, now: number): ApiKey {
    const { tenantId, memberId = null, scopes = null, name = null, expiresAt = null } = request;
    // A personal key has no role of its own: with the highest that a member can have, it is always the member's.
    const role = memberId === null ? request.role : 'owner';
    if (role === undefined) throw badField('role', 'is missing');
    if ((role === 'operator') !== (tenantId === null)) {
      throw badField('role', 'an operator’s key is for every tenant, any other key for one');
    }
    const member = memberId === null || tenantId === null ? null : this.#people.find(tenantId, memberId);
    if (memberId !== null && member === null) throw badField('memberId', 'is no member of this tenant');
    if (scopes?.length === 0) throw badField('scopes', 'must name at least one; null for all that the role may');
    if (name !== null && (name.length === 0 || name.length > MAX_NAME)) {
      throw badField('name', `must have 1 to ${MAX_NAME} characters`);
    }
    refuseZero('name', name);
    if (expiresAt !== null && expiresAt <= now) throw badField('expiresAt', 'has gone by; give a time to come');
    return {
      id: newId(now),
      tenantId,
      role,
      memberId: member?.id ?? null,
      scopes: scopes === null ? null : [...new Set(scopes)],
      name,
      hint,
      createdAt: now,
      lastUsedAt: null,
      expiresAt,
      revokedAt: null,
    };
  }

  #keys(): ApiKey[] {
    return [...this.#byHash.values()].flatMap(({ key }) => key ?? []);
  }

  #find(authorization: string | undefined, now: number): Known {
    if (authorization === undefined) throw unauthorized('The Authorization header is missing.');
    const text = KEY.exec(authorization)?.[1];
    if (text === undefined)
      throw unauthorized(
        'The Authorization header holds no API key: these are 16 to 512 visible characters behind "Bearer ". Is it cut off?',
      );
    if (isMistyped(text)) throw unauthorized('The API key is mistyped or cut off: its checksum does not fit.');
    const hash = hashKey(text, this.#pepper);
    const found = this.#fixed.get(hash) ?? this.#byHash.get(hash);
    if (!found) throw new UnknownCredential(NO_KEY);
    if ((found.key && found.key.revokedAt !== null) || now >= found.expiresAt) throw unauthorized(NO_KEY);
    // Any number of spaces may stand before a key: remembered, such headers would fill the memory.
    if (authorization.length - text.length > PLAIN_LENGTH) return found;
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(authorization, found);
    return found;
  }

  /** A personal key may at each request what its member may then. */
  #followMember(found: Known, memberId: Id): void {
    const role = this.#people.roleOf(memberId);
    if (role === null) throw unauthorized(NO_KEY);
    if (role !== found.principal.role) found.principal = { ...found.principal, role: this.roleOf(found.key!)! };
  }

  #noteUse(found: Known, now: number): void {
    found.noteFrom = now + NOTE_EVERY_MS;
    found.key!.lastUsedAt = now;
    this.#uses.set(found.key!.id, now);
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref();
  }

  #flush(): void {
    this.#timer = null;
    if (this.#uses.size === 0) return;
    const uses = [...this.#uses].map(([id, lastUsedAt]) => ({ id, lastUsedAt }));
    this.#uses.clear();
    this.#flushing = this.#flushing.then(() => this.#store.apiKeys.touch(uses)).catch(this.#onFault);
  }
}

function known(key: ApiKey): Known {
  return {
    principal: {
      keyId: prefixes.apiKey + key.id,
      memberId: key.memberId,
      role: key.role,
      tenantId: key.tenantId,
      scopes: key.scopes,
      wireFormat: wireFormatOfKey(key.hint),
    },
    key: { ...key },
    expiresAt: key.expiresAt ?? Infinity,
    noteFrom: 0,
  };
}

const NO_KEY = 'The API key is unknown, revoked or expired.';
const BEARER_REMEDY = 'Send "Authorization: Bearer <key>" with a key that is neither revoked nor expired.';
const API_KEY_REMEDY = 'Send "Api-Key: <key>" with a key that is neither revoked nor expired.';

/** UNAUTHORIZED, of a key or session that may be unknown only here: another node may have made it a moment ago. */
export class UnknownCredential extends PosthornError {
  constructor(what: string, remedy = BEARER_REMEDY) {
    super('UNAUTHORIZED', `${what} ${remedy}`);
  }
}

export function unauthorized(what: string, remedy = BEARER_REMEDY): PosthornError {
  return new PosthornError('UNAUTHORIZED', `${what} ${remedy}`);
}
