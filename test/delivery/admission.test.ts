import { afterEach, describe, expect, it } from 'vitest';
import { becomes, cleanUp, hang, isQuiet, publish } from '../attack/engine-rig.ts';
import type { Rig } from '../attack/engine-rig.ts';
import { answerAfter, countingRig, times } from '../attack/spills.ts';

afterEach(cleanUp);

/** So many publishers, each with so many events one after the other. */
async function publishers(engine: Rig['engine'], count: number, events: number): Promise<void> {
  await times(count, async () => {
    for (let i = 0; i < events; i++) await publish(engine, 'a');
  });
}

describe('more at once than there is room for', () => {
  it('waits at the door while the receiver keeps up, instead of going through the store', async () => {
    const { engine, receiver, spills } = await countingRig({ capacity: 50 });
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'] });
    await publishers(engine, 40, 50);
    await receiver.waitForCount(2_000);
    expect(spills.total).toBeLessThan(40); // a machine that stands still for half a second lets some through
    expect(receiver.requests).toHaveLength(2_000);
  });

  it('waits for each of several endpoints', async () => {
    const { engine, receiver, spills } = await countingRig({ capacity: 100 });
    for (let i = 0; i < 10; i++)
      await engine.endpoints.create('default', { url: receiver.url(`/${i}`), events: ['a'] });
    await publishers(engine, 30, 10);
    await receiver.waitForCount(3_000);
    expect(spills.total).toBeLessThan(150); // an event takes a place in each line, and some have fewer left
  });

  it('waits no longer than the line moves: a receiver that hangs costs its publisher a moment, once', async () => {
    const { engine, receiver, spills } = await countingRig({ capacity: 50 });
    const release = hang(receiver, '/hook');
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 4 });
    const startedAt = Date.now();
    for (let i = 0; i < 200; i++) await publish(engine, 'a');
    expect(Date.now() - startedAt).toBeLessThan(2_500); // each waiting its half second: 87 s
    expect(spills.total).toBeGreaterThan(150);
    release.all();
    await receiver.waitForCount(200);
  });

  it('nobody waits for a receiver that answers slower than they publish', async () => {
    const { engine, receiver, spills } = await countingRig({ capacity: 50 });
    receiver.answer('/hook', answerAfter(300));
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 2 });
    for (let i = 0; i < 60; i++) await publish(engine, 'a'); // its line is full, and seconds old soon
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const startedAt = Date.now();
    await times(20, () => publish(engine, 'a'));
    expect(Date.now() - startedAt).toBeLessThan(400);
    expect(spills.total).toBeGreaterThan(20);
  });

  it('a neighbour with room of its own does not wait', async () => {
    const { engine, receiver } = await countingRig({ capacity: 200 });
    hang(receiver, '/hung');
    await engine.endpoints.create('default', { url: receiver.url('/hung'), events: ['hung'], concurrency: 1 });
    await engine.endpoints.create('default', { url: receiver.url('/quick'), events: ['quick'] });
    await times(300, () => publish(engine, 'hung'));
    for (let i = 0; i < 100; i++) {
      const startedAt = Date.now();
      await publish(engine, 'quick');
      expect(Date.now() - startedAt).toBeLessThan(300);
    }
    await receiver.waitForCount(100, '/quick');
  });

  it('a short overflow is waited for until it is sent, and then all goes through memory again', async () => {
    let isStalled = false;
    const { engine, receiver, spills } = await countingRig({ capacity: 50 });
    receiver.answer('/hook', (_, response) => void setTimeout(() => response.end(), isStalled ? 900 : 0));
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 8 });
    await times(20, () => publish(engine, 'a'));
    isStalled = true; // for longer than anybody waits
    await times(100, () => publish(engine, 'a'));
    isStalled = false;
    const before = spills.total;
    expect(before).toBeGreaterThan(0);
    await receiver.waitForCount(120);
    await becomes(() => isQuiet(engine), 5_000);
    await publishers(engine, 100, 10);
    await receiver.waitForCount(1_120);
    expect(spills.total).toBe(before);
  });
});
