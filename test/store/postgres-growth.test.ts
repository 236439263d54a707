import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { firstIdAt, newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { Connections } from '../../src/store/postgres/connections.ts';
import { ensurePartitions, listPartitions, partitionedTables } from '../../src/store/postgres/partitions.ts';
import type { PartitionedTable } from '../../src/store/postgres/partitions.ts';
import { holdHistory } from '../../src/store/postgres/prune-locks.ts';
import { createPrune } from '../../src/store/postgres/prune.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import type { AcceptEntry } from '../../src/store/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';
import { makeEntry, makeFailure, makeSettlement } from './make.ts';

const DAY_MS = 86_400_000;
const keyRing = createKeyRing(['a master key for tests only']);
const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const daysAgo = (days: number): number => today - days * DAY_MS;
/** Where most tests put their history: a whole day, past the limit of {@link general}. */
const oldDay = daysAgo(40);
const noon = oldDay + DAY_MS / 2;
const general = { before: daysAgo(30), limit: 200, beforeOf: new Map<string, number | null>() };
const tenantId = 'acme';

let serial = 0;
/** Ids of the past cannot be made by the generator, which never goes back. */
function idAt(ms: number): Id {
  return `${firstIdAt(ms).slice(0, 10)}${String(++serial).padStart(13, '0')}000`;
}

type Fate = 'delivered' | 'held' | 'retried';

interface Planted {
  tenantId: string;
  id: Id;
  deliveries: Id[];
}

/** Stores an event of this age with a delivery for each fate. */
async function plant(
  store: PostgresStore,
  at: number,
  fates: readonly Fate[],
  rest: { tenantId?: string; deliveriesAt?: number } & Partial<AcceptEntry> = {},
): Promise<Planted> {
  const { tenantId: whose = tenantId, deliveriesAt = at, ...entry } = rest;
  const planted = makeEntry([], 'held', { id: idAt(at), createdAt: at, tenantId: whose }, entry);
  const deliveries = fates.map((fate) => ({
    ...{ id: idAt(deliveriesAt), endpointId: newId(Date.now()) },
    status: fate === 'held' ? ('held' as const) : ('sending' as const),
  }));
  expect(await store.accept([{ ...planted, deliveries }])).toEqual([{ kind: 'accepted' }]);
  for (const [i, fate] of fates.entries()) {
    const { id } = deliveries[i]!;
    if (fate === 'held') continue;
    const settlement =
      fate === 'delivered' ? makeSettlement(id, { tenantId: whose }) : makeFailure(id, { tenantId: whose });
    expect(await store.settle(settlement)).toBe(true);
  }
  return { tenantId: whose, id: planted.event.id, deliveries: deliveries.map(({ id }) => id) };
}

async function pruneAll(store: PostgresStore, request = general): Promise<number> {
  let sum = 0;
  for (let gone = await store.prune(request); gone > 0; gone = await store.prune(request)) sum += gone;
  return sum;
}

async function tablesOf({ connections }: PostgresStore, day: number): Promise<PartitionedTable[]> {
  return (await listPartitions(connections)).filter(({ from }) => from === firstIdAt(day)).map(({ table }) => table);
}

async function exists(store: PostgresStore, planted: Planted): Promise<boolean> {
  return (await store.events.get(planted.tenantId, planted.id)) !== null;
}

/** Rows in a table, partitions included. */
async function count({ connections }: PostgresStore, table: string): Promise<number> {
  const sql = `SELECT count(*) AS rows FROM posthorn.${table}`;
  return (await connections.query<{ rows: number }>({ sql, parameters: [] })).rows[0]!.rows;
}

describe.each([18, 14] as const)('growth on PostgreSQL %i', (version) => {
  let server: PostgresServer;
  const open: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    if (!hasPostgres(version)) return;
    server = await startPostgres({ version });
    const store = createPostgresStore({ url: server.url(), keyRing });
    await store.open({ migrate: true, now: Date.now() });
    await store.close();
    await server.query('CREATE DATABASE migrated TEMPLATE postgres');
  });
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
  afterAll(() => server?.stop());

  const test = it.skipIf(!hasPostgres(version));

  async function openStore(url: string): Promise<PostgresStore> {
    const store = createPostgresStore({ url, keyRing });
    await store.open({ migrate: false, now: Date.now() });
    open.push(() => store.close());
    return store;
  }

  /** A database of its own, with the partitions of the old day and the day after. */
  async function make(): Promise<{ store: PostgresStore; database: TestDatabase }> {
    const database = await server.createDatabase('migrated');
    open.push(() => database.drop());
    const store = await openStore(database.url);
    await ensurePartitions(store.connections, oldDay, oldDay + DAY_MS);
    return { store, database };
  }

  async function connect(url: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    open.push(() => client.end());
    return client;
  }

  describe('partitions', () => {
    test('of the coming week are there once a store is open, whatever its hour', async () => {
      const { store } = await make();
      const planted = await plant(store, store.now(), ['delivered']);
      const { rows } = await store.connections.query<{ name: string }>({
        sql: 'SELECT tableoid::regclass::text AS name FROM posthorn.events WHERE id = $1',
        parameters: [planted.id],
      });
      expect(rows[0]!.name).toMatch(/events_p\d{8}$/);
      for (let day = -2; day <= 7; day++) {
        expect((await tablesOf(store, daysAgo(-day))).sort(), `day ${day}`).toEqual([...partitionedTables].sort());
      }
    });

    test('are made once, by however many nodes at the same time', async () => {
      const { store, database } = await make();
      const others = [store, await openStore(database.url), await openStore(database.url)];
      const made = await Promise.all(
        others.map(({ connections }) => ensurePartitions(connections, daysAgo(65), daysAgo(60))),
      );
      expect(made.reduce((a, b) => a + b)).toBe(6 * partitionedTables.length);
      expect(await ensurePartitions(store.connections, daysAgo(65), daysAgo(60))).toBe(0);
    });

    test('take along what the default partition holds of their day, unless that is very much', async () => {
      const { store } = await make();
      const some = await plant(store, daysAgo(50), ['delivered', 'retried']);
      const much = daysAgo(51);
      await store.connections.query({
        sql: `INSERT INTO posthorn.payloads (tenant_id, event_id, data) SELECT 'acme', $1 || lpad(i::text, 16, '0'), '{}'
              FROM generate_series(1, 10001) AS i`,
        parameters: [firstIdAt(much).slice(0, 10)],
      });
      expect(await ensurePartitions(store.connections, much, daysAgo(50))).toBe(2 * partitionedTables.length - 1);
      expect(await tablesOf(store, much)).not.toContain('payloads');
      expect(await tablesOf(store, daysAgo(50))).toContain('payloads');
      expect(await count(store, 'events_default')).toBe(0);
      expect(await store.events.get(tenantId, some.id)).toMatchObject({ data: '{"total":1}' });
      expect(await store.deliveries.attempts(tenantId, some.deliveries[1]!)).toHaveLength(1);
      expect(await count(store, 'payloads_default')).toBe(10_001);
    });

    test('wait for a transaction that has the table, without holding up those behind it for long', async () => {
      const { store, database } = await make();
      const reader = await connect(database.url);
      await reader.query('BEGIN; SELECT count(*) FROM posthorn.events');
      const making = ensurePartitions(store.connections, daysAgo(60), daysAgo(60));
      for (let i = 0; i < 8; i++) {
        const began = performance.now();
        await store.events.list({ tenantId }, { limit: 1, before: null });
        expect(performance.now() - began).toBeLessThan(1000);
      }
      await reader.query('COMMIT');
      expect(await making).toBe(partitionedTables.length);
    });
  });

  describe('a day past every limit', () => {
    test('is dropped with everything in it', async () => {
      const { store } = await make();
      const old = await Promise.all(Array.from({ length: 20 }, () => plant(store, noon, ['delivered', 'delivered'])));
      const young = await plant(store, daysAgo(20), ['delivered']);
      expect(await store.prune(general)).toBe(20);
      expect(await store.prune(general)).toBe(0);
      expect(await tablesOf(store, oldDay)).toEqual([]);
      expect(await exists(store, old[0]!)).toBe(false);
      expect(await store.deliveries.get(tenantId, old[0]!.deliveries[0]!)).toBeNull();
      expect(await exists(store, young)).toBe(true);
      for (const table of ['payloads', 'events', 'deliveries', 'attempts']) expect(await count(store, table)).toBe(1);
    });

    test('leaves what is still open with all that hangs on it, and that goes once it has ended', async () => {
      const { store } = await make();
      await Promise.all(Array.from({ length: 10 }, () => plant(store, noon, ['delivered'])));
      const mixed = await plant(store, noon, ['delivered', 'retried', 'held']);
      const midnight = oldDay + DAY_MS;
      const across = await plant(store, midnight - 1, ['delivered', 'retried'], { deliveriesAt: midnight });
      const unfinished = await plant(store, noon, ['delivered'], { fanOutAfter: newId(Date.now()) });
      expect(await pruneAll(store)).toBe(10);
      expect(await tablesOf(store, oldDay)).toEqual([]);
      expect(await tablesOf(store, midnight)).toEqual([]);
      expect(await count(store, 'events')).toBe(3);
      for (const { id, deliveries } of [mixed, across, unfinished]) {
        expect(await store.events.get(tenantId, id)).toMatchObject({ data: '{"total":1}' });
        for (const delivery of deliveries) expect(await store.deliveries.get(tenantId, delivery)).not.toBeNull();
        expect(await store.deliveries.attempts(tenantId, deliveries[0]!)).toHaveLength(1);
      }
      expect(await store.deliveries.attempts(tenantId, across.deliveries[1]!)).toHaveLength(1);

      const { deliveries } = await store.claim({
        ...{ now: Date.now(), limit: 100, perEndpoint: 100, only: null, except: new Set<Id>() },
      });
      expect(deliveries.map(({ id }) => id).sort()).toEqual([mixed.deliveries[1], across.deliveries[1]].sort());
      for (const { id } of deliveries) {
        expect(await store.settle(makeSettlement(id, { attemptCount: 2 }))).toBe(true);
      }
      expect(await pruneAll(store)).toBe(1);
      expect(await exists(store, across)).toBe(false);
      expect(await exists(store, mixed)).toBe(true);
      expect(await count(store, 'attempts')).toBe(4);
    });

    test('is deleted event by event where very much of it stays', async () => {
      const { store } = await make();
      const gone = await plant(store, noon, ['delivered']);
      const [time, events] = [firstIdAt(noon).slice(0, 10), 5001];
      for (const sql of [
        `INSERT INTO posthorn.events (tenant_id, id, type, occurred_at, created_at)
         SELECT 'acme', $1 || lpad(i::text, 16, 'H'), 'a', 0, 0 FROM generate_series(1, ${events}) AS i`,
        `INSERT INTO posthorn.open_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, created_at, size)
         SELECT 'acme', $1 || lpad(i::text, 16, 'H'), $1 || lpad(i::text, 16, 'H'), 'e', 'held', 0, 0, 0, 2 FROM generate_series(1, ${events}) AS i`,
      ]) {
        await store.connections.query({ sql, parameters: [time] });
      }
      expect(await pruneAll(store)).toBe(1);
      expect(await exists(store, gone)).toBe(false);
      expect(await tablesOf(store, oldDay)).toHaveLength(4);
      expect(await count(store, 'events')).toBe(events);
    });

    test('stays until a transaction that reads it is over, and traffic goes on meanwhile', async () => {
      const { store, database } = await make();
      const old = await plant(store, noon, ['delivered']);
      const reader = await connect(database.url);
      await reader.query('BEGIN; SELECT count(*) FROM posthorn.payloads');
      const pruning = store.prune(general);
      for (let i = 0; i < 8; i++) {
        const began = performance.now();
        await plant(store, Date.now(), ['delivered']);
        expect(performance.now() - began).toBeLessThan(1000);
      }
      expect(await pruning).toBe(0);
      expect(await exists(store, old)).toBe(true);
      await reader.query('COMMIT');
      expect(await store.prune(general)).toBe(1);
      expect(await tablesOf(store, oldDay)).toEqual([]);
    });

    test('takes nothing away under a redelivery, whoever comes first', async () => {
      const { store, database } = await make();
      const old = await plant(store, noon, ['delivered']);
      const client = await connect(database.url);
      await client.query('BEGIN');
      await client.query(store.connections.inSchema(holdHistory.sql));
      expect(await store.prune(general)).toBe(0);
      expect(await exists(store, old)).toBe(true);
      await client.query('COMMIT');

      const many = await Promise.all(Array.from({ length: 60 }, () => plant(store, noon, ['delivered'])));
      const [gone, ...moved] = await Promise.all([
        pruneAll(store),
        ...many.map(({ deliveries }) =>
          store.redeliver({ tenantId, deliveryIds: deliveries, dueAt: Date.now(), spacingMs: 0 }),
        ),
      ]);
      const open = moved.flat();
      const swept = gone + (await pruneAll(store));
      expect(swept).toBe(61 - open.length);
      expect(await count(store, 'events')).toBe(open.length);
      const claimed = await store.claim({
        ...{ now: Date.now() + 1000, limit: 100, perEndpoint: 100, only: null, except: new Set<Id>() },
      });
      expect(claimed.deliveries.map(({ id }) => id).sort()).toEqual(open.sort());
      for (const { event } of claimed.deliveries) expect(event.data).toBe('{"total":1}');
    });

    test('goes once for two that sweep at the same time', async () => {
      const { store, database } = await make();
      const other = await openStore(database.url);
      const old = await Promise.all(
        Array.from({ length: 630 }, (_, i) => plant(store, i < 30 ? noon : daysAgo(60), ['delivered'])),
      );
      const gone = await Promise.all([pruneAll(store), pruneAll(other)]);
      expect(gone[0] + gone[1] + (await pruneAll(store)) + (await pruneAll(other))).toBe(old.length);
      expect(await count(store, 'attempts')).toBe(0);
    });

    test('takes its idempotency keys along, which count as absent at once', async () => {
      const { store } = await make();
      const dedupe = [{ key: 'k', fingerprint: 'f' }];
      await plant(store, noon, ['delivered'], { dedupe });
      await plant(store, noon, ['delivered'], { dedupe: [{ key: 'other', fingerprint: 'f' }] });
      const open = await plant(store, noon, ['held'], { dedupe: [{ key: 'open', fingerprint: 'f' }] });
      expect(await store.prune({ ...general, limit: 1 })).toBe(2);
      expect(await count(store, 'dedupe')).toBe(3);
      const young = await plant(store, Date.now(), ['delivered'], { dedupe });
      expect(await store.prune(general)).toBe(0);
      expect(await count(store, 'dedupe')).toBe(2);
      expect(await store.events.findOwnId(tenantId, 'k')).toBe(young.id);
      expect(await store.events.findOwnId(tenantId, 'open')).toBe(open.id);
    });
  });

  describe('limits of their own', () => {
    test('that are longer keep their events of a day, while the others’ go one by one, and so does the day', async () => {
      const { store } = await make();
      const usual = await Promise.all(Array.from({ length: 5 }, () => plant(store, noon, ['delivered'])));
      const longer = await plant(store, noon, ['delivered'], { tenantId: 'longer' });
      const ever = await plant(store, noon, ['delivered'], { tenantId: 'ever' });
      const beforeOf = new Map([
        ['longer', daysAgo(90)],
        ['ever', null],
      ]);
      expect(await pruneAll(store, { ...general, beforeOf })).toBe(5);
      expect(await exists(store, usual[0]!)).toBe(false);
      expect([await exists(store, longer), await exists(store, ever)]).toEqual([true, true]);
      expect(await tablesOf(store, oldDay)).toEqual([]);
      expect(await store.events.get('longer', longer.id)).toMatchObject({ data: '{"total":1}' });
      expect(await store.deliveries.attempts('longer', longer.deliveries[0]!)).toHaveLength(1);
      expect(await pruneAll(store, { ...general, beforeOf: new Map([['ever', null]]) })).toBe(1);
      expect(await exists(store, longer)).toBe(false);
      expect(await pruneAll(store)).toBe(1);
      expect(await count(store, 'attempts')).toBe(0);
    });

    test('that are longer keep a day of which they have very much', async () => {
      const { store, database } = await make();
      const usual = await plant(store, noon, ['delivered']);
      await plant(store, noon, ['delivered'], { tenantId: 'ever' });
      await store.connections.query({
        sql: `INSERT INTO posthorn.attempts (tenant_id, delivery_id, number, started_at, duration_ms, succeeded, detail)
              SELECT 'ever', $1 || lpad(i::text, 16, 'H'), 1, 0, 0, 1, '{}' FROM generate_series(1, 1000) AS i`,
        parameters: [firstIdAt(noon).slice(0, 10)],
      });
      expect(await pruneAll(store, { ...general, beforeOf: new Map([['ever', null]]) })).toBe(1);
      expect(await exists(store, usual)).toBe(false);
      expect(await tablesOf(store, oldDay)).toHaveLength(4);
      // A node that has not looked at this day yet.
      expect(await pruneAll(await openStore(database.url))).toBe(1);
      expect(await tablesOf(store, oldDay)).toEqual([]);
    });

    test('that are shorter are kept to the minute, on days that stay', async () => {
      const { store } = await make();
      const limit = oldDay + DAY_MS / 2;
      const before = await plant(store, limit - 1000, ['delivered'], { tenantId: 'shorter' });
      const after = await plant(store, limit + 1000, ['delivered'], { tenantId: 'shorter' });
      const usual = await plant(store, limit - 1000, ['delivered']);
      const request = { ...general, before: daysAgo(50), beforeOf: new Map([['shorter', limit]]) };
      expect(await pruneAll(store, request)).toBe(1);
      expect([await exists(store, before), await exists(store, after), await exists(store, usual)]).toEqual([
        ...[false, true, true],
      ]);
    });

    test('the usual one waits until the whole day is past it', async () => {
      const { store } = await make();
      const old = await plant(store, noon, ['delivered']);
      expect(await pruneAll(store, { ...general, before: oldDay + DAY_MS - 1 })).toBe(0);
      expect(await exists(store, old)).toBe(true);
      expect(await pruneAll(store, { ...general, before: oldDay + DAY_MS })).toBe(1);
    });
  });

  describe('payloads', () => {
    test('of a day past their retention are dropped, save those that are still to be sent', async () => {
      const { store } = await make();
      const sent = await Promise.all(Array.from({ length: 10 }, () => plant(store, noon, ['delivered'])));
      const open = await plant(store, noon, ['delivered', 'retried']);
      const request = { before: daysAgo(30), limit: 200 };
      expect(await store.prunePayloads(request)).toBe(10);
      expect(await store.prunePayloads(request)).toBe(0);
      expect((await tablesOf(store, oldDay)).sort()).toEqual(['attempts', 'ended_deliveries', 'events']);
      expect(await store.events.get(tenantId, sent[0]!.id)).toMatchObject({ data: '' });
      expect(await store.events.get(tenantId, open.id)).toMatchObject({ data: '{"total":1}' });
      const deliveryIds = [sent[0]!.deliveries[0]!, open.deliveries[0]!];
      expect(await store.redeliver({ tenantId, deliveryIds, dueAt: 0, spacingMs: 0 })).toEqual([open.deliveries[0]]);
      expect(await pruneAll(store)).toBe(10);
      expect(await count(store, 'payloads')).toBe(1);
      expect(await store.events.get(tenantId, open.id)).toMatchObject({ data: '{"total":1}' });
    });
  });

  test('without the right to change tables everything goes row by row', async () => {
    const { store, database } = await make();
    const old = await plant(store, noon, ['delivered']);
    const held = await plant(store, noon, ['held']);
    const role = `guest_${version}`;
    await server.query(
      `CREATE ROLE ${role} LOGIN; GRANT USAGE ON SCHEMA posthorn TO ${role};
       GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA posthorn TO ${role}`,
      database.name,
    );
    const connections = new Connections({
      ...{ url: server.url(database.name, role), schema: 'posthorn', poolSize: 2, statementTimeoutMs: 10_000 },
      onFault: () => undefined,
    });
    open.push(() => connections.end());
    expect(await createPrune(connections)(general)).toBe(1);
    expect([await exists(store, old), await exists(store, held)]).toEqual([false, true]);
    expect(await tablesOf(store, oldDay)).toHaveLength(4);
    const making = ensurePartitions(connections, daysAgo(60), daysAgo(60));
    await expect(making).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});
