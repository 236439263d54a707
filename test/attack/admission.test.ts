import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { defaultRetry } from '../../src/model/retry.ts';
import { ClusterTests } from '../delivery/cluster-rig.ts';
import { hasPostgres } from '../postgres/server.ts';
import { becomes, cleanUp, counts, hang, isQuiet, publish, seeded } from './engine-rig.ts';
import { Spills, answerAfter, countingRig, times } from './spills.ts';

afterEach(cleanUp);

const SEED = Number(process.env.POSTHORN_TEST_SEED ?? 20_261_121);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function msOf(work: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work;
  return performance.now() - startedAt;
}

describe('publishes that wait for a line', () => {
  it('go in as they came, also those that wait longer than one look', async () => {
    const { engine, receiver, spills } = await countingRig({ capacity: 20 });
    receiver.answer('/hook', answerAfter(40));
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 2 });
    for (let i = 0; i < 12; i++) await publish(engine, 'a'); // its places are taken
    const answered: number[] = [];
    const under: Promise<void>[] = [];
    const come = (i: number): void => void under.push(publish(engine, 'a').then(() => void answered.push(i)));
    for (let i = 0; i < 6; i++) come(i);
    for (let i = 6; i < 40; i++) {
      await receiver.waitForCount(i - 2);
      come(i);
    }
    await Promise.all(under);
    expect(spills.total).toBe(0); // a turn comes after 6 answers: 120 ms
    expect(answered).toEqual(answered.toSorted((a, b) => a - b));
  });

  it('are not sent to the store because another endpoint has a retry due', { timeout: 20_000 }, async () => {
    const retry = { ...defaultRetry, scheduleMs: Array.from({ length: 100 }, () => 50) };
    const defaults = { wireFormat: 'standard', retry, timeoutMs: 30_000, concurrency: 64 };
    const { engine, receiver, spills } = await countingRig({ capacity: 200, defaults });
    const quick = await engine.endpoints.create('default', { url: receiver.url('/quick'), events: ['a'] });
    await engine.endpoints.create('default', { url: receiver.url('/flaky'), events: ['b'] });
    receiver.answer('/flaky', 500);
    for (let i = 0; i < 5; i++) await publish(engine, 'b');
    await times(200, async () => {
      for (let i = 0; i < 20; i++) await publish(engine, 'a');
    });
    expect(receiver.requests.filter(({ path }) => path === '/flaky').length).toBeGreaterThan(5);
    expect(spills.count(quick.endpoint.id)).toBeLessThan(400); // a tenth of them
    await receiver.waitForCount(4_000, '/quick');
  });

  it('do not wait for places that others hold: a quiet tenant with many endpoints beside hung ones', async () => {
    const { engine, receiver } = await countingRig({ capacity: 400 });
    hang(receiver, '/hung');
    for (let i = 0; i < 15; i++) {
      await engine.endpoints.create('loud', { url: receiver.url('/hung'), events: ['a'], concurrency: 1 });
    }
    for (let i = 0; i < 32; i++)
      await engine.endpoints.create('quiet', { url: receiver.url(`/quiet/${i}`), events: ['a'] });
    for (let i = 0; i < 60; i++) await publish(engine, 'a', 'loud'); // fewer than 32 places are left
    await pause(300); // nobody waits for those
    const took: number[] = [];
    for (let i = 0; i < 10; i++) {
      took.push(await msOf(publish(engine, 'a', 'quiet')));
      await pause(50);
    }
    expect(took.toSorted((a, b) => a - b)[5]).toBeLessThan(100);
    await becomes(async () => (await counts(engine, 'quiet')).delivered === 320, 5_000);
    expect((await counts(engine, 'quiet')).delivered).toBe(320);
  });

  it('leave nothing behind in the store where little room is left, though nothing follows them', async () => {
    const { engine, receiver, spills } = await countingRig({ capacity: 400 });
    hang(receiver, '/hung');
    for (let i = 0; i < 15; i++) {
      await engine.endpoints.create('loud', { url: receiver.url('/hung'), events: ['a'], concurrency: 1 });
    }
    // Each type has endpoints of its own, with lines that never moved: nobody waits for them.
    for (let i = 0; i < 8 * 32; i++) {
      await engine.endpoints.create('quiet', { url: receiver.url(`/quiet/${i}`), events: [`t${i >> 5}`] });
    }
    for (let i = 0; i < 60; i++) await publish(engine, 'a', 'loud');
    for (let round = 0; round < 4; round++) {
      await pause(300); // else the last ones of a round would bring back those of the one before
      const before = spills.total;
      for (let type = round * 2; type < round * 2 + 2; type++) {
        await publish(engine, `t${type}`, 'quiet');
        await pause(50);
      }
      expect(spills.total).toBeGreaterThan(before);
      const all = async (): Promise<boolean> => (await counts(engine, 'quiet')).delivered === (round + 1) * 64;
      expect(await becomes(all, 1_500)).toBe(true);
    }
  });

  it('wait no longer for a receiver that hangs because the clock was set back', async () => {
    let aheadMs = 0;
    const { engine, receiver, spills } = await countingRig({ capacity: 50, now: () => Date.now() + aheadMs });
    const release = hang(receiver, '/hook');
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 4 });
    for (let i = 0; i < 10; i++) await publish(engine, 'a');
    aheadMs = -3_600_000;
    const startedAt = performance.now();
    for (let i = 0; i < 26; i++) await publish(engine, 'a');
    expect(spills.total).toBeGreaterThan(4);
    expect(performance.now() - startedAt).toBeLessThan(1_500); // a half second for each that found no room: 3.5 s and more
    aheadMs = 0;
    release.all();
    await receiver.waitForCount(36);
  });

  it('are answered when the engine ends: what was accepted arrives, and what was refused does not', async () => {
    const r = await countingRig({ capacity: 50 });
    r.receiver.answer('/hook', answerAfter(20));
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['a'], concurrency: 4 });
    const under = Promise.allSettled(Array.from({ length: 200 }, () => publish(r.engine, 'a')));
    await r.receiver.waitForCount(20);
    expect(await msOf(r.restart())).toBeLessThan(3_000);
    const outcomes = await under;
    const accepted = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value.id : []));
    expect(accepted.length).toBeLessThan(200);
    await r.receiver.waitForCount(accepted.length);
    expect(await becomes(() => isQuiet(r.engine), 5_000)).toBe(true);
    const arrived = r.receiver.requests.map(({ headers }) => String(headers['webhook-id']));
    expect(new Set(arrived)).toEqual(new Set(accepted));
  });

  for (const end of ['disabled', 'deleted'] as const) {
    it(`are answered at once when the endpoint is ${end}`, async () => {
      const { engine, receiver } = await countingRig({ capacity: 20 });
      receiver.answer('/hook', answerAfter(80));
      const { endpoint } = await engine.endpoints.create('default', {
        url: receiver.url(),
        events: ['a'],
        concurrency: 2,
      });
      for (let i = 0; i < 12; i++) await publish(engine, 'a');
      const under = times(30, () => publish(engine, 'a'));
      await receiver.waitForCount(2);
      if (end === 'deleted') await engine.endpoints.remove('default', endpoint.id);
      else await engine.endpoints.disable('default', endpoint.id);
      expect(await msOf(under)).toBeLessThan(400);
      expect(await becomes(() => isQuiet(engine), 3_000)).toBe(true);
      const { delivered, held, cancelled } = await counts(engine);
      if (end === 'disabled') expect(delivered + held).toBe(42);
      else expect(delivered + held + cancelled).toBeLessThan(42);
      expect(receiver.requests.length).toBeLessThan(20);
    });
  }

  it('with the same id are one event, whichever goes in first', async () => {
    const { engine, receiver } = await countingRig({ capacity: 20 });
    receiver.answer('/hook', answerAfter(20));
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 2 });
    for (let i = 0; i < 12; i++) await publish(engine, 'a');
    const published = await times(40, (i) =>
      engine.publish('default', { type: 'a', data: '{}', value: {}, id: `e${i % 20}` }),
    );
    expect(published.filter(({ duplicate }) => duplicate)).toHaveLength(20);
    await receiver.waitForCount(32);
    expect(await becomes(() => isQuiet(engine), 3_000)).toBe(true);
    expect(receiver.requests).toHaveLength(32);
  });

  it(`arrive, each of them once, beside troubled receivers (seed ${SEED})`, { timeout: 40_000 }, async () => {
    const random = seeded(SEED);
    const { engine, receiver, spills } = await countingRig({ capacity: 120 });
    // Answers late, never badly: what comes twice would be our doing.
    const paths = ['/quick', '/slow', '/stalls', '/one'];
    receiver.answer('/slow', answerAfter(30));
    receiver.answer('/stalls', (_, response) => void setTimeout(() => response.end(), random() < 0.02 ? 700 : 0));
    receiver.answer('/one', answerAfter(2));
    for (const path of paths) {
      const concurrency = path === '/one' ? 1 : 4;
      await engine.endpoints.create('default', {
        url: receiver.url(path),
        events: ['all', path.slice(1)],
        concurrency,
      });
    }
    const expected = new Map(paths.map((path) => [path, new Set<string>()]));
    const note = (type: string, id: string): void => {
      for (const path of paths) if (type === 'all' || path === `/${type}`) expected.get(path)!.add(id);
    };
    await times(40, async () => {
      for (let i = 0; i < 12; i++) {
        const type = random() < 0.4 ? 'all' : paths[Math.floor(random() * paths.length)]!.slice(1);
        if (random() < 0.2) {
          const events = Array.from({ length: 1 + Math.floor(random() * 8) }, () => ({ type, data: '{}', value: {} }));
          for (const { id } of await engine.publishBatch('default', events)) note(type, id);
        } else note(type, (await publish(engine, type)).id);
        if (random() < 0.1) await pause(random() * 300);
      }
    });
    expect(spills.total).toBeGreaterThan(0);
    expect(await becomes(() => isQuiet(engine), 20_000)).toBe(true);
    for (const [path, ids] of expected) {
      const arrived = receiver.requests.flatMap((request) =>
        request.path === path ? String(request.headers['webhook-id']) : [],
      );
      expect(arrived.toSorted(), path).toEqual([...ids].sort());
    }
  });
});

