import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import type { ClaimRequest } from '../../src/store/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer } from '../postgres/server.ts';
import { acceptOne, makeEntry, makeFailure, makeSettlement } from '../store/make.ts';

const keyRing = createKeyRing(['a master key for tests only']);

describe.skipIf(!hasPostgres(18))('a claim that leases less than it was asked for', () => {
  let server: PostgresServer;
  let store: PostgresStore;
  const cleanups: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    server = await startPostgres();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(() => server?.stop());

  async function openStore(): Promise<void> {
    const database = await server.createDatabase();
    cleanups.push(() => database.drop());
    store = createPostgresStore({ url: database.url, keyRing });
    await store.open({ migrate: true, now: Date.now() });
    cleanups.push(() => store.close());
  }

  const accept = (endpointId: Id, count: number): Promise<Id[]> =>
    Promise.all(Array.from({ length: count }, () => acceptOne(store, endpointId, 'pending')));

  const ask = (changes: Partial<ClaimRequest>): ClaimRequest => ({
    ...{ now: Date.now(), limit: 512, perEndpoint: 128, only: null, except: new Set<Id>() },
    ...changes,
  });
  const line = (endpointId: Id) => ({ tenantId: 'acme', endpointId });

  it('says that there is more where it was the pace that cut the share of the last line', async () => {
    await openStore();
    const [short, long] = [newId(Date.now()), newId(Date.now())];
    await accept(short, 5);
    await accept(long, 100);
    const result = await store.claim(ask({ perEndpoint: 40, only: [line(short), line(long)] }));
    const ofLong = result.deliveries.filter(({ endpointId }) => endpointId === long).length;
    expect(ofLong < 40 ? result.more : true, `${ofLong} of a line with 100, which may have 40`).toBe(true);
  });

  it('leases everything that is due when it is called until there is no more, in lines and in the ring', async () => {
    await openStore();
    const endpointIds = Array.from({ length: 40 }, () => newId(Date.now()));
    for (const [i, endpointId] of endpointIds.entries()) await accept(endpointId, i === 0 ? 300 : i % 7);
    const total = 300 + endpointIds.reduce((sum, _, i) => sum + (i === 0 ? 0 : i % 7), 0);
    const leased = new Set<Id>();
    for (let calls = 0; ; calls++) {
      const { deliveries, more } = await store.claim(ask({ only: calls < 3 ? endpointIds.map(line) : null }));
      for (const { id } of deliveries) leased.add(id);
      if (!more && calls >= 3) break;
      expect(calls).toBeLessThan(50);
    }
    expect(leased.size).toBe(total);
  });

  it('settles what was said before the close, also while the lane rests', async () => {
    await openStore();
    const endpointId = newId(Date.now());
    const ids = await Promise.all(Array.from({ length: 40 }, () => acceptOne(store, endpointId)));
    await Promise.all(ids.slice(0, 20).map((id) => store.settle(makeSettlement(id))));
    const late = ids.slice(20).map((id) => store.settle(makeSettlement(id)));
    await store.close();
    expect(await Promise.all(late)).toEqual(late.map(() => true));
  });
});

