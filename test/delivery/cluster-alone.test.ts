import { afterEach, describe, expect, it } from 'vitest';
import type { EngineOptions } from '../../src/delivery/create-engine.ts';
import { partOf } from '../../src/delivery/lines.ts';
import { PosthornError } from '../../src/errors.ts';
import { newDeliveryId, newId } from '../../src/model/id.ts';
import type { Cluster, Store, StoreListener } from '../../src/store/store.ts';
import { becomes, cleanUp, counts, hang, isQuiet, publish, rig, type Rig } from '../attack/engine-rig.ts';
import { makeEndpoint } from '../store/make.ts';

afterEach(cleanUp);

/** A cluster as one of its nodes sees it, whose other nodes are played by the test. */
interface Stage {
  isLive: boolean;
  place: { index: number; count: number };
  catchUps: number;
  paused: number[];
  totals: Map<string, number>;
  listener: StoreListener;
}

async function stage(options: Partial<EngineOptions> = {}, start: Partial<Stage> = {}): Promise<Rig & { it: Stage }> {
  const it: Stage = {
    ...{ isLive: true, place: { index: 0, count: 1 }, catchUps: 0, paused: [], totals: new Map<string, number>() },
    listener: null as never,
    ...start,
  };
  const cluster: Cluster = {
    catchUp: async () => void it.catchUps++,
    isLeaseLive: () => it.isLive,
    place: () => it.place,
    pause: async (_tenantId, _endpointId, until) => void it.paused.push(until),
    pauses: async () => [],
    raise: async ({ name, window, to }) => {
      const key = `${name} ${window}`;
      it.totals.set(key, Math.max(to, it.totals.get(key) ?? 0));
    },
    count: async (uses) =>
      uses.map(({ name, window, add }) => {
        const key = `${name} ${window}`;
        it.totals.set(key, (it.totals.get(key) ?? 0) + add);
        return it.totals.get(key)!;
      }),
  };
  const change = (real: Store): Store => ({
    ...real,
    cluster,
    listen(listener) {
      it.listener = listener;
      real.listen(listener);
    },
  });
  return Object.assign(await rig(options, change), { it });
}

const hook = (r: Rig, more: object = {}) =>
  r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'], ...more });

describe('parts of what an endpoint allows', () => {
  it('are the whole together, and nobody’s grows when another node comes', () => {
    for (let cap = 1; cap <= 70; cap++) {
      for (let count = 1; count <= 9; count++) {
        const parts = Array.from({ length: count }, (_, index) => partOf(cap, { index, count }));
        expect(parts.reduce((sum, part) => sum + part)).toBe(cap);
        parts.forEach((part, index) => expect(partOf(cap, { index, count: count + 1 })).toBeLessThanOrEqual(part));
      }
    }
    expect(partOf(64, { index: 0, count: 0 })).toBe(0);
  });
});

describe('a node whose lease may have run out', () => {
  it('sends nothing and leases nothing, and goes on when it holds again', async () => {
    const r = await stage();
    await hook(r);
    const release = hang(r.receiver, '/hook');
    await hook(r, { events: ['one'], concurrency: 1 });
    await publish(r.engine, 'one');
    await publish(r.engine, 'one');
    await r.receiver.waitForCount(3);
    r.it.isLive = false;
    release.all();
    await publish(r.engine, 'two');
    expect(await becomes(async () => (await counts(r.engine)).delivered === 3, 2_000)).toBe(true);
    expect(await counts(r.engine)).toMatchObject({ sending: 1, pending: 1 });
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(r.receiver.requests).toHaveLength(3);
    r.it.isLive = true;
    await r.receiver.waitForCount(5);
    expect(await becomes(() => isQuiet(r.engine), 2_000)).toBe(true);
    expect(r.receiver.requests).toHaveLength(5);
  });

  it('settles nothing that was sent before the loss, also where it has it again', async () => {
    const r = await stage();
    const gate = hang(r.receiver, '/hook', 500);
    await hook(r, { retryScheduleMs: [] });
    await publish(r.engine, 'a');
    await r.receiver.waitForCount(1);
    // The store gives everything back and begins anew, and the same delivery is leased once more.
    await r.store.close();
    await r.store.open({ migrate: true, now: Date.now() });
    r.it.listener.leasesLost();
    await r.receiver.waitForCount(2);
    gate.one(); // the first one fails: that is nobody's word any more
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await counts(r.engine)).toMatchObject({ sending: 1, dead_letter: 0 });
    gate.all();
    expect(await becomes(async () => (await counts(r.engine)).dead_letter === 1, 2_000)).toBe(true);
    const [row] = await r.engine.deliveries.list({ tenantId: 'default' }, { limit: 1, before: null });
    expect((await r.engine.deliveries.get('default', row!.id)).attempts).toHaveLength(1);
  });
});

