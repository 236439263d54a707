import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, vi } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { Flights } from '../../src/store/postgres/flights.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import type { Settlement } from '../../src/store/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';
import { storeTest } from '../postgres/store-test.ts';
import { makeEntry, makeFailure, makeSettlement, start } from '../store/make.ts';

const tenantId = 'acme';
const ignore = (): void => undefined;
const newIds = (count: number): Id[] => Array.from({ length: count }, () => newId(start));

/** Numbers from 0 to below `n`; the same ones for the same seed. */
function randomOf(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** What may become of a delivery, and the status that it has then. */
const outcomes: readonly [status: string, (id: Id) => Settlement][] = [
  ['delivered', (id) => makeSettlement(id)],
  ['delivered', (id) => makeSettlement(id, { lastError: 'was slow' })],
  ['pending', (id) => makeFailure(id)],
  ['dead_letter', (id) => makeFailure(id, { status: 'dead_letter', dueAt: null })],
];

/** What the database says of every delivery: once each, or this throws. */
async function everyDelivery(server: PostgresServer, database: string): Promise<Map<Id, string>> {
  const rows = await server.query<{ id: Id; status: string; attempts: number }>(
    `SELECT id, status || ' ' || (SELECT count(*) FROM posthorn.attempts a WHERE a.delivery_id = d.id) AS status
     FROM posthorn.deliveries d`,
    database,
  );
  const found = new Map(rows.map(({ id, status }) => [id, status]));
  expect(found.size).toBe(rows.length);
  return found;
}

describe.skipIf(!hasPostgres(18))('deliveries in flight', { timeout: 60_000 }, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

  const it = storeTest(() => server, { leaseMs: 1_200 });

  async function accept(store: PostgresStore, count: number): Promise<Id[]> {
    const entry = makeEntry(newIds(count));
    expect(await store.accept([entry])).toEqual([{ kind: 'accepted' }]);
    return entry.deliveries.map(({ id }) => id);
  }

  /** As the engine does. */
  async function untilHeard(store: PostgresStore, settlement: Settlement): Promise<boolean> {
    for (;;) {
      try {
        return await store.settle(settlement);
      } catch (error) {
        expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
        await wait(20);
      }
    }
  }

  async function loseLease(store: PostgresStore, database: TestDatabase): Promise<void> {
    const before = store.nodes.number;
    await server.query('UPDATE posthorn.nodes SET ended_at = now()', database.name);
    await expect.poll(() => store.nodes.number, { timeout: 15_000 }).toBeGreaterThan(before);
  }

  it('leave no empty row where an answer was lost and others of the flight were settled first', async ({
    store,
    database,
    proxy,
  }) => {
    const ids = await accept(store, 3);
    proxy.dropAnswers(1);
    const lost = store.settle(makeSettlement(ids[0]!)).catch(String);
    await proxy.whenDropped(1);
    proxy.pass();
    expect(await lost).toMatch(/STORE_UNAVAILABLE|does not answer/);
    for (const id of ids.slice(1)) expect(await store.settle(makeSettlement(id))).toBe(true);
    expect(await store.settle(makeSettlement(ids[0]!))).toBe(true);
    expect(await server.query('SELECT * FROM posthorn.flights', database.name)).toEqual([]);
  });

  it('whose lease is lost during the look at what is left of them are refused, not at fault', async ({
    store,
    database,
  }) => {
    const ids = await accept(store, 3);
    let whenLost = ignore;
    const lost = new Promise<void>((resolve) => (whenLost = resolve));
    store.listen({
      ...{ orphansFound: ignore, recordsChanged: ignore, placeChanged: ignore, endpointPaused: ignore },
      leasesLost: whenLost,
    });
    const query = store.connections.query.bind(store.connections);
    store.connections.query = async (statement) => {
      if (statement.name === 'flights_again') await lost;
      return query(statement as never) as never;
    };
    // Given back already, as by a node that took it for gone; this one hears so a moment later.
    await server.query('DELETE FROM posthorn.flights', database.name);
    const said = Promise.all(ids.map((id) => store.settle(makeSettlement(id)).catch(String)));
    await loseLease(store, database);
    expect(await said).toEqual([false, false, false]);
  });

  it('are in every list exactly once while they land', async ({ store }) => {
    const ids: Id[] = [];
    for (let i = 0; i < 40; i++) ids.push(...(await accept(store, 30)));
    const expected = ids.toSorted().toReversed();
    let isOver = false;
    const lists = Array.from({ length: 3 }, async (_, i) => {
      let rounds = 0;
      for (; !isOver; rounds++) {
        const listed: Id[] = [];
        for (let before: Id | null = null; ; before = listed.at(-1)!) {
          const page = await store.deliveries.list({ tenantId }, { limit: 70 + 200 * i, before });
          listed.push(...page.map(({ id }) => id));
          if (page.length === 0) break;
        }
        expect(listed).toEqual(expected);
        const counts = await store.deliveries.countByStatus({ tenantId });
        expect(Object.values(counts).reduce((sum, n) => sum + n, 0)).toBe(ids.length);
      }
      return rounds;
    });
    const random = randomOf(3);
    const order = [0, 1, 2, 3, 4, 5, 6].flatMap((rest) => ids.filter((_, i) => i % 7 === rest));
    while (order.length > 0) {
      const batch = order.splice(0, 40);
      const said = await Promise.all(batch.map((id) => store.settle(outcomes[random(outcomes.length)]![1](id))));
      expect(said).not.toContain(false);
    }
    isOver = true;
    for (const rounds of await Promise.all(lists)) expect(rounds).toBeGreaterThan(0);
  });

  it('are settled by who holds the lease alone, however often it is lost, and answers too', async ({
    store,
    database,
    proxy,
  }) => {
    const random = randomOf(11);
    const said = new Map<Id, { status: string; isOurs: boolean | null }>();
    const work: Promise<unknown>[] = [];
    const settle = async (id: Id): Promise<void> => {
      const [status, make] = outcomes[random(outcomes.length)]!;
      await wait(random(90));
      said.set(id, { status, isOurs: await untilHeard(store, make(id)) });
    };
    for (let round = 0; round < 40; round++) {
      const end = `UPDATE posthorn.nodes SET ended_at = now() WHERE number = ${store.nodes.number}`;
      if (round % 8 === 3) work.push(server.query(end, database.name));
      if (round % 10 === 2) proxy.dropAnswers(2 + random(3));
      if (round % 10 === 4) proxy.pass();
      const entries = Array.from({ length: 4 }, () => makeEntry(newIds(1 + random(40))));
      const accepted = entries.map(async (entry) => {
        const outcome = await store.accept([entry]).catch(() => null);
        return outcome ? entry.deliveries : [];
      });
      for (const { id } of (await Promise.all(accepted)).flat()) {
        if (random(10) === 0) said.set(id, { status: 'sending', isOurs: null });
        else work.push(settle(id));
      }
      await wait(random(40));
    }
    proxy.pass();
    await Promise.all(work);
    const orphans = `SELECT id FROM posthorn.deliveries WHERE status = 'sending'
      AND lease <> ALL (SELECT number FROM posthorn.nodes WHERE ended_at IS NULL)`;
    await expect.poll(() => server.query(orphans, database.name), { timeout: 15_000 }).toEqual([]);
    const found = await everyDelivery(server, database.name);
    for (const [id, { status, isOurs }] of said) {
      const expected = isOurs === null ? /^(sending|pending) 0$/ : isOurs ? `${status} 1` : 'pending 0';
      expect(found.get(id), id).toMatch(expected);
    }
    expect(new Set([...said.values()].map(({ isOurs }) => isOurs))).toEqual(new Set([true, false, null]));
  });

  it('are forgotten once they have landed, once their lease is lost, and once the store is closed', async ({
    store,
    database,
  }) => {
    using begin = vi.spyOn(Flights.prototype, 'begin');
    const known = (): number => {
      const flights = begin.mock.contexts[0] as Flights;
      const begun = begin.mock.calls.flatMap(([those]) => those.flatMap(({ deliveryIds }) => deliveryIds));
      return begun.filter((id) => flights.of(tenantId, id)).length;
    };
    const ids = (await Promise.all(Array.from({ length: 50 }, () => accept(store, 100)))).flat();
    expect(known()).toBe(5_000);
    await Promise.all(ids.map((id) => store.settle(makeSettlement(id))));
    expect(known()).toBe(0);
    await accept(store, 50);
    await loseLease(store, database);
    expect(known()).toBe(0);
    await accept(store, 50);
    await store.close();
    await store.open({ migrate: false, now: Date.now() });
    expect(known()).toBe(0);
  });

  it('are given back when the node goes, more of them than go in one statement', async ({ store, database }) => {
    const entries = Array.from({ length: 1_100 }, () => makeEntry(newIds(1)));
    await store.accept(entries);
    await store.close();
    expect(await server.query('SELECT FROM posthorn.flights', database.name)).toEqual([]);
    const ids = entries.map(({ deliveries }) => deliveries[0]!.id);
    expect(await everyDelivery(server, database.name)).toEqual(new Map(ids.map((id) => [id, 'pending 0'])));
  });
});
