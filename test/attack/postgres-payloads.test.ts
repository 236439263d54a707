import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ClusterTests, type Node } from '../delivery/cluster-rig.ts';
import { hasPostgres } from '../postgres/server.ts';
import { becomes, counts, isQuiet } from './engine-rig.ts';

const tests = new ClusterTests();
const MIB = 1024 * 1024;

describe.skipIf(!hasPostgres(18))('large payloads on two nodes', { timeout: 60_000 }, () => {
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  it('of a megabyte, to ten endpoints each, in batches and alone, arrive all of them, in bounded memory', async () => {
    const { receiver, add } = await tests.rig();
    const [a, b] = [await add(), await add()] as [Node, Node];
    const seen = new Map<string, number>();
    receiver.answer('/big', (request, response) => {
      const key = String(request.headers['webhook-id']);
      seen.set(key, (seen.get(key) ?? 0) + 1);
      receiver.requests.length = 0; // else the bodies stay here
      response.writeHead(200).end();
    });
    for (let i = 0; i < 10; i++)
      await a.engine.endpoints.create('default', { url: receiver.url('/big'), events: ['*'] });
    await b.engine.catchUp();
    // One that takes a byte a character, and one that takes three.
    const events = ['x'.repeat(MIB), '€'.repeat(MIB / 4)].map((text) => ({
      ...{ type: 'a', data: JSON.stringify({ text }), value: {} },
    }));
    const before = process.memoryUsage().rss;
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
    try {
      const batch = (length: number) => Array.from({ length }, (_, i) => events[i % 2]!);
      const published = await Promise.all([
        a.engine.publishBatch('default', batch(24)),
        b.engine.publishBatch('default', batch(8)),
        ...batch(8).map(async (event) => [await b.engine.publish('default', event)]),
      ]);
      const ids = published.flat().map(({ id }) => id);
      expect(await becomes(async () => (await counts(a.engine)).delivered === 400, 40_000)).toBe(true);
      expect(await isQuiet(a.engine)).toBe(true);
      expect([...seen.keys()].sort()).toEqual(ids.sort());
      expect([...seen.values()].every((copies) => copies === 10)).toBe(true);
    } finally {
      clearInterval(watch);
    }
    expect(most - before).toBeLessThan(600 * MIB);
  });
});
