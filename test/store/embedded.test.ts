import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/model/id.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { migrations } from '../../src/store/sqlite/migrations/index.ts';
import { createSqliteStore, pendingMigrations } from '../../src/store/sqlite/store.ts';
import type { SqliteStore, SqliteStoreOptions } from '../../src/store/sqlite/store.ts';
import { acceptOne, makeClaim, makeEndpoint, makeEntry, makeSettlement, start } from './make.ts';

const masterKey = 'a master key for tests only';

describe('the embedded store', () => {
  let folder: string;
  const stores: SqliteStore[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'posthorn-store-'));
  });
  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
    rmSync(folder, { recursive: true });
  });

  function create(options: Partial<SqliteStoreOptions> = {}): SqliteStore {
    const store = createSqliteStore({ dataDir: folder, keyRing: createKeyRing([masterKey]), ...options });
    stores.push(store);
    return store;
  }

  async function open(options: Partial<SqliteStoreOptions> = {}): Promise<SqliteStore> {
    const store = create(options);
    await store.open({ migrate: true, now: Date.now() });
    return store;
  }

  const rawBytes = () =>
    Buffer.concat(
      readdirSync(folder)
        .filter((file) => file.startsWith('posthorn.db'))
        .map((file) => readFileSync(join(folder, file))),
    );

  function integrityOf(dataDir: string): unknown {
    const db = new Database(join(dataDir, 'posthorn.db'), { readonly: true });
    try {
      return db.pragma('integrity_check', { simple: true });
    } finally {
      db.close();
    }
  }

  describe('owns its directory', () => {
    it('makes it, and refuses a second opener with one line that names it', async () => {
      const dataDir = join(folder, 'a', 'b');
      await open({ dataDir });
      const second = create({ dataDir });
      await expect(second.open({ migrate: true, now: start })).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        message: expect.stringMatching(`^The data directory ${dataDir} is in use by another Posthorn[^\n]*$`) as string,
      });
      await stores[0]!.close();
      await second.open({ migrate: true, now: start });
      await second.check();
    });

    it('says which directory it cannot write, why, and what to do', async () => {
      const dataDir = join(folder, 'file', 'data');
      writeFileSync(join(folder, 'file'), '');
      await expect(create({ dataDir }).open({ migrate: true, now: start })).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        message: `${dataDir} is not a directory; choose another with POSTHORN_DATA_DIR or --data-dir`,
      });
    });

    it('names a file that is no database', async () => {
      writeFileSync(join(folder, 'posthorn.db'), 'x'.repeat(10_000));
      await expect(create().open({ migrate: true, now: start })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    });
  });

  describe('migrates', () => {
    it('only where it is told to', async () => {
      expect(pendingMigrations(folder)).toEqual(['001-first', '002-people-and-plans']);
      await expect(create().open({ migrate: false, now: start })).rejects.toThrow(/posthorn migrate/);
      await (await open()).close();
      expect(pendingMigrations(folder)).toEqual([]);
      await create().open({ migrate: false, now: start });
    });

    it('a store of the first version with all that is in it', async () => {
      const { number, name, sql, checksum } = migrations[0]!;
      const db = new Database(join(folder, 'posthorn.db'));
      db.exec(sql);
      db.exec('CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT, checksum TEXT, applied_at INTEGER)');
      db.prepare('INSERT INTO migrations VALUES (?, ?, ?, 0)').run(number, name, checksum);
      db.exec(`INSERT INTO tenants VALUES ('acme', 'Acme', NULL, 5)`);
      db.exec(`INSERT INTO api_keys VALUES ('K', 'acme', 'admin', NULL, 'ph_', 'h', 5, NULL, NULL, NULL)`);
      const endpoint = { ...makeEndpoint(), secrets: [] };
      db.prepare(
        `INSERT INTO endpoints (tenant_id, id, url, events, is_active, wire_format, created_at, updated_at)
         VALUES ('acme', ?, ?, '["*"]', 1, '"standard"', 5, 5)`,
      ).run(endpoint.id, endpoint.url);
      db.exec(`INSERT INTO events VALUES ('acme', 'E', NULL, 'a.b', 5, NULL, 'g', NULL, 5, NULL, '{}')`);
      db.prepare(
        `INSERT INTO deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, created_at, ended_at)
         VALUES ('acme', 'D', 'E', ?, 'dead_letter', 0, 0, 5, 5)`,
      ).run(endpoint.id);
      db.close();
      expect(pendingMigrations(folder)).toEqual(['002-people-and-plans']);

      const store = await open();
      expect(await store.tenants.all()).toEqual([
        { id: 'acme', name: 'Acme', wireFormat: null, plan: null, createdAt: 5 },
      ]);
      expect(await store.apiKeys.all()).toMatchObject([{ id: 'K', memberId: null, scopes: null }]);
      expect(await store.endpoints.all()).toMatchObject([{ id: endpoint.id, ownId: null }]);
      expect(await store.endpoints.create(endpoint)).toEqual({ kind: 'taken' });
      const failed = { tenantId: 'acme', status: ['dead_letter', 'cancelled'] as const, group: 'g' };
      const rows = await store.deliveries.list(failed, { limit: 9, before: null });
      expect(rows).toMatchObject([{ id: 'D', endpointUrl: endpoint.url, eventGroup: 'g' }]);
    });

    it.each([
      [
        'a newer version',
        "INSERT INTO migrations VALUES (3, 'later', 'x', 0)",
        /newer Posthorn \(migration 3 "later"\)/,
      ],
      ['an edited migration', "UPDATE migrations SET checksum = 'x'", /not the one this Posthorn knows/],
    ])('not a store of %s', async (_, sql, message) => {
      await (await open()).close();
      const db = new Database(join(folder, 'posthorn.db'));
      db.exec(sql);
      db.close();
      await expect(create().open({ migrate: true, now: start })).rejects.toThrow(message);
      expect(() => pendingMigrations(folder)).toThrow(message);
    });
  });

  it('knows the idempotency key of an endpoint for 24 hours', async () => {
    let now = start;
    const store = await open({ now: () => now });
    const create = () =>
      store.endpoints.create(makeEndpoint({ createdAt: 0 }), { dedupe: { key: 'k', fingerprint: 'f' } });
    expect(await create()).toEqual({ kind: 'created' });
    now += 24 * 3_600_000 - 1;
    expect(await create()).toMatchObject({ kind: 'repeated' });
    now += 1;
    expect(await create()).toEqual({ kind: 'created' });
    expect(await create()).toMatchObject({ kind: 'repeated' });
    now += 24 * 3_600_000;
    await store.endpoints.create(makeEndpoint(), { dedupe: { key: 'l', fingerprint: 'f' } });
    await store.close();
    const db = new Database(join(folder, 'posthorn.db'), { readonly: true });
    expect(db.prepare('SELECT key FROM endpoint_keys').pluck().all()).toEqual(['l']);
    db.close();
  });

  describe('enforces the states in SQL', () => {
    it.each([
      ['an unknown status', "status = 'lost'"],
      ['sending without a lease', 'lease = NULL'],
      ['pending without a time', "status = 'pending', lease = NULL"],
      ['a lease that is not sending', "status = 'held'"],
      ['an end without its time', "status = 'delivered', lease = NULL"],
    ])('refuses %s', async (_, set) => {
      const store = await open();
      await acceptOne(store, newId(start));
      const db = new Database(join(folder, 'posthorn.db'));
      try {
        expect(() => db.exec(`UPDATE deliveries SET ${set}`)).toThrow(/CHECK constraint failed: state/);
      } finally {
        db.close();
      }
    });
  });

  describe('seals secrets', () => {
    it('so that their text is nowhere on disk', async () => {
      const store = await open();
      const endpoint = makeEndpoint();
      await store.endpoints.create(endpoint);
      expect(rawBytes().includes(endpoint.url)).toBe(true);
      expect(rawBytes().includes(endpoint.secrets[0]!.value)).toBe(false);
      await store.close();
      expect(rawBytes().includes(endpoint.url)).toBe(true);
      expect(rawBytes().includes(endpoint.secrets[0]!.value)).toBe(false);
    });

    it('under the newest key once rewrapped, the derived keys unchanged', async () => {
      const before = createKeyRing([masterKey]);
      const store = await open({ keyRing: before });
      const endpoint = makeEndpoint();
      await store.endpoints.create(endpoint);
      await store.close();

      const rotated = await open({ keyRing: createKeyRing(['another master key', masterKey]) });
      expect(await rotated.endpoints.all()).toEqual([endpoint]);
      expect(await rotated.rewrapSecrets()).toBe(2); // the secret and the root
      expect(await rotated.rewrapSecrets()).toBe(0);
      await rotated.close();

      const alone = createKeyRing(['another master key']);
      const after = await open({ keyRing: alone });
      expect(await after.endpoints.all()).toEqual([endpoint]);
      expect(alone.derive('pepper')).toEqual(before.derive('pepper'));
      await after.close();

      await expect(create().open({ migrate: true, now: start })).rejects.toThrow(/master key does not open this store/);
      await open({ keyRing: alone }); // the failed one has let go of the directory
    });
  });

  describe('survives a full disk', () => {
    /** Accepts until the store is full; gives back what it acknowledged. */
    async function fill(store: SqliteStore): Promise<string[]> {
      const acknowledged: string[] = [];
      const data = JSON.stringify('x'.repeat(20_000));
      for (let i = 0; i < 10_000; i++) {
        const entry = makeEntry([newId(start)], 'sending', { data });
        try {
          await store.accept([entry]);
        } catch (error) {
          expect(error).toMatchObject({ code: 'STORE_FULL', retryAfterSeconds: 1 });
          expect(await store.events.get('acme', entry.event.id)).toBeNull();
          return acknowledged;
        }
        acknowledged.push(entry.deliveries[0]!.id);
      }
      throw new Error('The store was never full.');
    }

    it('set by a limit: nothing half-written, and goes on once there is room', async () => {
      const store = await open({ maxBytes: 2_000_000 });
      const acknowledged = await fill(store);
      expect(acknowledged.length).toBeGreaterThan(20);
      expect(await store.deliveries.count({ tenantId: 'acme' }, 10_000)).toBe(acknowledged.length);
      for (const id of acknowledged) expect(await store.settle(makeSettlement(id))).toBe(true);
      expect(await store.prune({ before: start + 1, limit: 10, beforeOf: new Map() })).toBe(10);
      await acceptOne(store, newId(start));
      await store.close();
      expect(integrityOf(folder)).toBe('ok');
    });

    const mounted = mount();
    it.skipIf(mounted === null)('of 64 MB: refuses, corrupts nothing, and goes on once there is room', async () => {
      try {
        const ballast = join(mounted!, 'ballast');
        writeFileSync(ballast, Buffer.alloc(30_000_000));
        const dataDir = join(mounted!, 'data');
        const store = await open({ dataDir });
        const acknowledged = await fill(store);
        expect(acknowledged.length).toBeGreaterThan(500);
        expect(await store.deliveries.count({ tenantId: 'acme' }, 10_000)).toBe(acknowledged.length);

        rmSync(ballast);
        const late = await acceptOne(store, newId(start));
        expect(await store.settle(makeSettlement(acknowledged.at(-1)!))).toBe(true);
        await store.check();
        await store.close();
        expect(integrityOf(dataDir)).toBe('ok');
        const again = await open({ dataDir });
        expect(await again.deliveries.get('acme', late)).toMatchObject({ status: 'pending' });
        expect(await again.deliveries.count({ tenantId: 'acme' }, 10_000)).toBe(acknowledged.length + 1);
        await again.close();
      } finally {
        for (const store of stores) await store.close();
        execFileSync('umount', [mounted!]);
        rmSync(mounted!, { recursive: true });
      }
    });
    if (mounted === null)
      console.warn('NOT RUN: the full disk of 64 MB, because this user may not mount a file system.');
  });

  describe('survives its writer', () => {
    it('rejects what waits, starts another, and makes what was leased due again', async () => {
      const workers: Worker[] = [];
      const remember = (worker: Worker) => workers.push(worker);
      process.on('worker', remember);
      let onRestart = () => undefined as void;
      const restarted = new Promise<void>((resolve) => (onRestart = resolve));
      const store = await open();
      store.listen({
        leasesLost: () => {
          onRestart();
        },
        orphansFound: () => undefined,
        recordsChanged: () => undefined,
        placeChanged: () => undefined,
        endpointPaused: () => undefined,
      });
      process.off('worker', remember);
      const id = await acceptOne(store, newId(start));

      const dead = new Promise((resolve) => workers[0]!.once('exit', resolve));
      void workers[0]!.terminate();
      const results = await Promise.allSettled([acceptOne(store, newId(start)), acceptOne(store, newId(start))]);
      for (const result of results)
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'STORE_UNAVAILABLE' } });
      await dead;
      await expect(store.check()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', retryAfterSeconds: 1 });

      await restarted;
      expect(await store.settle(makeSettlement(id))).toBe(false);
      const { deliveries } = await store.claim(makeClaim({ now: Date.now() }));
      expect(deliveries.map((delivery) => delivery.id)).toContain(id);
      expect(await store.settle(makeSettlement(id))).toBe(true);
    });

    it('closes while there is none', async () => {
      const workers: Worker[] = [];
      const remember = (worker: Worker) => workers.push(worker);
      process.on('worker', remember);
      const store = await open();
      process.off('worker', remember);
      await workers[0]!.terminate();
      await store.close();
      await open();
    });
  });

  it('opens a copy of its files taken at any moment, every acknowledged event in it', async () => {
    const store = await open();
    const copy = join(folder, 'copy');
    mkdirSync(copy);
    const ids: string[] = [];
    for (let round = 0; round < 20; round++) {
      const entries = Array.from({ length: 20 }, () => makeEntry([newId(start)]));
      await Promise.all(entries.map((entry) => store.accept([entry])));
      ids.push(...entries.map(({ event }) => event.id));
    }
    for (const file of ['posthorn.db', 'posthorn.db-wal']) cpSync(join(folder, file), join(copy, file));
    const crashed = await open({ dataDir: copy });
    const found = await crashed.events.list({ tenantId: 'acme' }, { limit: 1000, before: null });
    expect(found.map((event) => event.id)).toEqual(ids.reverse());
  });
});

/** A file system of 64 MB in memory; null where this user may not mount one. */
function mount(): string | null {
  const at = mkdtempSync(join(tmpdir(), 'posthorn-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', at], { stdio: 'ignore' });
    return at;
  } catch {
    rmSync(at, { recursive: true });
    return null;
  }
}