// Skipped where npm has no PostgreSQL for the platform.
describe.skipIf(!hasPostgres(18))('several nodes', () => {
  const tests = new ClusterTests();
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  it('a node that sends nothing lets nobody wait', { timeout: 20_000 }, async () => {
    const { add, receiver } = await tests.rig();
    receiver.answer('/hook', answerAfter(20));
    const sender = await add({ capacity: 50 });
    const front = await add({ capacity: 50, delivers: false });
    await front.engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 8 });
    await sender.engine.catchUp();
    await publish(front.engine, 'a');
    expect(await msOf(times(200, () => publish(front.engine, 'a')))).toBeLessThan(450);
    await receiver.waitForCount(201);
  });

  it('what one node has too much of goes through memory all the same', { timeout: 20_000 }, async () => {
    const spills = new Spills();
    const { add, receiver } = await tests.rig();
    const { engine } = await add({ capacity: 200 }, (store) => spills.over(store));
    receiver.answer('/hook', answerAfter(5));
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 16 });
    const end = Date.now() + 4_000; // more than one look for what others left
    let published = 0;
    await times(150, async () => {
      for (; Date.now() < end; published++) await publish(engine, 'a');
    });
    expect(spills.total).toBeLessThan(published / 10);
    await receiver.waitForCount(published);
  });
});
