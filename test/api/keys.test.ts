import { describe, expect, it } from 'vitest';
import { hashKey, isMistyped, newKeyText } from '../../src/api/key-text.ts';
import { KeyVerifier, type NewKey } from '../../src/api/keys.ts';
import { PosthornError } from '../../src/errors.ts';
import type { ApiKey } from '../../src/model/tenant.ts';
import type { Store } from '../../src/store/store.ts';

const pepper = Buffer.from('pepper');
const T0 = Date.UTC(2026, 0, 1);

/** The table of keys, in memory. */
function keyTable() {
  const rows: (ApiKey & { hash: string })[] = [];
  const touched: { id: string; lastUsedAt: number }[][] = [];
  const apiKeys: Store['apiKeys'] = {
    all: async () => rows.map((row) => ({ ...row })),
    create: async (row) => void rows.push({ ...row }),
    revoke: async (id, now) => void rows.filter((row) => row.id === id).forEach((row) => (row.revokedAt = now)),
    touch: async (uses) => void touched.push([...uses]),
  };
  return { rows, touched, apiKeys };
}

async function setUp(options: { fixed?: string[] } = {}) {
  const store = keyTable();
  const clock = { now: T0 };
  const make = () => new KeyVerifier({ store, pepper, now: () => clock.now, ...options });
  const keys = make();
  await keys.load();
  const create = (request: Partial<NewKey> = {}) => keys.create({ role: 'member', tenantId: 'acme', ...request });
  return { store, clock, keys, create, make };
}

const refusal = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof PosthornError && error.code === 'UNAUTHORIZED') return error.message;
    throw error;
  }
  throw new Error('it was let in');
};

describe('the text of a key', () => {
  it('is recognisable, 256 bits long and never the same twice', () => {
    const texts = new Set(Array.from({ length: 200 }, newKeyText));
    expect(texts.size).toBe(200);
    for (const text of texts) expect(text).toMatch(/^ph_live_[0-9A-Za-z]{49}$/);
  });

  it('shows every single slip of the pen by its checksum', () => {
    const text = newKeyText();
    expect(isMistyped(text)).toBe(false);
    for (let i = 'ph_live_'.length; i < text.length; i++) {
      const slip = text.slice(0, i) + (text[i] === 'x' ? 'y' : 'x') + text.slice(i + 1);
      expect(isMistyped(slip)).toBe(true);
    }
    expect(isMistyped(text.slice(0, -1))).toBe(true);
  });

  it('is kept as an HMAC that another pepper does not give', () => {
    expect(hashKey('a', pepper)).not.toBe(hashKey('a', Buffer.from('other')));
  });
});

describe('verifying', () => {
  it('knows who a key speaks for, at once and again after a new start', async () => {
    const { keys, create, make } = await setUp();
    const { id, key } = await create({ role: 'admin' });
    const principal = { keyId: id, role: 'admin', tenantId: 'acme' };
    expect(keys.verify(`Bearer ${key}`)).toEqual(principal);
    expect(keys.verify(`bearer  ${key}`)).toEqual(principal);
    const restarted = make();
    await restarted.load();
    expect(restarted.verify(`Bearer ${key}`)).toEqual(principal);
  });

  it('never stores the text of a key', async () => {
    const { store, create } = await setUp();
    const { key } = await create();
    expect(JSON.stringify(store.rows)).not.toContain(key.slice(12));
    expect(store.rows[0]!.hint).toBe(key.slice(0, 12));
  });

  it('takes the keys of the settings as an operator’s', async () => {
    const { keys } = await setUp({ fixed: ['dev-api-key-local'] });
    expect(keys.verify('Bearer dev-api-key-local')).toEqual({ keyId: null, role: 'operator', tenantId: null });
    expect(refusal(() => keys.verify('Bearer dev-api-key-locaL'))).toContain('unknown');
  });

  it.each([
    ['no header', undefined, 'missing'],
    ['another scheme', 'Basic dXNlcjpwYXNz', 'does not hold a bearer key'],
    ['no key', 'Bearer ', 'does not hold a bearer key'],
    ['15 characters', `Bearer ${'x'.repeat(15)}`, 'does not hold a bearer key'],
    ['513 characters', `Bearer ${'x'.repeat(513)}`, 'does not hold a bearer key'],
    ['a space inside', `Bearer ${'x'.repeat(20)} y`, 'does not hold a bearer key'],
    ['an unknown key', `Bearer ${'x'.repeat(16)}`, 'unknown, revoked or expired'],
    ['a key cut off', `Bearer ${newKeyText().slice(0, 30)}`, 'mistyped'],
    ['a key that nobody made', `Bearer ${newKeyText()}`, 'unknown, revoked or expired'],
  ])('refuses %s and says what is wrong', async (_, header, words) => {
    const { keys } = await setUp();
    expect(refusal(() => keys.verify(header))).toContain(words);
  });

  it('refuses a key from the moment it is revoked, also where it was used before', async () => {
    const { keys, create, make } = await setUp();
    const { id, key } = await create();
    keys.verify(`Bearer ${key}`);
    await keys.revoke(id, ['acme']);
    expect(refusal(() => keys.verify(`Bearer ${key}`))).toContain('revoked');
    const restarted = make();
    await restarted.load();
    expect(refusal(() => restarted.verify(`Bearer ${key}`))).toContain('revoked');
  });

  it('refuses a key from the moment it expires, also where it was used before', async () => {
    const { keys, clock, create } = await setUp();
    const { key } = await create({ expiresAt: T0 + 1000 });
    clock.now = T0 + 999;
    keys.verify(`Bearer ${key}`);
    clock.now = T0 + 1000;
    expect(refusal(() => keys.verify(`Bearer ${key}`))).toContain('expired');
    expect(refusal(() => keys.verify(`Bearer ${key}`))).toContain('expired');
  });

  it('costs a look-up, not a hash, when a key comes again', async () => {
    const { keys, create } = await setUp();
    const { key } = await create();
    const header = `Bearer ${key}`;
    const lap = (rounds: number): number => {
      const start = performance.now();
      for (let i = 0; i < rounds; i++) keys.verify(header);
      return ((performance.now() - start) * 1000) / rounds;
    };
    lap(100_000);
    // 0.1 µs where it was measured; a hash would take 3.
    expect(Math.min(lap(100_000), lap(100_000), lap(100_000))).toBeLessThan(1);
  });
});

