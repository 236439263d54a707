import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import type { AcceptEntry, ClaimRequest } from '../../src/store/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';
import { makeEntry, makeFailure, makeSettlement } from './make.ts';

const keyRing = createKeyRing(['a master key for tests only']);
const ENDPOINTS = 20;
const ROWS = 6_000;
/** What the server may read for a row that is written or looked up. */
const READS_A_ROW = 12;

/**
 * The planner's idea of a table is as old as the last vacuum, and open deliveries come and go in thousands within a second:
 * whatever it believes, no statement may read more than it is about.
 */
describe.each([18, 14] as const)('the plans of PostgreSQL %i', (version) => {
  let server: PostgresServer;
  const open: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    if (hasPostgres(version)) server = await startPostgres({ version });
  });
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
  afterAll(() => server?.stop());

  const beliefs: [string, (database: TestDatabase) => Promise<void>][] = [
    ['never saw a row', async () => {}],
    [
      'saw tables that had just become empty',
      async (database) => {
        const store = await openStore(database.url);
        await settleAll(store, await acceptMany(store, 'sending', 30_000));
        await store.close();
        await server.query('VACUUM (ANALYZE)', database.name);
      },
    ],
    [
      'saw a few rows',
      async (database) => {
        const store = await openStore(database.url);
        await acceptMany(store, 'pending', 40);
        await acceptMany(store, 'sending', 40);
        await store.close();
        await server.query('VACUUM (ANALYZE)', database.name);
      },
    ],
    [
      'saw one tenant with everything',
      async (database) => {
        const store = await openStore(database.url);
        await acceptMany(store, 'pending', 10_000);
        await store.close();
        await server.query('VACUUM (ANALYZE)', database.name);
        await server.query('DELETE FROM posthorn.open_deliveries', database.name);
      },
    ],
  ];

  it.skipIf(!hasPostgres(version)).each(beliefs)(
    'read what they are about, where the planner %s',
    { timeout: 120_000 },
    async (_, prepare) => {
      const database = await server.createDatabase();
      open.push(() => database.drop());
      const first = await openStore(database.url);
      for (const table of ['open_deliveries', 'flights']) {
        await server.query(`ALTER TABLE posthorn.${table} SET (autovacuum_enabled = false)`, database.name);
      }
      await first.close();
      await prepare(database);
      const store = await openStore(database.url);
      await planWithFewRows(store);

      const filler = await openStore(database.url);
      const leased = await acceptMany(store, 'sending', ROWS);
      await acceptMany(store, 'pending', ROWS);
      await filler.close();
      const reads = await readsOf(database, async () => {
        await settleAll(store, leased.slice(0, 2_000));
        const failed = leased.slice(2_000, 3_000);
        const dueAt = Date.now() + 3_600_000;
        await Promise.all(failed.map((id) => store.settle(makeFailure(id, { dueAt }))));
        const only = endpointIds.slice(0, 4).map((endpointId) => ({ tenantId: 'acme', endpointId }));
        await claimMany(store, 512, null);
        await claimMany(store, 256, only);
        await store.close(); // what its connections did is told when they end
      });
      const rows = 2_000 + 1_000 + 512 + 256;
      for (const [name, count] of reads) expect(count, name).toBeLessThan(rows * READS_A_ROW);
    },
  );

  const endpointIds = Array.from({ length: ENDPOINTS }, () => newId(Date.now()));

  it.skipIf(!hasPostgres(version))(
    'of lists end with the page, also where nothing has been analyzed yet',
    { timeout: 60_000 },
    async () => {
      const database = await server.createDatabase();
      open.push(() => database.drop());
      // Joined the wrong way round, these take minutes.
      const store = await openStore(database.url, 2_000);
      await settleAll(store, await acceptMany(store, 'sending', 40_000));
      await acceptMany(store, 'sending', 2_000);
      const page = { limit: 50, before: null, withLastAttempt: true };
      for (const status of [
        ['delivered'],
        ['sending'],
        ['sending', 'delivered'],
        ['dead_letter'],
        ['pending'],
      ] as const) {
        const rows = await store.deliveries.list({ tenantId: 'acme', status: [...status] }, page);
        expect(rows).toHaveLength(status.some((one) => one === 'sending' || one === 'delivered') ? 50 : 0);
      }
      expect(await store.deliveries.list({ tenantId: 'acme' }, page)).toHaveLength(50);
      expect(await store.deliveries.list({ tenantId: 'acme', endpointId: endpointIds[0]! }, page)).toHaveLength(50);
      expect(await store.deliveries.list({ tenantId: 'acme' }, { ...page, offset: 9_990 })).toHaveLength(50);
    },
  );

  async function openStore(url: string, statementTimeoutMs = 10_000): Promise<PostgresStore> {
    const store = createPostgresStore({ url, keyRing, statementTimeoutMs });
    await store.open({ migrate: true, now: Date.now() });
    open.push(() => store.close());
    return store;
  }

  async function acceptMany(store: PostgresStore, status: 'sending' | 'pending', count: number): Promise<Id[]> {
    const entries: AcceptEntry[] = Array.from({ length: count / 10 }, (_, n) =>
      makeEntry(
        Array.from({ length: 10 }, (_, i) => endpointIds[(n * 10 + i) % ENDPOINTS]!),
        status,
      ),
    );
    await Promise.all(entries.map((entry) => store.accept([entry])));
    return entries.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
  }

  /** The plan that a connection keeps is made at the sixth time: here with ten more open deliveries at each. */
  async function planWithFewRows(store: PostgresStore): Promise<void> {
    const request = { limit: 4, perEndpoint: 2, except: new Set<Id>() };
    for (let i = 0; i < 8; i++) {
      const [id, second, ...rest] = await acceptMany(store, 'sending', 20);
      await acceptMany(store, 'pending', 10);
      await settleAll(store, [id!]);
      await store.settle(makeFailure(second!, { dueAt: Date.now() }));
      const { deliveries } = await store.claim({ ...request, now: Date.now(), only: null });
      await settleAll(store, rest.slice(0, 8));
      await Promise.all(
        deliveries.map(({ id, attemptCount }) => store.settle(makeSettlement(id, { attemptCount: attemptCount + 1 }))),
      );
    }
  }

  /** So many, in as many calls as that takes. */
  async function claimMany(store: PostgresStore, count: number, only: ClaimRequest['only']): Promise<void> {
    for (let left = count; left > 0;) {
      const request = { now: Date.now(), limit: left, perEndpoint: 64, only, except: new Set<Id>() };
      const { deliveries } = await store.claim(request);
      expect(deliveries.length).toBeGreaterThan(0);
      left -= deliveries.length;
    }
  }

  async function settleAll(store: PostgresStore, ids: readonly Id[]): Promise<void> {
    const settled = await Promise.all(ids.map((id) => store.settle(makeSettlement(id))));
    expect(settled.every(Boolean)).toBe(true);
  }

  /** Entries of each index and rows of each table that this read. */
  async function readsOf(database: TestDatabase, work: () => Promise<void>): Promise<[string, number][]> {
    const before = new Map(await counted(database));
    await work();
    return (await counted(database)).map(([name, count]) => [name, count - (before.get(name) ?? 0)]);
  }

  async function counted(database: TestDatabase): Promise<[string, number][]> {
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const rows = await server.query<{ name: string; count: string }>(
      `SELECT indexrelname AS name, idx_tup_read AS count FROM pg_stat_user_indexes
       UNION ALL SELECT relname, coalesce(seq_tup_read, 0) FROM pg_stat_user_tables ORDER BY name`,
      database.name,
    );
    return rows.map(({ name, count }) => [name, Number(count)]);
  }
});
