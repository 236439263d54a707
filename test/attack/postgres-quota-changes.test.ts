import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ClusterTests } from '../delivery/cluster-rig.ts';
import { clock } from '../delivery/clock.ts';
import { hasPostgres } from '../postgres/server.ts';
import { becomes, counts, publish } from './engine-rig.ts';
import { allow, event, limited, quiet, today } from './quota-rig.ts';

const tests = new ClusterTests();

describe.skipIf(!hasPostgres(18))('a quota over several nodes', { timeout: 30_000 }, () => {
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  it('that is lowered below what was used and raised again follows at once, on all nodes', async () => {
    const nodes = await limited(await tests.rig(), 2, 20);
    for (let i = 0; i < 10; i++) await publish(nodes[i % 2]!.engine, 'a');
    await allow(nodes[1]!, 4);
    for (const { engine } of nodes) await engine.catchUp();
    await Promise.all(Array.from({ length: 6 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 10, held: 6 });
    await allow(nodes[0]!, 17);
    expect(await becomes(async () => (await counts(nodes[0]!.engine)).delivered === 16, 3_000)).toBe(true);
    for (const { engine } of nodes) await engine.catchUp();
    await Promise.all(Array.from({ length: 5 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 17, held: 4 });
  });

  it('counts what came while there was none, and forgets nothing when a tenant changes plans to and fro', async () => {
    const nodes = await limited(await tests.rig(), 2, 10);
    for (let i = 0; i < 4; i++) await publish(nodes[i % 2]!.engine, 'a');
    await nodes[0]!.engine.tenants.update('default', { plan: null });
    for (const { engine } of nodes) await engine.catchUp();
    for (let i = 0; i < 4; i++) await publish(nodes[i % 2]!.engine, 'a');
    await nodes[1]!.engine.plans.put({ name: 'other', eventsPerDay: 11 });
    await nodes[1]!.engine.tenants.update('default', { plan: 'other' });
    for (const { engine } of nodes) await engine.catchUp();
    await Promise.all(Array.from({ length: 8 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 11, held: 5 });
    expect(await today(nodes[0]!)).toMatchObject({ used: 16 });
  });

  it('that begins while events come in on another node counts those before it', async () => {
    const { receiver, add } = await tests.rig();
    const nodes = [await add(), await add()];
    await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    await nodes[1]!.engine.catchUp();
    await nodes[0]!.engine.publishBatch(
      'default',
      Array.from({ length: 200 }, () => event()),
    );
    let isOn = true;
    let published = 0;
    const traffic = (async () => {
      for (; isOn; published++) {
        await publish(nodes[1]!.engine, 'a');
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    await allow(nodes[0]!, 400);
    for (const { engine } of nodes) await engine.catchUp();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    isOn = false;
    await traffic;
    await nodes[0]!.engine.publishBatch(
      'default',
      Array.from({ length: 400 }, () => event()),
    );
    expect(await quiet(nodes[0]!)).toBe(true);
    const { delivered, held } = await counts(nodes[0]!.engine);
    expect(delivered + held).toBe(600 + published);
    expect(Math.abs(delivered - 400)).toBeLessThanOrEqual(5);
  });

  it('is not got round by a node that ends in order with counts that it had not told', async () => {
    const nodes = await limited(await tests.rig(), 2, 12_000);
    await nodes[0]!.engine.publishBatch(
      'default',
      Array.from({ length: 1_000 }, () => event()),
    );
    await nodes[0]!.stop();
    expect(await today(nodes[1]!)).toMatchObject({ used: 1_000 });
  });

  it('keeps no node from stopping, and nobody waiting who asks while it stops', async () => {
    const nodes = await limited(await tests.rig(), 2, 10);
    const asked = Array.from({ length: 10 }, () => publish(nodes[0]!.engine, 'a').catch(() => null));
    const bulk = nodes[0]!.engine.deliveries.redeliverAll(
      { tenantId: 'default', status: ['delivered'] },
      { dryRun: false, ratePerSecond: null },
    );
    const late = nodes[0]!.engine.stop(1_000);
    asked.push(publish(nodes[0]!.engine, 'a').catch(() => null));
    await Promise.all([...asked, bulk.catch(() => null), late]);
    expect((await today(nodes[1]!)).used).toBeLessThanOrEqual(11);
  });

  it('lets go at midnight what it held, once and on one node, and counts what comes then to the new day', async () => {
    const time = clock();
    const rig = await tests.rig();
    const nodes = await limited(rig, 3, 10, { now: time.now });
    await Promise.all(Array.from({ length: 40 }, (_, i) => publish(nodes[i % 3]!.engine, 'old')));
    expect(await counts(nodes[0]!.engine)).toMatchObject({ held: 30 });
    const first = Array.from({ length: 9 }, (_, i) => publish(nodes[i % 3]!.engine, 'late')); // counted to the old day
    time.nextDay();
    const second = Array.from({ length: 24 }, (_, i) => publish(nodes[i % 3]!.engine, 'new'));
    await Promise.all([...first, ...second]);
    const all = async () => (await counts(nodes[0]!.engine)).delivered === 40 + 9 + 10;
    await becomes(all, 5_000);
    expect(await quiet(nodes[0]!)).toBe(true);
    expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 59, held: 14 });
    expect(rig.receiver.requests).toHaveLength(59);
    expect(new Set(rig.receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(59);
    for (const node of nodes) await expect.poll(() => today(node)).toMatchObject({ used: 24 });
  });
});
