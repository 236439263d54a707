import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/model/id.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { startProxy } from '../postgres/proxy.ts';
import type { FaultProxy } from '../postgres/proxy.ts';
import { startPostgres } from '../postgres/server.ts';
import type { PostgresServer } from '../postgres/server.ts';
import { makeEntry, makeSettlement, start } from '../store/make.ts';
import { tenantId } from '../store/scene.ts';

describe('a commit that was carried out and whose answer was lost', () => {
  let server: PostgresServer;
  let proxy: FaultProxy;
  let store: PostgresStore;

  beforeAll(async () => {
    server = await startPostgres();
    proxy = await startProxy(server.port);
    store = createPostgresStore({ url: proxy.url(), keyRing: createKeyRing(['a master key for tests only']) });
    await store.open({ migrate: true, now: Date.now() });
  });
  afterAll(async () => {
    await store?.close();
    await proxy?.close();
    await server?.stop();
  });

  /** Withholds the answers of all commits under way until one is lost for sure. */
  async function loseAnswer<Result>(call: () => Promise<Result>): Promise<Result> {
    const lost = proxy.whenDropped(proxy.dropped + 1);
    proxy.dropAnswers(1);
    const answer = call();
    answer.catch(() => undefined);
    await lost;
    proxy.pass();
    return answer;
  }

  it.each([
    ['without keys', []],
    ['with keys', [{ key: 'k', fingerprint: 'f' }]],
  ])('is an accepted event all the same, %s, whose deliveries are held by this node', async (_, dedupe) => {
    const entry = makeEntry([newId(start)], 'sending', {}, { dedupe });
    expect(await loseAnswer(() => store.accept([entry]))).toEqual([{ kind: 'accepted' }]);
    const [delivery] = entry.deliveries;
    expect(await store.deliveries.get(tenantId, delivery!.id)).toMatchObject({ status: 'sending' });
    expect(await store.settle(makeSettlement(delivery!.id))).toBe(true);
    expect(await store.deliveries.count({ tenantId, eventId: entry.event.id }, 10)).toBe(1);
  });

  it('is a settlement that counts when it is sent again', async () => {
    const entry = makeEntry([newId(start)], 'sending');
    await store.accept([entry]);
    const settlement = makeSettlement(entry.deliveries[0]!.id);
    await loseAnswer(() => store.settle(settlement).catch(() => undefined));
    expect(await store.settle(settlement)).toBe(true);
    expect(await store.deliveries.attempts(tenantId, entry.deliveries[0]!.id)).toHaveLength(1);
  });
});
