import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PosthornError } from '../../src/errors.ts';
import { ClusterTests, type Node } from '../delivery/cluster-rig.ts';
import { hasPostgres } from '../postgres/server.ts';
import { becomes, counts, publish } from './engine-rig.ts';
import { counting, event, limited, quiet, today } from './quota-rig.ts';

const tests = new ClusterTests();

describe.skipIf(!hasPostgres(18))('a quota over several nodes', { timeout: 30_000 }, () => {
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  it.each([0, 1, 7])('of %i lets exactly so many through a burst on three nodes', async (limit) => {
    const nodes = await limited(await tests.rig(), 3, limit);
    await Promise.all(Array.from({ length: 60 }, (_, i) => publish(nodes[i % 3]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: limit, held: 60 - limit });
    for (const node of nodes) await expect.poll(() => today(node)).toMatchObject({ used: 60, limit, held: true });
  });

  it('of thousands is kept to the event while three nodes take in all they can', async () => {
    const nodes = await limited(await tests.rig(), 3, 2_500);
    const batch = Array.from({ length: 100 }, () => event());
    await Promise.all(
      nodes.map(async ({ engine }) => {
        for (let i = 0; i < 15; i++) await engine.publishBatch('default', batch);
      }),
    );
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 2_500, held: 2_000 });
    for (const node of nodes) await expect.poll(() => today(node)).toMatchObject({ used: 4_500 });
  });

  it('lets no more than an eighth beyond it for each node where all of it comes in the same moment', async () => {
    const nodes = await limited(await tests.rig(), 3, 2_500);
    const batch = Array.from({ length: 100 }, () => event());
    await Promise.all(
      nodes.flatMap(({ engine }) => Array.from({ length: 15 }, () => engine.publishBatch('default', batch))),
    );
    expect(await quiet(nodes[0]!)).toBe(true);
    const { delivered, held } = await counts(nodes[0]!.engine);
    expect(delivered + held).toBe(4_500);
    expect(delivered).toBeGreaterThanOrEqual(2_500);
    expect(delivered).toBeLessThanOrEqual(2_500 + 2 * (2_500 / 8));
    for (const node of nodes) await expect.poll(() => today(node)).toMatchObject({ used: 4_500 });
  });

  it('lets batches over the boundary go in part, and all nodes together to the event', async () => {
    const nodes = await limited(await tests.rig(), 3, 101);
    await Promise.all(
      Array.from({ length: 18 }, (_, i) =>
        nodes[i % 3]!.engine.publishBatch(
          'default',
          Array.from({ length: 7 + (i % 3) }, () => event()),
        ),
      ),
    );
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 101, held: 18 * 8 - 101 });
  });

  it('gives places back that repeats of the same events took', async () => {
    const nodes = await limited(await tests.rig(), 2, 10);
    const repeated = Array.from({ length: 5 }, (_, i) => event({ idempotencyKey: `k${i}` }));
    await nodes[0]!.engine.publishBatch('default', repeated);
    for (let round = 0; round < 6; round++) {
      const said = await nodes[round % 2]!.engine.publishBatch('default', repeated);
      expect(said.every(({ duplicate }) => duplicate)).toBe(true);
    }
    expect(await becomes(async () => (await today(nodes[1]!)).used === 5, 1_000)).toBe(true);
    await Promise.all(Array.from({ length: 9 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 10, held: 4 });
  });

  it('gives places back that events took which the store refused, and counts none twice', async () => {
    let isAway = false;
    const away = () => Promise.reject(new PosthornError('STORE_UNAVAILABLE'));
    const nodes = await limited(await tests.rig(), 2, 10, {}, (store) => ({
      ...store,
      accept: (entries) => (isAway ? away() : store.accept(entries)),
    }));
    isAway = true;
    const refused = await Promise.allSettled(Array.from({ length: 30 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(refused.every(({ status }) => status === 'rejected')).toBe(true);
    isAway = false;
    await becomes(async () => (await today(nodes[0]!)).used === 0, 1_000);
    expect(await today(nodes[0]!)).toMatchObject({ used: 0, held: false });
    await today(nodes[1]!);
    await Promise.all(Array.from({ length: 15 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 10, held: 5 });
  });

  it('lets go on one node what it held for places that another one gives back', async () => {
    const gate = Promise.withResolvers<never>();
    gate.promise.catch(() => undefined);
    let isSlow = true;
    const rig = await tests.rig();
    const [a, b] = (await limited(rig, 2, 10, {}, (store) => ({
      ...store,
      accept: (entries) => (isSlow && entries[0]!.event.type === 'slow' ? gate.promise : store.accept(entries)),
    }))) as [Node, Node];
    const slow = Array.from({ length: 10 }, () => publish(a.engine, 'slow').catch((error: unknown) => error));
    expect(await becomes(async () => (await today(b)).used === 10, 2_000)).toBe(true);
    await publish(b.engine, 'a');
    expect(await counts(b.engine)).toMatchObject({ held: 1 });
    isSlow = false;
    gate.reject(new PosthornError('STORE_UNAVAILABLE'));
    await Promise.all(slow);
    await rig.receiver.waitForCount(1);
    expect(await today(b)).toMatchObject({ used: 1, held: false });
  });

  it('whose count is carried out and its answer lost lets no more go, and fewer by those alone that were refused', async () => {
    let isLost = false;
    const nodes = await limited(await tests.rig(), 2, 20, {}, (store) =>
      counting(store, async (real, uses) => {
        const totals = await real(uses);
        if (isLost) throw new PosthornError('STORE_UNAVAILABLE');
        return totals;
      }),
    );
    for (let i = 0; i < 6; i++) await publish(nodes[i % 2]!.engine, 'a');
    isLost = true;
    const refused = await Promise.allSettled(Array.from({ length: 4 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    for (const one of refused) expect(one).toMatchObject({ reason: { code: 'STORE_UNAVAILABLE' } });
    isLost = false;
    await Promise.all(Array.from({ length: 30 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    const { delivered, held } = await counts(nodes[0]!.engine);
    expect(delivered + held).toBe(36);
    expect(delivered).toBe(16);
  });

  it('refuses what cannot be counted, loses no place by that, and lets nobody wait for ever', async () => {
    let isAway = false;
    const nodes = await limited(await tests.rig(), 2, 20, {}, (store) =>
      counting(store, (real, uses) => (isAway ? Promise.reject(new PosthornError('STORE_UNAVAILABLE')) : real(uses))),
    );
    for (let i = 0; i < 6; i++) await publish(nodes[i % 2]!.engine, 'a');
    isAway = true;
    const refused = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    for (const one of refused) expect(one).toMatchObject({ reason: { code: 'STORE_UNAVAILABLE' } });
    isAway = false;
    await Promise.all(Array.from({ length: 30 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 20, held: 16 });
  });
});