describe('noting the last use', () => {
  it('writes once for many uses, at most once a minute', async () => {
    const { keys, clock, store, create } = await setUp();
    const { key, apiKey } = await create();
    for (let i = 0; i < 100; i++) keys.verify(`Bearer ${key}`);
    await keys.close();
    expect(store.touched).toEqual([[{ id: apiKey.id, lastUsedAt: T0 }]]);
    clock.now = T0 + 59_999;
    keys.verify(`Bearer ${key}`);
    await keys.close();
    expect(store.touched).toHaveLength(1);
    clock.now = T0 + 60_000;
    keys.verify(`Bearer ${key}`);
    await keys.close();
    expect(store.touched[1]).toEqual([{ id: apiKey.id, lastUsedAt: T0 + 60_000 }]);
    expect(keys.list('acme')[0]!.lastUsedAt).toBe(T0 + 60_000);
  });

  it('tells of a store that does not take it, and goes on', async () => {
    const store = keyTable();
    store.apiKeys.touch = () => Promise.reject(new Error('no disk'));
    const faults: unknown[] = [];
    const keys = new KeyVerifier({ store, pepper, onFault: (fault) => faults.push(fault) });
    await keys.load();
    const { key } = await keys.create({ role: 'member', tenantId: 'acme' });
    keys.verify(`Bearer ${key}`);
    await keys.close();
    expect(faults).toEqual([new Error('no disk')]);
    expect(keys.verify(`Bearer ${key}`).tenantId).toBe('acme');
  });
});

describe('making and revoking', () => {
  it('refuses what cannot be: an expiry gone by, a nameless name, a role without its tenant', async () => {
    const { create } = await setUp();
    await expect(create({ expiresAt: T0 })).rejects.toThrow('expiresAt: has gone by');
    await expect(create({ name: '' })).rejects.toThrow('name: must have 1 to 128');
    await expect(create({ name: 'x'.repeat(129) })).rejects.toThrow('name: must have 1 to 128');
    await expect(create({ role: 'operator' })).rejects.toThrow('role:');
    await expect(create({ tenantId: null })).rejects.toThrow('role:');
  });

  it('finds no key of another tenant to revoke, and lists none', async () => {
    const { keys, create } = await setUp();
    const { id } = await create({ tenantId: 'globex' });
    await expect(keys.revoke(id, ['acme'])).rejects.toThrow('There is no API key');
    await expect(keys.revoke('key_nonsense', ['acme'])).rejects.toThrow('There is no API key');
    expect(keys.list('acme')).toEqual([]);
    expect(keys.list('globex')).toHaveLength(1);
  });

  it('keeps the moment of the first revocation', async () => {
    const { keys, clock, create } = await setUp();
    const { id } = await create();
    await keys.revoke(id, ['acme']);
    clock.now += 5000;
    await keys.revoke(id, ['acme']);
    expect(keys.list('acme')[0]!.revokedAt).toBe(T0);
  });
});
