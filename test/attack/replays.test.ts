import { afterEach, describe, expect, it } from 'vitest';
import { becomes, cleanUp, counts, isQuiet, publish, rig, type Rig } from './engine-rig.ts';

afterEach(cleanUp);

async function endpoints(r: Rig, count: number, path = '/hook', events = ['a']): Promise<void> {
  const { engine, receiver } = r;
  await Promise.all(
    Array.from({ length: count }, () => engine.endpoints.create('default', { url: receiver.url(path), events })),
  );
}

describe('a replay', () => {
  it('asked for twice at once reaches those who had none of it once', async () => {
    const r = await rig();
    const { id } = await publish(r.engine, 'a');
    await endpoints(r, 20);
    await Promise.all([r.engine.events.replay('default', id), r.engine.events.replay('default', id)]);
    expect(await becomes(async () => (await counts(r.engine)).delivered === 20, 5_000)).toBe(true);
    expect(await becomes(() => isQuiet(r.engine), 5_000)).toBe(true);
    const attempts = await r.engine.deliveries.listAttempts({ tenantId: 'default' }, { limit: 100, offset: 0 });
    expect(r.receiver.requests).toHaveLength(attempts.length);
    expect(attempts).toHaveLength(20);
  });

  it('behind another one does not send again what it sent itself', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const r = await rig({}, (store) => ({
      ...store,
      async redeliver(request) {
        await gate; // a bulk redelivery that takes its time
        return store.redeliver(request);
      },
    }));
    await endpoints(r, 1, '/other', ['other']);
    await publish(r.engine, 'other');
    expect(await becomes(async () => (await counts(r.engine)).delivered === 1, 5_000)).toBe(true);
    await r.engine.deliveries.redeliverAll(
      { tenantId: 'default', status: ['delivered'] },
      { dryRun: false, ratePerSecond: null },
    );
    await endpoints(r, 1, '/first');
    const { id } = await publish(r.engine, 'a');
    await endpoints(r, 10);
    expect(await becomes(async () => (await counts(r.engine)).delivered === 2, 5_000)).toBe(true);
    expect(await r.engine.events.replay('default', id)).toEqual({ deliveries: 11 });
    await r.receiver.waitForCount(10, '/hook');
    expect(await becomes(async () => (await counts(r.engine)).delivered === 12, 5_000)).toBe(true);
    release();
    await r.receiver.waitForCount(2, '/other');
    await r.receiver.waitForCount(2, '/first');
    expect(await becomes(async () => (await counts(r.engine)).delivered === 12, 5_000)).toBe(true);
    // Another one has its turn behind that of the replay.
    await r.engine.deliveries.redeliverAll(
      { tenantId: 'default', status: ['delivered'], eventType: 'other' },
      { dryRun: false, ratePerSecond: null },
    );
    await r.receiver.waitForCount(3, '/other');
    expect(await becomes(() => isQuiet(r.engine), 5_000)).toBe(true);
    for (const [path, times] of [
      ['/hook', 10],
      ['/first', 2],
    ] as const)
      expect(r.receiver.requests.filter((request) => request.path === path)).toHaveLength(times);
  });

  it('in the middle of the fan-out sends nothing twice', { timeout: 60_000 }, async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const r = await rig({}, (store) => ({
      ...store,
      async extendFanOut(slice) {
        await gate;
        return store.extendFanOut(slice);
      },
    }));
    await endpoints(r, 1_200);
    const { id } = await publish(r.engine, 'a');
    await r.receiver.waitForCount(1_000);
    expect(await becomes(async () => (await counts(r.engine)).delivered === 1_000, 10_000)).toBe(true);
    const { endpoint } = await r.engine.endpoints.create('default', { url: r.receiver.url('/late'), events: ['a'] });
    const replay = (endpointId?: string) =>
      r.engine.events.replay('default', id, endpointId === undefined ? {} : { endpointId });
    try {
      await expect(replay(endpoint.id)).rejects.toMatchObject({ code: 'INVALID_STATE' });
      await expect(replay()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    } finally {
      release();
    }
    await r.receiver.waitForCount(1_200, '/hook');
    expect(await becomes(() => isQuiet(r.engine), 10_000)).toBe(true);
    expect(await replay(endpoint.id)).toEqual({ deliveries: 1 });
    await r.receiver.waitForCount(1, '/late');
    expect(await becomes(() => isQuiet(r.engine), 10_000)).toBe(true);
    expect(r.receiver.requests).toHaveLength(1_201);
  });
});
