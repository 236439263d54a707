import { afterAll, beforeAll, describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import type { FaultProxy } from '../postgres/proxy.ts';
import { startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';
import { storeTest } from '../postgres/store-test.ts';
import { makeClaim, makeEntry } from '../store/make.ts';

/** Long enough that no test sees its end: what is stuck is stuck. */
const leaseMs = 60_000;
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.stop());

const it = storeTest(() => server, { leaseMs, statementTimeoutMs: 2_000 });

/** What is leased in the database, by status. */
async function statuses(database: TestDatabase): Promise<Record<string, number>> {
  const rows = await server.query<{ status: string; n: number }>(
    'SELECT status, count(*)::int AS n FROM posthorn.deliveries GROUP BY status',
    database.name,
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}

/** Resolves when exactly these were claimed, each once. */
async function whenClaimed(store: PostgresStore, ids: ReadonlySet<Id>): Promise<void> {
  const got: Id[] = [];
  const claim = async (): Promise<Id[]> => {
    const { deliveries } = await store.claim(makeClaim({ now: store.now() })).catch(() => ({ deliveries: [] }));
    got.push(...deliveries.map(({ id }) => id));
    return [...got].sort();
  };
  await expect.poll(claim, { timeout: 10_000 }).toEqual([...ids].sort());
}

/** Does it once more, when the connections are there again. */
async function again<Result>(work: () => Promise<Result>, outcome: Result): Promise<void> {
  await expect.poll(() => work().catch(String), { timeout: 5_000 }).toEqual(outcome);
}

/** Runs `work` while the answers to its commits are lost, and the connections with them. */
async function unheard<Result>(proxy: FaultProxy, work: () => Promise<Result>): Promise<Result | Error> {
  proxy.dropAnswers(1);
  const outcome = work().catch((error: unknown) => error as Error);
  await proxy.whenDropped(proxy.dropped + 1);
  setTimeout(() => {
    proxy.pass();
  }, 20);
  return outcome;
}

describe('a commit whose answer is lost', () => {
  it(
    'of a claim, leaves nothing on the wire that nobody sends',
    { timeout: 30_000 },
    async ({ database, proxy, store }) => {
      const endpointId = newId(Date.now());
      const entries = Array.from({ length: 10 }, () => makeEntry([endpointId], 'pending'));
      await store.accept(entries);
      const first = await store.claim(makeClaim({ now: store.now(), limit: 1 })); // the connection is there now
      const lost = await unheard(proxy, () => store.claim(makeClaim({ now: store.now() })));
      expect(lost).toMatchObject({ code: 'STORE_UNAVAILABLE' });
      const rest = new Set(entries.map(({ deliveries }) => deliveries[0]!.id));
      rest.delete(first.deliveries[0]!.id);
      await whenClaimed(store, rest);
      expect(await statuses(database)).toEqual({ sending: 10 });
    },
  );

  it('of a fan-out, leaves what it stored to be claimed', { timeout: 30_000 }, async ({ database, proxy, store }) => {
    const ids = Array.from({ length: 5 }, () => newId(Date.now()));
    const entry = makeEntry([ids[0]!], 'sending', {}, { fanOutAfter: ids[0]! });
    await store.accept([entry]);
    const { deliveries } = makeEntry(ids.slice(1));
    const whose = { tenantId: 'acme', eventId: entry.event.id, from: ids[0]!, after: null, now: store.now() };
    const lost = await unheard(proxy, () => store.extendFanOut({ ...whose, deliveries }));
    expect(lost).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await again(() => store.extendFanOut({ ...whose, deliveries: makeEntry(ids.slice(1)).deliveries }), false);
    await whenClaimed(store, new Set(deliveries.map(({ id }) => id)));
    expect(await statuses(database)).toEqual({ sending: 5 });
  });

  it('of a replay, leaves what it added to be claimed', { timeout: 30_000 }, async ({ database, proxy, store }) => {
    const ids = Array.from({ length: 5 }, () => newId(Date.now()));
    const entry = makeEntry([ids[0]!]);
    await store.accept([entry]);
    const { deliveries } = makeEntry(ids.slice(1));
    const add = (): Promise<Id[]> => store.addDeliveries('acme', entry.event.id, deliveries, store.now());
    const lost = await unheard(proxy, add);
    expect(lost).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await again(add, []);
    await whenClaimed(store, new Set(deliveries.map(({ id }) => id)));
    expect(await statuses(database)).toEqual({ sending: 5 });
  });

  it(
    'of an event that was given up, releases its delivery once',
    { timeout: 60_000 },
    async ({ database, proxy, store }) => {
      const endpointId = newId(Date.now());
      await store.accept([makeEntry([newId(Date.now())])]); // the connection is there
      const entry = makeEntry([endpointId]);
      proxy.dropAnswers(1);
      const refused = store.accept([entry]).catch((error: unknown) => error as Error);
      await proxy.whenDropped(1);
      expect(await refused).toMatchObject({ code: 'STORE_UNAVAILABLE' });
      proxy.pass();
      await whenClaimed(store, new Set([entry.deliveries[0]!.id]));
      // It is on the wire now, and its receiver takes its time.
      const until = performance.now() + 4_000;
      while (performance.now() < until) {
        const { deliveries } = await store.claim(makeClaim({ now: store.now() }));
        expect(deliveries).toEqual([]);
      }
      expect(await statuses(database)).toEqual({ sending: 2 });
    },
  );

  it('of a look behind a claim, leaves nobody without what was claimed', async ({ database, store }) => {
    const entries = Array.from({ length: 10 }, () => makeEntry([newId(Date.now())], 'pending'));
    await store.accept(entries);
    const query = store.connections.query.bind(store.connections);
    store.connections.query = (statement) =>
      statement.name === 'claim_next' ? Promise.reject(new Error('connection lost')) : query(statement);
    await whenClaimed(store, new Set(entries.map(({ deliveries }) => deliveries[0]!.id)));
    expect(await statuses(database)).toEqual({ sending: 10 });
  });

  it(
    'of an event without keys and with several endpoints, is accepted once',
    { timeout: 30_000 },
    async ({ database, proxy, store }) => {
      await store.accept([makeEntry([newId(Date.now())])]);
      const entry = makeEntry([newId(Date.now()), newId(Date.now())]);
      const outcome = await unheard(proxy, () => store.accept([entry]));
      expect(outcome).toEqual([{ kind: 'accepted' }]);
      expect(await statuses(database)).toEqual({ sending: 3 });
    },
  );
});