describe('a node that has no part in an endpoint', () => {
  it('leaves to others what it takes in, and gives back what it had when its part went away', async () => {
    const r = await stage();
    const release = hang(r.receiver, '/hook');
    await hook(r, { concurrency: 1 });
    for (let i = 0; i < 4; i++) await publish(r.engine, 'a');
    await r.receiver.waitForCount(1);
    expect(await counts(r.engine)).toMatchObject({ sending: 4 });
    r.it.place = { index: 1, count: 2 };
    let isInPlace = false;
    void Promise.resolve(r.it.listener.placeChanged()).then(() => (isInPlace = true));
    expect(await becomes(async () => (await counts(r.engine)).pending === 3, 2_000)).toBe(true);
    await publish(r.engine, 'a');
    expect(await counts(r.engine)).toMatchObject({ sending: 1, pending: 4 });
    expect(isInPlace).toBe(false);
    release.all();
    expect(await becomes(() => isInPlace, 2_000)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(r.receiver.requests).toHaveLength(1);
    r.it.place = { index: 0, count: 1 };
    await r.it.listener.placeChanged();
    await r.receiver.waitForCount(5);
  });
});

describe('a delivery whose endpoint is unknown here', () => {
  it('is sent where the store knows the endpoint, and cancelled where it is deleted', async () => {
    const r = await stage();
    const [made, gone] = [makeEndpoint({ tenantId: 'default', url: r.receiver.url() }), newId(Date.now())];
    await r.store.endpoints.create(made);
    const now = Date.now();
    for (const endpointId of [made.id, gone]) {
      const event = {
        ...{ id: newId(now), tenantId: 'default', ownId: null, type: 'a', data: '{}', occurredAt: now },
        ...{ category: null, group: null, source: null, createdAt: now },
      };
      const delivery = { id: newDeliveryId(now), endpointId, status: 'pending' as const };
      await r.store.accept([{ event, dedupe: [], deliveries: [delivery], fanOutAfter: null }]);
    }
    r.it.listener.orphansFound();
    expect(await becomes(async () => (await counts(r.engine)).cancelled === 1, 3_000)).toBe(true);
    expect(await becomes(() => isQuiet(r.engine), 3_000)).toBe(true);
    expect(r.engine.endpoints.get('default', made.id).url).toBe(r.receiver.url());
    expect(await counts(r.engine)).toMatchObject({ delivered: 1, cancelled: 1 });
  });
});

describe('what another node may just have made', () => {
  it('is looked for once, however many ask at once', async () => {
    const r = await stage();
    const before = r.it.catchUps;
    const asked = Array.from({ length: 200 }, () =>
      r.engine.endpoints.update('default', 'wh_01JXYZ0000ABCDEFGHJKMNPQRS', {}).catch((error: unknown) => error),
    );
    for (const error of await Promise.all(asked)) expect(error).toMatchObject({ code: 'NOT_FOUND' });
    expect(r.it.catchUps - before).toBeLessThanOrEqual(2);
  });

  it('is followed in order, again after a fault of the store, and not held up by a mistake', async () => {
    const told: string[] = [];
    const faults = [new Error('a mistake of ours'), new PosthornError('STORE_UNAVAILABLE')];
    const r = await stage({
      onRecordsChanged: async (changes) => {
        const fault = faults.shift();
        if (fault) throw fault;
        told.push(changes === 'everything' ? changes : changes.map(({ key }) => key).join());
      },
    });
    const change = (key: string) => ({ kind: 'api_key' as const, tenantId: '', key });
    r.it.listener.recordsChanged([change('lost')]);
    r.it.listener.recordsChanged([change('a'), change('b'), change('a')]);
    r.it.listener.recordsChanged('everything');
    await r.engine.catchUp();
    expect(told).toEqual(['a,b', 'everything']);
  });
});

describe('pauses', () => {
  it('are told once for a burst, and only where they last', async () => {
    const r = await stage();
    let retryAfter = '30';
    r.receiver.answer('/hook', (_, response) => response.writeHead(429, { 'retry-after': retryAfter }).end());
    const { endpoint } = await hook(r);
    await Promise.all(Array.from({ length: 20 }, () => publish(r.engine, 'a')));
    await r.receiver.waitForCount(20);
    expect(await becomes(() => r.it.paused.length === 1, 1_000)).toBe(true);
    retryAfter = '0';
    await r.engine.endpoints.update('default', endpoint.id, { url: r.receiver.url('/hook?new') });
    expect(r.it.paused.slice(1)).toEqual([0]);
  });
});
