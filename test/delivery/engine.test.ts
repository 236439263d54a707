import { afterEach, describe, expect, it } from 'vitest';
import { PosthornError } from '../../src/errors.ts';
import { cleanUp, hang, publish, rig } from '../attack/engine-rig.ts';

afterEach(cleanUp);

describe('when memory is full', () => {
  it(
    'an ack waits until there is room, and after five seconds the answer is OVERLOADED',
    { timeout: 20_000 },
    async () => {
      const { engine, receiver } = await rig({ capacity: 4 });
      const release = hang(receiver, '/hook');
      // Enough lines to use the last place: each may take what is still free.
      for (let i = 0; i < 6; i++)
        await engine.endpoints.create('default', { url: receiver.url(), events: [`e${i}`], concurrency: 1 });
      for (let i = 0; i < 6; i++) await publish(engine, `e${i}`); // on the wire
      await receiver.waitForCount(6);
      for (let i = 0; i < 4; i++) await publish(engine, `e${i}`); // in line
      const startedAt = Date.now();
      const refused = await publish(engine, 'e0').catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(PosthornError);
      expect((refused as PosthornError).code).toBe('OVERLOADED');
      expect((refused as PosthornError).retryAfterSeconds).toBeGreaterThan(0);
      expect(Date.now() - startedAt).toBeGreaterThanOrEqual(4_900);
      const waits = publish(engine, 'e0');
      release.all();
      expect((await waits).deliveries).toBe(1);
      await receiver.waitForCount(11);
    },
  );

  it('a line that holds its share leaves the rest to the store, and everything arrives in the end', async () => {
    const { engine, receiver } = await rig({ capacity: 10 });
    const release = hang(receiver, '/hook');
    await engine.endpoints.create('default', { url: receiver.url(), events: ['a'], concurrency: 2 });
    for (let i = 0; i < 300; i++) await publish(engine, 'a');
    const waiting = await engine.deliveries.list(
      { tenantId: 'default', status: ['pending'] },
      { limit: 500, before: null },
    );
    expect(waiting.length).toBeGreaterThan(280);
    release.all();
    await receiver.waitForCount(300);
    expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(300);
    expect(receiver.requests).toHaveLength(300);
  });
});

describe('fairness', () => {
  it(
    'a tenant with two hundred endpoints that never answer, and a backlog, does not delay another one',
    { timeout: 60_000 },
    async () => {
      const { engine, receiver } = await rig({ slots: 64, capacity: 1000 });
      hang(receiver, '/dead');
      await engine.tenants.create({ id: 'loud' });
      await Promise.all(
        Array.from({ length: 200 }, () =>
          engine.endpoints.create('loud', { url: receiver.url('/dead'), events: ['*'] }),
        ),
      );
      await engine.endpoints.create('default', { url: receiver.url('/quiet'), events: ['*'] });
      for (let i = 0; i < 50; i++) await publish(engine, 'noise', 'loud');
      const startedAt = Date.now();
      for (let i = 0; i < 100; i++) {
        await publish(engine, 'music');
        await receiver.waitForCount(i + 1, '/quiet');
      }
      // 200 endpoints time out after 30 s: had one of these waited for a slot or a place, it would show.
      expect(Date.now() - startedAt).toBeLessThan(15_000);
    },
  );

  it('a dead endpoint of the same tenant does not delay its neighbour', async () => {
    const { engine, receiver } = await rig({ slots: 64, capacity: 100 });
    hang(receiver, '/dead');
    await engine.endpoints.create('default', { url: receiver.url('/dead'), events: ['*'], concurrency: 8 });
    await engine.endpoints.create('default', { url: receiver.url('/alive'), events: ['*'] });
    for (let i = 0; i < 500; i++) await publish(engine, 'both');
    await receiver.waitForCount(500, '/alive');
  });
});

describe('when the store is away', () => {
  it('an event is refused, and outcomes wait until they can be written: nothing is sent twice', async () => {
    let isAway = false;
    const unavailable = () => Promise.reject(new PosthornError('STORE_UNAVAILABLE'));
    const { engine, store, receiver } = await rig({}, (real) => ({
      ...real,
      accept: (entries) => (isAway ? unavailable() : real.accept(entries)),
      settle: (settlement) => (isAway ? unavailable() : real.settle(settlement)),
    }));
    const release = hang(receiver, '/hook');
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    const { id } = await publish(engine, 'a');
    await receiver.waitForCount(1);
    isAway = true;
    await expect(publish(engine, 'b')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    release.all();
    await new Promise((resolve) => setTimeout(resolve, 700));
    const event = await engine.events.get('default', id);
    const state = async () =>
      (await store.deliveries.list({ tenantId: 'default', eventId: event.id }, { limit: 1, before: null }))[0]!.status;
    expect(await state()).toBe('sending');
    isAway = false;
    for (let tries = 0; (await state()) !== 'delivered' && tries < 200; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await state()).toBe('delivered');
    expect(receiver.requests).toHaveLength(1);
    expect((await publish(engine, 'c')).deliveries).toBe(1);
    await receiver.waitForCount(2);
  });
});

describe('an idle engine', () => {
  it('does not look for work that is not there', async () => {
    let claims = 0;
    const { engine, receiver } = await rig({}, (real) => ({
      ...real,
      claim: (request) => {
        claims++;
        return real.claim(request);
      },
    }));
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    await publish(engine, 'a');
    await receiver.waitForCount(1);
    const before = claims;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(claims - before).toBeLessThanOrEqual(1);
  });
});

describe('a new session of the store', () => {
  it('makes the engine claim anew what it held, and what was in line is sent once', async () => {
    const { engine, store, receiver } = await rig();
    const release = hang(receiver, '/hook');
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], concurrency: 1 });
    for (let i = 0; i < 10; i++) await publish(engine, 'a');
    await receiver.waitForCount(1);
    // What a restart of the writer does: every lease is given back.
    await store.close();
    await store.open({ migrate: true, now: Date.now() });
    engine.leasesLost();
    release.all();
    await publish(engine, 'last');
    await receiver.waitFor(() => new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size === 11);
    const counts = new Map<unknown, number>();
    for (const { headers } of receiver.requests)
      counts.set(headers['webhook-id'], (counts.get(headers['webhook-id']) ?? 0) + 1);
    expect(counts.size).toBe(11);
    expect([...counts.values()].filter((count) => count > 1).length).toBeLessThanOrEqual(1);
  });
});

describe('retention', () => {
  it('deletes what is past it with its history, and keeps what is still open', async () => {
    let ahead = 0;
    const { engine, receiver } = await rig({ retentionDays: 30, now: () => Date.now() + ahead });
    receiver.answer('/bad', 500);
    await engine.endpoints.create('default', { url: receiver.url(), events: ['good'] });
    const open = await engine.endpoints.create('default', {
      url: receiver.url('/bad'),
      events: ['bad'],
      retryScheduleMs: [86_400_000 * 30],
    });
    await publish(engine, 'good');
    await publish(engine, 'bad');
    await receiver.waitForCount(2);
    const list = () => engine.deliveries.list({ tenantId: 'default' }, { limit: 10, before: null });
    for (let tries = 0; (await list()).some(({ status }) => status === 'sending') && tries < 200; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await engine.sweep()).toBe(0);
    ahead = 31 * 86_400_000;
    expect(await engine.sweep()).toBe(1);
    expect((await list()).map(({ endpointId }) => endpointId)).toEqual([open.endpoint.id]);
  });
});
