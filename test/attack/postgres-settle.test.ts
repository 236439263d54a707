import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/model/id.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer } from '../postgres/server.ts';
import { acceptOne, makeClaim, makeEntry, makeFailure, makeSettlement, start } from '../store/make.ts';

const keyRing = createKeyRing(['a master key for tests only']);
let server: PostgresServer;

const it = test.extend(
  'store',
  // eslint-disable-next-line no-empty-pattern -- Vitest reads from it which fixtures are needed
  async ({}, { onCleanup }): Promise<PostgresStore> => {
    const database = await server.createDatabase();
    const store = createPostgresStore({ url: database.url, keyRing });
    await store.open({ migrate: true, now: Date.now() });
    onCleanup(async () => {
      await store.close();
      await database.drop();
    });
    return store;
  },
);

const statusOf = async (store: PostgresStore, id: string) => (await store.deliveries.get('acme', id))?.status;

describe.skipIf(!hasPostgres(18))('a batch of settlements', { timeout: 20_000 }, () => {
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

  it('in which one delivery stands twice takes the first word, and says so', async ({ store }) => {
    const endpointId = newId(start);
    const [a, b, c, d] = await Promise.all(Array.from({ length: 4 }, () => acceptOne(store, endpointId)));
    const slower = (id: string) => ({ ...makeSettlement(id).attempt!, durationMs: 99 });
    const said = await Promise.all([
      store.settle(makeSettlement(a!)),
      store.settle(makeSettlement(a!, { attempt: slower(a!) })),
      store.settle(makeFailure(b!)),
      store.settle(makeFailure(b!, { attempt: { ...slower(b!), succeeded: false }, dueAt: start + 1 })),
      store.settle(makeFailure(c!)),
      store.settle(makeSettlement(c!, { attempt: slower(c!) })),
      store.settle(
        makeSettlement(d!, { status: 'cancelled', reason: 'endpoint_deleted', attempt: null, attemptCount: 0 }),
      ),
      store.settle(makeSettlement(d!, { status: 'held', reason: 'endpoint_disabled', attempt: null, attemptCount: 0 })),
    ]);
    expect(said).toEqual([true, false, true, false, true, false, true, false]);
    for (const id of [a!, b!, c!]) {
      const attempts = await store.deliveries.attempts('acme', id);
      expect(attempts).toHaveLength(1);
      expect(attempts[0]).toMatchObject({ durationMs: 12.5 });
    }
    expect(await Promise.all([a!, b!, c!, d!].map((id) => statusOf(store, id)))).toEqual([
      ...['delivered', 'pending', 'pending', 'cancelled'],
    ]);
    expect(await store.deliveries.get('acme', b!)).toMatchObject({ dueAt: start + 60_000 });
  });

  it('of every outcome, with and without attempts, some of them not ours, answers each with its own', async ({
    store,
  }) => {
    const endpointId = newId(start);
    // A hundred rows of their own, and as many in flight, by fives.
    const claimed = Array.from({ length: 100 }, () => makeEntry([endpointId], 'pending'));
    const flying = Array.from({ length: 20 }, () => makeEntry(Array.from({ length: 5 }, () => newId(start))));
    await store.accept([...claimed, ...flying]);
    for (let left = 100; left > 0;) {
      left -= (await store.claim(makeClaim({ now: store.now(), limit: left, perEndpoint: left }))).deliveries.length;
    }
    const ids = [...claimed, ...flying].flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
    const kinds = [
      (id: string) => makeSettlement(id),
      (id: string) => makeSettlement(id, { lastError: 'was slow' }),
      (id: string) => makeFailure(id),
      (id: string) => makeFailure(id, { status: 'dead_letter', dueAt: null }),
      (id: string) =>
        makeSettlement(id, { attempt: null, attemptCount: 0, status: 'held', reason: 'endpoint_disabled' }),
      (id: string) => makeSettlement(id, { attempt: null, attemptCount: 0, status: 'pending', dueAt: start + 5 }),
      (id: string) =>
        makeSettlement(id, { attempt: null, attemptCount: 0, status: 'cancelled', reason: 'endpoint_deleted' }),
    ] as const;
    const expected = ['delivered', 'delivered', 'pending', 'dead_letter', 'held', 'pending', 'cancelled'];
    // A flight is somebody else's as a whole.
    const isForeign = (i: number): boolean => (i < 100 ? i % 11 === 0 : Math.floor(i / 5) % 7 === 0);
    const foreign = ids.filter((_, i) => isForeign(i));
    for (const table of ['open_deliveries', 'flights']) {
      const sql = `UPDATE posthorn.${table} SET lease = lease + 1 WHERE id = ANY($1)`;
      await store.connections.query({ sql, parameters: [foreign] });
    }
    const said = await Promise.all(ids.map((id, i) => store.settle(kinds[i % kinds.length]!(id))));
    expect(said).toEqual(ids.map((_, i) => !isForeign(i)));
    const statuses = await Promise.all(ids.map((id) => statusOf(store, id)));
    // Of a node that is none they are given back sooner or later.
    const isOpen = expect.stringMatching(/^(sending|pending)$/);
    expect(statuses).toEqual(ids.map((_, i) => (isForeign(i) ? isOpen : expected[i % kinds.length])));
    for (const [i, id] of ids.entries()) {
      const attempts = await store.deliveries.attempts('acme', id);
      expect(attempts).toHaveLength(!isForeign(i) && i % kinds.length < 4 ? 1 : 0);
    }
  });

  it('whose texts are odd keeps them, and refuses the one that cannot be kept without its neighbours', async ({
    store,
  }) => {
    const endpointId = newId(start);
    const ids = await Promise.all(Array.from({ length: 6 }, () => acceptOne(store, endpointId)));
    const withDetail = (id: string, detail: string) =>
      makeSettlement(id, { attempt: { ...makeSettlement(id).attempt!, detail } });
    const odd = JSON.stringify({
      responseBody: 'a\u0000b \ud800 \udfff "\\ \u2028 🐎',
      responseHeaders: { 'x-é': 'ÿ\u0080' },
    });
    const huge = JSON.stringify({ responseBody: '€'.repeat(3 * 1024 * 1024) });
    const said = await Promise.allSettled([
      store.settle(withDetail(ids[0]!, odd)),
      store.settle(withDetail(ids[1]!, huge)),
      store.settle(withDetail(ids[2]!, '{"responseBody":"raw \u0000 zero"}')),
      store.settle(makeFailure(ids[3]!, { lastError: 'lone \ud83d surrogate' })),
      store.settle(makeFailure(ids[4]!, { lastError: 'raw \u0000 zero' })),
      store.settle(withDetail(ids[5]!, '{"responseBody":"lone \udc00"}')),
    ]);
    expect(said.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    const detail = async (id: string) => (await store.deliveries.attempts('acme', id))[0]?.detail;
    expect(await detail(ids[0]!)).toBe(odd);
    expect((await detail(ids[1]!))?.length).toBe(huge.length);
    expect(await detail(ids[5]!)).toBe('{"responseBody":"lone \ufffd"}');
  });

  it('finds what it settles where the answer was lost and the batch holds others, too', async ({ store }) => {
    const endpointId = newId(start);
    const ids = await Promise.all(Array.from({ length: 20 }, () => acceptOne(store, endpointId)));
    await Promise.all(ids.slice(0, 10).map((id) => store.settle(makeSettlement(id))));
    // The engine says it again: what went in is ours, and nothing is written twice.
    const said = await Promise.all(ids.map((id) => store.settle(makeSettlement(id))));
    expect(said).toEqual(ids.map(() => true));
    for (const id of ids) expect(await store.deliveries.attempts('acme', id)).toHaveLength(1);
  });

  it('of deliveries that were claimed from elsewhere with texts beyond ASCII in their events leaves all of it whole', async ({
    store,
  }) => {
    const endpointId = newId(start);
    const entry = makeEntry([endpointId], 'pending', { data: '"é\u{1f40e}\ud800"', category: 'ß', group: '\udc00g' });
    await store.accept([entry]);
    const { deliveries } = await store.claim(makeClaim({ now: start + 1 }));
    expect(deliveries[0]?.event).toMatchObject({ data: '"é\u{1f40e}\ufffd"', category: 'ß', group: '\ufffdg' });
    expect(await store.settle(makeSettlement(deliveries[0]!.id))).toBe(true);
  });
});
