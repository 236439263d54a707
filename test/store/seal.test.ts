import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKeyRing, loadOrCreateKeyFile } from '../../src/store/seal.ts';

const [first, second] = ['the first master key', 'the second master key'];

describe('a key ring', () => {
  it('opens what it sealed, and shows nothing of it', () => {
    const ring = createKeyRing([first]);
    const sealed = ring.seal('whsec_ü', 'acme', 'row');
    expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]+$/);
    expect(sealed).not.toContain('whsec');
    expect(ring.seal('whsec_ü', 'acme', 'row')).not.toBe(sealed);
    expect(ring.unseal(sealed, 'acme', 'row')).toBe('whsec_ü');
  });

  it('does not open for another tenant, another row, or after a change', () => {
    const ring = createKeyRing([first]);
    const sealed = ring.seal('text', 'acme', 'row');
    expect(() => ring.unseal(sealed, 'other', 'row')).toThrow();
    expect(() => ring.unseal(sealed, 'acme', 'rov')).toThrow();
    expect(() => ring.unseal(sealed, 'acmer', 'ow')).toThrow();
    for (const at of [15, sealed.length - 10]) {
      const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1);
      expect(() => ring.unseal(changed, 'acme', 'row')).toThrow();
    }
    expect(() => ring.unseal(sealed.slice(0, 20), 'acme', 'row')).toThrow();
    expect(() => ring.unseal('plain', 'acme', 'row')).toThrow(/not a sealed text/);
  });

  it('opens with any of its keys, seals with the newest, and rewraps what an older one sealed', () => {
    const old = createKeyRing([first]).seal('text', 'acme', 'row');
    const ring = createKeyRing([second, first]);
    expect(ring.unseal(old, 'acme', 'row')).toBe('text');
    const anew = ring.rewrap(old, 'acme', 'row')!;
    expect(ring.rewrap(anew, 'acme', 'row')).toBeNull();
    expect(createKeyRing([second]).unseal(anew, 'acme', 'row')).toBe('text');
    expect(() => createKeyRing([second]).unseal(old, 'acme', 'row')).toThrow(/master key does not open this store/);
  });

  it('refuses no key and short keys', () => {
    expect(() => createKeyRing([])).toThrow(/at least one/);
    expect(() => createKeyRing([first, 'short'])).toThrow(/16 characters/);
  });

  it('derives a key for each purpose from the root alone', () => {
    const [ring, rotated] = [createKeyRing([first]), createKeyRing([second, first])];
    expect(() => ring.derive('pepper')).toThrow(/Open the store/);
    const root = Buffer.alloc(32, 7);
    ring.setRoot(root);
    rotated.setRoot(root);
    expect(ring.derive('pepper')).toHaveLength(32);
    expect(rotated.derive('pepper')).toEqual(ring.derive('pepper'));
    expect(ring.derive('cookies')).not.toEqual(ring.derive('pepper'));
  });
});

describe('the key file', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'posthorn-key-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it('is made once, for its owner alone, and read again', () => {
    const dataDir = join(folder, 'data');
    const made = loadOrCreateKeyFile(dataDir);
    expect(made).toMatchObject({ created: true, keys: [expect.stringMatching(/^[\w+/]{43}=$/)] });
    expect(statSync(join(dataDir, 'master.key')).mode & 0o777).toBe(0o600);
    expect(loadOrCreateKeyFile(dataDir)).toEqual({ keys: made.keys, created: false });
    expect(readdirSync(dataDir)).toEqual(['master.key']);
    expect(readFileSync(join(dataDir, 'master.key'), 'utf8')).toBe(`${made.keys[0]}\n`);
  });

  it('may hold several keys, newest first', () => {
    writeFileSync(join(folder, 'master.key'), `${second}\n\n${first}\n`);
    expect(loadOrCreateKeyFile(folder).keys).toEqual([second, first]);
  });

  it('is named where it is empty or cannot be read or made', () => {
    writeFileSync(join(folder, 'master.key'), '\n');
    expect(() => loadOrCreateKeyFile(folder)).toThrow(`${folder}/master.key (the file is empty)`);
    const blocked = join(folder, 'blocked');
    mkdirSync(join(blocked, 'master.key'), { recursive: true });
    expect(() => loadOrCreateKeyFile(blocked)).toThrow(`${blocked}/master.key (EISDIR)`);
    expect(() => loadOrCreateKeyFile(join(folder, 'master.key', 'deeper'))).toThrow(
      /deeper is not a directory; choose another/,
    );
  });
});
