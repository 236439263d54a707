import { afterAll, beforeAll, describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { FLIGHT_SIZE } from '../../src/store/postgres/flights.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import type { AcceptEntry } from '../../src/store/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';
import { storeTest } from '../postgres/store-test.ts';
import { makeClaim, makeEntry, makeFailure, makeSettlement, start } from './make.ts';

const keyRing = createKeyRing(['a master key for tests only']);
const tenantId = 'acme';

interface FlightRow {
  ids: Id[];
  in_flight: number;
}

describe.skipIf(!hasPostgres(18))('deliveries that the node which accepted them sends', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

  const it = storeTest(() => server, { statementTimeoutMs: 2_000 });

  async function accept(store: PostgresStore, count: number, rest: Partial<AcceptEntry> = {}): Promise<Id[]> {
    const entry = makeEntry(
      Array.from({ length: count }, () => newId(start)),
      'sending',
      {},
      rest,
    );
    expect(await store.accept([entry])).toEqual([{ kind: 'accepted' }]);
    return entry.deliveries.map(({ id }) => id);
  }

  const flights = (database: TestDatabase): Promise<FlightRow[]> =>
    server.query<FlightRow & Record<string, unknown>>(
      'SELECT delivery_ids AS ids, in_flight FROM posthorn.flights ORDER BY event_id, id',
      database.name,
    );

  async function openRows(database: TestDatabase): Promise<{ id: Id; status: string }[]> {
    return server.query('SELECT id, status FROM posthorn.open_deliveries ORDER BY id', database.name);
  }

  async function statuses(store: PostgresStore): Promise<Record<string, number>> {
    const counts = await store.deliveries.countByStatus({ tenantId });
    return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
  }

  const settleAll = (store: PostgresStore, ids: readonly Id[]): Promise<boolean[]> =>
    Promise.all(ids.map((id) => store.settle(makeSettlement(id))));

  it('share rows of an event, and have a row each once they have ended', async ({ store, database }) => {
    const ids = await accept(store, FLIGHT_SIZE + 6);
    const rows = await flights(database);
    expect(rows.map((row) => row.ids)).toEqual([ids.slice(0, FLIGHT_SIZE), ids.slice(FLIGHT_SIZE)]);
    expect(await openRows(database)).toEqual([]);
    expect(await statuses(store)).toEqual({ sending: ids.length });
    expect(await store.deliveries.get(tenantId, ids[3]!)).toMatchObject({
      ...{ status: 'sending', attemptCount: 0, dueAt: null, lastError: null, endedAt: null, reason: null },
    });

    const some = [ids[0]!, ids[FLIGHT_SIZE - 1]!, ids[FLIGHT_SIZE]!];
    expect(await settleAll(store, some)).toEqual([true, true, true]);
    expect(await statuses(store)).toEqual({ sending: ids.length - 3, delivered: 3 });
    expect((await flights(database)).map((row) => row.in_flight)).toEqual([
      (1 << FLIGHT_SIZE) - 1 - 1 - (1 << (FLIGHT_SIZE - 1)),
      (1 << 6) - 1 - 1,
    ]);

    expect(
      await settleAll(
        store,
        ids.filter((id) => !some.includes(id)),
      ),
    ).not.toContain(false);
    expect(await flights(database)).toEqual([]);
    expect(await statuses(store)).toEqual({ delivered: ids.length });
    const listed = await store.deliveries.list({ tenantId }, { limit: 50, before: null, withLastAttempt: true });
    expect(listed.map(({ id }) => id)).toEqual(ids.toReversed());
    for (const { attemptCount, lastAttempt, endedAt } of listed) {
      expect([attemptCount, lastAttempt?.number, lastAttempt?.statusCode, endedAt]).toEqual([1, 1, 200, start + 1_000]);
    }
    expect(await settleAll(store, ids.slice(0, 2))).toEqual([true, true]); // the very same attempts: said twice
    expect(await store.settle(makeSettlement(ids[4]!, { attempt: null, attemptCount: 0 }))).toBe(false);
  });

  it('are found in lists by status, endpoint and event, in their order among the others', async ({ store }) => {
    const endpointId = newId(start);
    const entries: AcceptEntry[] = [];
    for (const status of ['sending', 'pending', 'sending', 'held', 'sending', 'sending'] as const) {
      const entry = makeEntry([endpointId, newId(start)], status);
      await store.accept([entry]);
      entries.push(entry);
    }
    const ids = entries.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
    await settleAll(store, [ids[0]!, ids[9]!]);
    const list = async (filter: object, page: object = {}): Promise<Id[]> => {
      const rows = await store.deliveries.list({ tenantId, ...filter }, { limit: 50, before: null, ...page });
      return rows.map(({ id }) => id);
    };
    expect(await list({})).toEqual(ids.toReversed());
    expect(await list({}, { limit: 3, before: ids[9]! })).toEqual([ids[8], ids[7], ids[6]]);
    expect(await list({ endpointId })).toEqual([ids[10], ids[8], ids[6], ids[4], ids[2], ids[0]]);
    expect(await list({ eventId: entries[2]!.event.id })).toEqual([ids[5], ids[4]]);
    expect(await list({ status: ['sending'] })).toEqual([ids[11], ids[10], ids[8], ids[5], ids[4], ids[1]]);
    expect(await list({ status: ['sending', 'pending'], endpointId })).toEqual([ids[10], ids[8], ids[4], ids[2]]);
    expect(await store.deliveries.tenantOf(ids[11]!)).toBe(null); // no such tenant is stored
    expect(await store.deliveries.count({ tenantId, endpointId }, 100)).toBe(6);
  });

  it('leave their flight one by one where each ends in its own way', async ({ store, database }) => {
    const ids = await accept(store, 7);
    const said = await Promise.all([
      store.settle(makeFailure(ids[0]!)),
      store.settle(makeFailure(ids[1]!, { status: 'dead_letter', dueAt: null })),
      store.settle(makeSettlement(ids[2]!)),
      store.settle(makeSettlement(ids[3]!, { attempt: null, attemptCount: 0, status: 'pending', dueAt: start + 5 })),
      store.settle(makeSettlement(ids[4]!, { tenantId: 'others' })),
      store.settle(makeSettlement(ids[5]!, { attemptCount: 3 })),
    ]);
    expect(said).toEqual([true, true, true, true, false, false]);
    expect(await statuses(store)).toEqual({ pending: 2, dead_letter: 1, delivered: 1, sending: 3 });
    expect(await openRows(database)).toMatchObject([{ id: ids[0] }, { id: ids[3] }]);
    expect(await settleAll(store, ids.slice(4))).toEqual([true, true, true]);
    expect(await flights(database)).toEqual([]);
    const { deliveries } = await store.claim(makeClaim({ now: start + 3_600_000 }));
    expect(deliveries.map(({ id, attemptCount }) => [id, attemptCount])).toEqual([
      [ids[3], 0],
      [ids[0], 1],
    ]);
  });

  it.for(['settlement', 'failure'] as const)(
    'are settled once where the answer to a %s is lost',
    { timeout: 20_000 },
    async (what, { store, database, proxy }) => {
      const ids = await accept(store, 5);
      const tell = (id: Id): Promise<boolean | string> =>
        store.settle(what === 'failure' ? makeFailure(id) : makeSettlement(id)).catch(String);
      expect(await tell(ids[4]!)).toBe(true);
      proxy.dropAnswers(2);
      const lost = Promise.all([tell(ids[0]!), tell(ids[1]!)]);
      await proxy.whenDropped(1);
      setTimeout(() => {
        proxy.pass();
      }, 50);
      await lost;
      // The worker says it again until the store has heard it; the others of the flight come with it.
      await expect
        .poll(() => Promise.all(ids.slice(0, 4).map(tell)), { timeout: 10_000 })
        .toEqual([true, true, true, true]);
      expect(await flights(database)).toEqual([]);
      expect(await statuses(store)).toEqual({ [what === 'failure' ? 'pending' : 'delivered']: 5 });
      for (const id of ids) expect(await store.deliveries.attempts(tenantId, id)).toHaveLength(1);
    },
  );

  it('are settled where the server has forgotten, or knows more than the node', async ({ store, database }) => {
    const [gone, back] = [await accept(store, 4), await accept(store, 4)];
    // As after a failover to a server that had not heard of the last settlement…
    await settleAll(store, [back[0]!]);
    await server.query(
      `UPDATE posthorn.flights SET in_flight = 15 WHERE '${back[0]!}' = ANY (delivery_ids)`,
      database.name,
    );
    expect(await settleAll(store, back.slice(1))).toEqual([true, true, true]);
    expect(await flights(database)).toMatchObject([{ in_flight: 15 }, { in_flight: 1 }]);
    // … and where another process took one.
    await server.query(`UPDATE posthorn.flights SET in_flight = 14 WHERE id = '${gone[0]!}'`, database.name);
    expect(await settleAll(store, gone)).toEqual([false, true, true, true]);
  });

  it('are anybody’s when the node goes, and not its own any more', async ({ store, database }) => {
    const ids = await accept(store, 6);
    const other = createPostgresStore({ url: database.url, keyRing });
    await other.open({ migrate: false, now: Date.now() });
    try {
      expect(await settleAll(other, [ids[0]!])).toEqual([false]);
      expect(await settleAll(store, [ids[0]!])).toEqual([true]);
      await store.close();
      expect(await flights(database)).toEqual([]);
      const { deliveries } = await other.claim(makeClaim({ now: other.now() }));
      expect(deliveries.map(({ id }) => id).sort()).toEqual(ids.slice(1));
      expect(await settleAll(other, ids.slice(1))).not.toContain(false);
    } finally {
      await other.close();
    }
  });

  it('keep their event, its payload and what has ended of it from being swept', async ({ store }) => {
    const [done, open] = [await accept(store, 2), await accept(store, 2)];
    await settleAll(store, [...done, open[0]!]);
    const sweep = { before: Date.now() + 60_000, limit: 100, beforeOf: new Map<string, number | null>() };
    expect(await store.prunePayloads(sweep)).toBe(1);
    expect(await store.prune(sweep)).toBe(1);
    expect(await statuses(store)).toEqual({ sending: 1, delivered: 1 });
    await settleAll(store, [open[1]!]);
    expect(await store.prune(sweep)).toBe(1);
    expect(await statuses(store)).toEqual({});
  });
});
