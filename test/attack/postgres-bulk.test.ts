import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ClusterTests, type Node } from '../delivery/cluster-rig.ts';
import { hasPostgres } from '../postgres/server.ts';
import { becomes, counts, isQuiet } from './engine-rig.ts';

const tests = new ClusterTests();

/** Publishes so many events in batches, to each node in turn; resolves to their ids. */
async function flood(nodes: readonly Node[], count: number, data = '{}'): Promise<string[]> {
  const ids: string[] = [];
  const size = Math.max(1, Math.min(100, Math.floor(4_000_000 / data.length)));
  await Promise.all(
    Array.from({ length: Math.ceil(count / size) }, async (_, i) => {
      const batch = Array.from({ length: Math.min(size, count - i * size) }, () => ({ type: 'a', data, value: {} }));
      const said = await nodes[i % nodes.length]!.engine.publishBatch('default', batch);
      ids.push(...said.map(({ id }) => id));
    }),
  );
  return ids;
}

const dead = { tenantId: 'default', status: ['dead_letter'] } as const;

describe.skipIf(!hasPostgres(18))('bulk work over two nodes', { timeout: 40_000 }, () => {
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  it('redelivers thousands from both at once, beside claims and new events, each once', async () => {
    const { receiver, add } = await tests.rig();
    const nodes = [await add(), await add()];
    const [a, b] = nodes as [Node, Node];
    receiver.answer('/hook', 400);
    const { endpoint } = await a.engine.endpoints.create('default', {
      ...{ url: receiver.url(), events: ['*'], retryScheduleMs: [] },
    });
    await b.engine.catchUp();
    const old = await flood(nodes, 2_000);
    expect(await becomes(async () => (await counts(a.engine)).dead_letter === 2_000, 15_000)).toBe(true);
    const before = receiver.requests.length;
    expect(before).toBe(2_000);
    receiver.answer('/hook', 200);
    const [, , , fresh] = await Promise.all([
      a.engine.deliveries.redeliverAll(dead, { dryRun: false, ratePerSecond: null }),
      b.engine.deliveries.redeliverAll(dead, { dryRun: false, ratePerSecond: null }),
      b.engine.endpoints.replay('default', endpoint.id),
      flood(nodes, 500),
    ]);
    expect(await becomes(async () => (await counts(a.engine)).delivered === 2_500, 15_000)).toBe(true);
    expect(await isQuiet(a.engine)).toBe(true);
    const sent = receiver.requests.slice(before).map(({ headers }) => String(headers['webhook-id']));
    expect(new Set(sent)).toEqual(new Set([...old, ...fresh]));
    expect(sent).toHaveLength(2_500);
  });

  it('follows an endpoint that is disabled and enabled by both, again and again, and loses and doubles nothing', async () => {
    const { receiver, add } = await tests.rig();
    const nodes = [await add({ capacity: 200 }), await add({ capacity: 200 })];
    const [a, b] = nodes as [Node, Node];
    const { endpoint } = await a.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    await b.engine.catchUp();
    const flooding = flood(nodes, 2_000);
    for (let i = 0; i < 6; i++) {
      await nodes[i % 2]!.engine.endpoints.disable('default', endpoint.id);
      await new Promise((resolve) => setTimeout(resolve, 30));
      await nodes[(i + 1) % 2]!.engine.endpoints.enable('default', endpoint.id);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    const ids = await flooding;
    expect(await becomes(async () => (await counts(a.engine)).delivered === 2_000, 20_000)).toBe(true);
    const sent = receiver.requests.map(({ headers }) => String(headers['webhook-id']));
    expect(new Set(sent)).toEqual(new Set(ids));
    expect(sent).toHaveLength(2_000);
  });

  it('sends an event to an endpoint that was made on the other node a second ago', async () => {
    const { receiver, add } = await tests.rig();
    const nodes = [await add(), await add()];
    const made = Array.from({ length: 10 }, async (_, i) => {
      const type = `t${i}`;
      await nodes[i % 2]!.engine.endpoints.create('default', { url: receiver.url(`/${type}`), events: [type] });
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      return nodes[(i + 1) % 2]!.engine.publish('default', { type, data: '{}', value: {} });
    });
    for (const { deliveries } of await Promise.all(made)) expect(deliveries).toBe(1);
  });
});
