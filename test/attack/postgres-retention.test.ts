import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ensurePartitions } from '../../src/store/postgres/partitions.ts';
import { ClusterTests, type Node } from '../delivery/cluster-rig.ts';
import { hasPostgres } from '../postgres/server.ts';
import { becomes, counts, isQuiet } from './engine-rig.ts';

const tests = new ClusterTests();
const DAY_MS = 86_400_000;
const dead = { tenantId: 'default', status: ['dead_letter'] } as const;

// Alone in its file: its ids are dated days ago, and a process makes none that is older than its last one.
describe.skipIf(!hasPostgres(18))('retention beside other work on two nodes', { timeout: 40_000 }, () => {
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  it('has clear outcomes where retention goes over what is being redelivered', async () => {
    const { receiver, add } = await tests.rig();
    let ahead = -5 * DAY_MS;
    const now = () => Date.now() + ahead;
    const options = { now, retentionDays: 3, payloadRetentionDays: 2 };
    const nodes = [await add(options), await add(options)];
    const [a, b] = nodes as [Node, Node];
    await ensurePartitions(a.store.connections, now() - DAY_MS, now() + DAY_MS);
    receiver.answer('/hook', 400);
    await a.engine.endpoints.create('default', { url: receiver.url(), events: ['*'], retryScheduleMs: [] });
    await b.engine.catchUp();
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        nodes[i % 2]!.engine.publishBatch(
          'default',
          Array.from({ length: 100 }, () => ({ type: 'a', data: '{}', value: {} })),
        ),
      ),
    );
    expect(await becomes(async () => (await counts(a.engine)).dead_letter === 1_000, 15_000)).toBe(true);
    receiver.answer('/hook', 200);
    const rows = await a.engine.deliveries.list(dead, { limit: 20, before: null });
    ahead = 0;
    const one = async (node: Node, id: string) => {
      try {
        await node.engine.deliveries.redeliver('default', id);
        return 'done';
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    };
    const [, , , , said] = await Promise.all([
      a.engine.sweep(),
      b.engine.sweep(),
      a.engine.deliveries.redeliverAll(dead, { dryRun: false, ratePerSecond: null }),
      b.engine.deliveries.redeliverAll(dead, { dryRun: false, ratePerSecond: null }),
      Promise.all(rows.map(({ id }, i) => one(nodes[i % 2]!, id))),
    ]);
    expect(said.filter((code) => !['done', 'NOT_FOUND', 'INVALID_STATE'].includes(code))).toEqual([]);
    expect(await becomes(() => isQuiet(a.engine), 15_000)).toBe(true);
    const left = await counts(a.engine);
    expect(left).toMatchObject({ pending: 0, sending: 0 });
    expect(receiver.requests.length - 1_000).toBeGreaterThanOrEqual(left.delivered);
    await a.engine.sweep();
    expect(await counts(a.engine)).toMatchObject({ delivered: 0, dead_letter: 0, pending: 0, sending: 0 });
  });
});
