import { badField, notFound, PosthornError } from '../errors.ts';
import { newId, parseId, prefixes, type Id } from '../model/id.ts';
import type { ApiKey, Role } from '../model/tenant.ts';
import type { Store } from '../store/store.ts';
import { hashKey, hintOf, isMistyped, newKeyText } from './key-text.ts';

/** Who makes a request. */
export interface Principal {
  /** As shown: `key_…`; null for a key that the settings give. */
  readonly keyId: string | null;
  readonly role: Role;
  /** The tenant it acts for; null for an operator, who names one. */
  readonly tenantId: string | null;
}

/** A key that is to be made. */
export interface NewKey {
  role: Role;
  /** Null for an operator's. */
  tenantId: string | null;
  name?: string | null;
  /** Epoch ms; null = never. */
  expiresAt?: number | null;
}

export interface KeyVerifierOptions {
  store: { readonly apiKeys: Store['apiKeys'] };
  /** Secret under which keys are hashed; the same for the life of the store. */
  pepper: Buffer;
  /** Texts of keys with an operator's rights that come from the settings and not from the store. */
  fixed?: readonly string[];
  /** Told of uses that could not be noted. */
  onFault?: (error: unknown) => void;
  now?: () => number;
}

interface Known {
  readonly principal: Principal;
  /** Null for a fixed key. */
  readonly key: ApiKey | null;
  readonly expiresAt: number;
  /** Epoch ms from which the next use is noted again. */
  noteFrom: number;
}

const KEY = /^bearer +([\x21-\x7e]{16,512})$/i;
/** Headers remembered; only valid ones are, so that guessing does not push them out. */
const MAX_REMEMBERED = 10_000;
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
  readonly #pepper: Buffer;
  readonly #onFault: (error: unknown) => void;
  readonly #now: () => number;
  readonly #fixed: ReadonlyMap<string, Known>;
  #byHash = new Map<string, Known>();
  readonly #remembered = new Map<string, Known>();
  readonly #uses = new Map<Id, number>();
  #timer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: KeyVerifierOptions) {
    this.#store = options.store;
    this.#pepper = options.pepper;
    this.#onFault = options.onFault ?? (() => undefined);
    this.#now = options.now ?? Date.now;
    const principal: Principal = { keyId: null, role: 'operator', tenantId: null };
    const fixed = { principal, key: null, expiresAt: Infinity, noteFrom: Infinity };
    this.#fixed = new Map((options.fixed ?? []).map((text) => [hashKey(text, this.#pepper), fixed]));
  }

  /** Reads the keys of the store, anew when it is called again. */
  async load(): Promise<void> {
    const keys = await this.#store.apiKeys.all();
    this.#byHash = new Map(keys.map(({ hash, ...key }) => [hash, known(key)]));
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
      throw unauthorized('The API key is unknown, revoked or expired.');
    }
    if (now >= found.noteFrom) this.#noteUse(found, now);
    return found.principal;
  }

  /** Keys of a tenant, or with null of operators; newest first, revoked ones too. */
  list(tenantId: string | null): ApiKey[] {
    return this.#keys()
      .filter((key) => key.tenantId === tenantId)
      .sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  /** Makes a key. Its text is in the answer and nowhere else. Throws BAD_REQUEST that names the field. */
  async create(request: NewKey): Promise<{ id: string; key: string; apiKey: ApiKey }> {
    const { role, tenantId, name = null, expiresAt = null } = request;
    const now = this.#now();
    if ((role === 'operator') !== (tenantId === null)) {
      throw badField('role', 'an operator’s key is for every tenant, any other key for one');
    }
    if (name !== null && (name.length === 0 || name.length > MAX_NAME)) {
      throw badField('name', `must have 1 to ${MAX_NAME} characters`);
    }
    if (expiresAt !== null && expiresAt <= now) throw badField('expiresAt', 'has gone by; give a time to come');
    const text = newKeyText();
    const apiKey: ApiKey = {
      id: newId(now),
      tenantId,
      role,
      name,
      hint: hintOf(text),
      createdAt: now,
      lastUsedAt: null,
      expiresAt,
      revokedAt: null,
    };
    const hash = hashKey(text, this.#pepper);
    await this.#store.apiKeys.create({ ...apiKey, hash });
    this.#byHash.set(hash, known(apiKey));
    return { id: prefixes.apiKey + apiKey.id, key: text, apiKey };
  }

  /**
   * Ends a key at once; one that is revoked already stays so. Throws NOT_FOUND for unknown ids, and for keys that
   * belong to none of `owners`: tenants, and null for operators.
   */
  async revoke(id: string, owners: readonly (string | null)[]): Promise<void> {
    const parsed = parseId(id, prefixes.apiKey);
    const key = this.#keys().find((candidate) => candidate.id === parsed && owners.includes(candidate.tenantId));
    if (!key) throw notFound('API key', id);
    if (key.revokedAt !== null) return;
    const now = this.#now();
    await this.#store.apiKeys.revoke(key.id, now);
    key.revokedAt = now;
    this.#remembered.clear();
  }

  #keys(): ApiKey[] {
    return [...this.#byHash.values()].flatMap(({ key }) => key ?? []);
  }

  #find(authorization: string | undefined, now: number): Known {
    if (authorization === undefined) throw unauthorized('The Authorization header is missing.');
    const text = KEY.exec(authorization)?.[1];
    if (text === undefined) throw unauthorized('The Authorization header does not hold a bearer key.');
    if (isMistyped(text)) throw unauthorized('The API key is mistyped or cut off: its checksum does not fit.');
    const hash = hashKey(text, this.#pepper);
    const found = this.#fixed.get(hash) ?? this.#byHash.get(hash);
    if (!found || (found.key && found.key.revokedAt !== null) || now >= found.expiresAt) {
      throw unauthorized('The API key is unknown, revoked or expired.');
    }
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(authorization, found);
    return found;
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
    principal: { keyId: prefixes.apiKey + key.id, role: key.role, tenantId: key.tenantId },
    key: { ...key },
    expiresAt: key.expiresAt ?? Infinity,
    noteFrom: 0,
  };
}

function unauthorized(what: string): PosthornError {
  return new PosthornError(
    'UNAUTHORIZED',
    `${what} Send "Authorization: Bearer <key>" with a key that is neither revoked nor expired.`,
  );
}