/** Statements that people cause keep their plans as long as those of deliveries do. */
describe.each([18, 14] as const)('the plans of moves on PostgreSQL %i', (version) => {
  const endpointIds = Array.from({ length: 20 }, () => newId(Date.now()));
  const [first] = endpointIds as [Id];
  let server: PostgresServer;

  beforeAll(async () => {
    if (hasPostgres(version)) server = await startPostgres({ version });
  });
  afterAll(() => server?.stop());

  async function acceptMany(store: PostgresStore, count: number): Promise<Id[]> {
    const entries = Array.from({ length: count / 20 }, () => makeEntry(endpointIds, 'pending'));
    await Promise.all(entries.map((entry) => store.accept([entry])));
    return entries.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
  }

  const move = (store: PostgresStore, from: 'pending' | 'held', to: 'pending' | 'held' | 'cancelled', limit: number) =>
    store.moveDeliveries({
      ...{ tenantId: 'acme', endpointId: first, from, to, limit, now: Date.now() },
      reason: to === 'held' ? 'endpoint_disabled' : to === 'cancelled' ? 'endpoint_deleted' : null,
    });

  async function deadLetter(store: PostgresStore, limit: number): Promise<Id[]> {
    const only = [{ tenantId: 'acme', endpointId: first }];
    const { deliveries } = await store.claim({ now: Date.now(), limit, perEndpoint: limit, only, except: new Set() });
    await Promise.all(
      deliveries.map(({ id, attemptCount }) =>
        store.settle(
          makeFailure(id, {
            ...{ attemptCount: attemptCount + 1, status: 'dead_letter', reason: 'schedule_exhausted', dueAt: null },
          }),
        ),
      ),
    );
    return deliveries.map(({ id }) => id);
  }

  const redeliver = (store: PostgresStore, deliveryIds: readonly Id[]) =>
    store.redeliver({ tenantId: 'acme', deliveryIds, dueAt: Date.now(), spacingMs: 0 });

  const cases: [string, (store: PostgresStore, count: number) => Promise<void>][] = [
    ['cancels', async (store, count) => void (await move(store, 'pending', 'cancelled', count))],
    ['holds', async (store, count) => void (await move(store, 'pending', 'held', count))],
    [
      'holds and resumes',
      async (store, count) => {
        await move(store, 'pending', 'held', count);
        await move(store, 'held', 'pending', count);
      },
    ],
    ['redelivers what ended', async (store, count) => void (await redeliver(store, await deadLetter(store, count)))],
  ];

  it.skipIf(!hasPostgres(version)).each(cases)(
    'read what they are about, where a node that %s did so before with few rows',
    async (_, work) => {
      const database = await server.createDatabase();
      const open = async (): Promise<PostgresStore> => {
        // Four connections: each has kept its plans when the work begins.
        const store = createPostgresStore({ url: database.url, keyRing, poolSize: 4 });
        await store.open({ migrate: true, now: Date.now() });
        return store;
      };
      const store = await open();
      try {
        await server.query('ALTER TABLE posthorn.open_deliveries SET (autovacuum_enabled = false)', database.name);
        for (let i = 0; i < 24; i++) {
          await acceptMany(store, 20);
          await work(store, 1);
        }
        const filler = await open();
        await acceptMany(filler, 20_000);
        await filler.close();
        const before = await readsOf(database.name);
        await work(store, 40);
        await store.close(); // what its connections read is told when they end
        expect((await readsOf(database.name)) - before).toBeLessThan(40 * 50);
      } finally {
        await store.close();
        await database.drop();
      }
    },
    60_000,
  );

  /** Each retry leaves an entry in the index by due time, which is soon higher than the others: its look-ups cost more. */
  it.skipIf(!hasPostgres(version))(
    'claim by due time, where a few deliveries were retried often before',
    async () => {
      const database = await server.createDatabase();
      const open = async (poolSize = 10): Promise<PostgresStore> => {
        const store = createPostgresStore({ url: database.url, keyRing, poolSize });
        await store.open({ migrate: true, now: Date.now() });
        return store;
      };
      const only = [{ tenantId: 'acme', endpointId: first }];
      const claim = async (store: PostgresStore, limit: number) =>
        (await store.claim({ now: Date.now(), limit, perEndpoint: limit, only, except: new Set() })).deliveries;
      const retryAll = async (store: PostgresStore) => {
        const settled = (await claim(store, 40)).map(({ id, attemptCount }) =>
          store.settle(makeFailure(id, { attemptCount: attemptCount + 1, dueAt: Date.now() - 1 })),
        );
        await Promise.all(settled);
      };
      const retrying = await open();
      await server.query('ALTER TABLE posthorn.open_deliveries SET (autovacuum_enabled = false)', database.name);
      const few = Array.from({ length: 10 }, () => makeEntry([first], 'pending'));
      await Promise.all(few.map((entry) => retrying.accept([entry])));
      // Somebody reads for long: what is dead meanwhile stays in the indexes.
      const reader = new pg.Client({ connectionString: database.url });
      await reader.connect();
      await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM posthorn.meta');
      for (let i = 0; i < 30; i++) await retryAll(retrying);
      await retrying.close();
      const store = await open(4);
      try {
        for (let i = 0; i < 24; i++) await retryAll(store);
        await reader.end();
        const filler = await open();
        await Promise.all(Array.from({ length: 10_000 }, () => filler.accept([makeEntry([first], 'pending')])));
        await filler.close();
        const before = await readsOf(database.name);
        let claimed = 0;
        for (let i = 0; i < 10; i++) claimed += (await claim(store, 32)).length;
        expect(claimed).toBe(320);
        await store.close(); // what its connections read is told when they end
        expect((await readsOf(database.name)) - before).toBeLessThan(20_000);
      } finally {
        await store.close();
        await database.drop();
      }
    },
    60_000,
  );

  async function readsOf(database: string): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const [row] = await server.query<{ count: string }>(
      `SELECT sum(idx_tup_read) AS count FROM pg_stat_user_indexes WHERE relname = 'open_deliveries'`,
      database,
    );
    return Number(row!.count);
  }
});
