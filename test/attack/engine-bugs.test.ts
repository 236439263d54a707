import { rmSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Lines } from '../../src/delivery/lines.ts';
import { EventMessage } from '../../src/delivery/message.ts';
import { Queue } from '../../src/delivery/queue.ts';
import { PosthornError } from '../../src/errors.ts';
import { becomes, cleanUp, counts, hang, isQuiet, publish, rig } from './engine-rig.ts';

afterEach(cleanUp);

const unavailable = () => Promise.reject(new PosthornError('STORE_UNAVAILABLE'));
const someRetries = { jitter: 0.2, retryAfterCapMs: 86_400_000 };

describe('bulk redelivery', () => {
  it('at a rate that does not divide a thousand goes through, and does not stop the ones behind it', async () => {
    const { engine, receiver } = await rig();
    receiver.answer('/hook', 500);
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], retryScheduleMs: [] });
    for (let i = 0; i < 6; i++) await publish(engine, 'a');
    await becomes(async () => (await counts(engine)).dead_letter === 6, 5000);
    receiver.answer('/hook', 200);
    await engine.deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: false, ratePerSecond: 7 });
    expect(await becomes(async () => (await counts(engine)).delivered === 6, 4000)).toBe(true);
  });

  it('leaves the dead letters of a deleted endpoint as they are', async () => {
    const { engine, receiver } = await rig();
    receiver.answer('/hook', 500);
    const { endpoint } = await engine.endpoints.create('default', {
      url: receiver.url(),
      events: ['*'],
      retryScheduleMs: [],
    });
    for (let i = 0; i < 400; i++) await publish(engine, 'a');
    await becomes(async () => (await counts(engine)).dead_letter === 400, 5000);
    await engine.endpoints.remove('default', endpoint.id);
    await engine.deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: false, ratePerSecond: null });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(await counts(engine)).toMatchObject({ pending: 0, dead_letter: 400 });
  });

  it('forgets no slice that the store refused at first', async () => {
    let refusals = 1;
    const { engine, receiver } = await rig({}, (real) => ({
      ...real,
      redeliver: (request) => (refusals-- > 0 ? unavailable() : real.redeliver(request)),
    }));
    receiver.answer('/hook', 500);
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], retryScheduleMs: [] });
    for (let i = 0; i < 20; i++) await publish(engine, 'a');
    await becomes(async () => (await counts(engine)).dead_letter === 20, 5000);
    receiver.answer('/hook', 200);
    await engine.deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: false, ratePerSecond: null });
    expect(await becomes(async () => (await counts(engine)).delivered === 20, 4000)).toBe(true);
  });
});

describe('a replay', () => {
  it('sees that an endpoint was enabled while it went on', async () => {
    let gate: (() => void) | null = null;
    const { engine, receiver } = await rig({}, (real) => ({
      ...real,
      deliveries: {
        ...real.deliveries,
        count: async (filter, limit) => {
          if (filter.eventId !== undefined) await new Promise<void>((resolve) => (gate = resolve));
          return real.deliveries.count(filter, limit);
        },
      },
    }));
    const { id } = await publish(engine, 'a');
    const { endpoint } = await engine.endpoints.create('default', {
      url: receiver.url(),
      events: ['a'],
      isActive: false,
    });
    const replay = engine.events.replay('default', id);
    await becomes(() => gate !== null, 2000);
    await engine.endpoints.enable('default', endpoint.id);
    gate!();
    await replay;
    expect(await becomes(async () => (await counts(engine)).delivered === 1, 2000)).toBe(true);
  });
});

describe('the search for the next delivery', () => {
  it('ends when everybody who is ready was looked at once', () => {
    const lines = new Lines({ slots: 64, capacity: 10_000, capacityBytes: 1_000_000 });
    const message = new EventMessage({
      id: '0',
      tenantId: 't',
      ownId: null,
      type: 'a',
      data: '{}',
      occurredAt: 0,
      category: null,
      group: null,
      source: null,
      createdAt: 0,
    });
    for (let i = 0; i < 4; i++) {
      const line = lines.line('t', `endpoint-${i}`, 64);
      for (let k = 0; k < 100; k++) {
        lines.reserve(line, 2);
        lines.enter(line, { id: `${i}-${k}`, attemptCount: 0, scheduleStart: 0, message });
      }
    }
    while (lines.next());
    const looks = vi.spyOn(Queue.prototype, 'shift');
    expect(lines.next()).toBeNull();
    // One tenant that holds its share, with four lines.
    expect(looks.mock.calls.length).toBeLessThan(100);
    looks.mockRestore();
  });
});

describe('fan-out', () => {
  it('to more endpoints than memory holds reaches all of them at once', async () => {
    const { engine, receiver } = await rig({ capacity: 10 });
    for (let i = 0; i < 30; i++) await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    await publish(engine, 'a');
    expect(await becomes(() => receiver.requests.length === 30, 5000)).toBe(true);
  });

  it('sees that an endpoint was enabled, or deleted, while it went on', async () => {
    const gates: (() => void)[] = [];
    const { engine, receiver } = await rig({}, (real) => ({
      ...real,
      extendFanOut: async (slice) => {
        await new Promise<void>((resolve) => gates.push(resolve));
        return real.extendFanOut(slice);
      },
    }));
    const made = await Promise.all(
      Array.from({ length: 2002 }, () =>
        engine.endpoints.create('default', { url: receiver.url(), events: ['a'], isActive: true }),
      ),
    );
    const ids = made.map(({ endpoint }) => endpoint.id).sort();
    const [deleted, enabled] = [ids.at(-2)!, ids.at(-1)!];
    await engine.endpoints.disable('default', enabled);
    await engine.endpoints.disable('default', deleted);
    await publish(engine, 'a');
    await engine.endpoints.enable('default', enabled);
    await engine.endpoints.remove('default', deleted);
    await becomes(() => gates.length > 0, 5000);
    for (let i = 0; i < 3; i++) {
      gates.splice(0).forEach((go) => go());
      await becomes(() => gates.length > 0, 500);
    }
    expect(await becomes(() => isQuiet(engine), 10_000)).toBe(true);
    expect((await counts(engine)).held).toBe(0);
  });

  it('stores a slice once, though the answer to it was lost', async () => {
    let calls = 0;
    const { engine } = await rig({}, (real) => ({
      ...real,
      extendFanOut: async (slice) => {
        const outcome = await real.extendFanOut(slice);
        if (++calls === 1) throw new PosthornError('STORE_UNAVAILABLE', 'the writer ended behind its commit');
        return outcome;
      },
    }));
    await Promise.all(
      Array.from({ length: 1500 }, () =>
        engine.endpoints.create('default', { url: 'http://127.0.0.1:9', events: ['a'] }),
      ),
    );
    await publish(engine, 'a');
    expect(await becomes(() => calls === 2, 10_000)).toBe(true);
    expect(await engine.deliveries.count({ tenantId: 'default' }, 10_000)).toBe(1500);
  });

  it('is not done twice where the store began a new session just before the publisher had its answer', async () => {
    const { engine } = await rig({}, (real) => ({
      ...real,
      accept: async (entries) => {
        const outcomes = await real.accept(entries);
        engine.leasesLost();
        await new Promise((resolve) => setTimeout(resolve, 300));
        return outcomes;
      },
    }));
    await Promise.all(
      Array.from({ length: 1500 }, () =>
        engine.endpoints.create('default', { url: 'http://127.0.0.1:9', events: ['a'] }),
      ),
    );
    await publish(engine, 'a');
    const count = () => engine.deliveries.count({ tenantId: 'default' }, 10_000);
    expect(await becomes(async () => (await count()) > 1500, 2000)).toBe(false);
    expect(await count()).toBe(1500);
  });

  it('goes on after the store began a new session, for an event whose 202 was lost', async () => {
    let isLost = true;
    const { engine, store, receiver } = await rig({}, (real) => ({
      ...real,
      accept: async (entries) => {
        const outcomes = await real.accept(entries);
        if (!isLost) return outcomes;
        isLost = false;
        throw new Error('the writer ended behind its commit');
      },
    }));
    await Promise.all(
      Array.from({ length: 1500 }, () => engine.endpoints.create('default', { url: receiver.url(), events: ['a'] })),
    );
    const input = { type: 'a', data: '{}', value: {}, idempotencyKey: 'once' };
    await expect(engine.publish('default', input)).rejects.toThrow('behind its commit');
    await store.close();
    await store.open({ migrate: false, now: Date.now() });
    engine.leasesLost();
    expect((await engine.publish('default', input)).duplicate).toBe(true);
    expect(await becomes(() => receiver.requests.length >= 1500, 10_000)).toBe(true);
  });
});

describe('a pause', () => {
  it('does not grow with the number of exchanges under way: one burst of 503 is one failure', async () => {
    const { engine, receiver } = await rig();
    const gate = hang(receiver, '/hook', 503);
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], retryScheduleMs: [1000, 1000] });
    for (let i = 0; i < 64; i++) await publish(engine, 'a');
    await receiver.waitForCount(64);
    receiver.answer('/hook', 200);
    gate.all();
    expect(await becomes(() => receiver.requests.length > 64, 6000)).toBe(true);
  });

  it('asked for by one URL does not hold for the next', async () => {
    const { engine, receiver } = await rig();
    receiver.answer('/old', (_, response) => response.writeHead(429, { 'retry-after': '3600' }).end());
    const { endpoint } = await engine.endpoints.create('default', { url: receiver.url('/old'), events: ['*'] });
    await publish(engine, 'a');
    await receiver.waitForCount(1);
    await becomes(async () => (await counts(engine)).pending === 1, 2000);
    await engine.endpoints.update('default', endpoint.id, { url: receiver.url('/new') });
    await publish(engine, 'b');
    expect(await becomes(() => receiver.requests.some(({ path }) => path === '/new'), 2000)).toBe(true);
  });

  it('and 410, said by a URL that was changed meanwhile, do not disable the endpoint', async () => {
    const { engine, receiver } = await rig();
    const gate = hang(receiver, '/old', 410);
    const { endpoint } = await engine.endpoints.create('default', { url: receiver.url('/old'), events: ['*'] });
    await publish(engine, 'a');
    await receiver.waitForCount(1);
    await engine.endpoints.update('default', endpoint.id, { url: receiver.url('/new') });
    gate.all();
    await becomes(() => isQuiet(engine), 2000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(engine.endpoints.get('default', endpoint.id).isActive).toBe(true);
  });
});

describe('a burst of 429 with Retry-After', () => {
  it('counts as one pause: the next 503 is answered by a short one', async () => {
    const { engine, receiver } = await rig();
    const held: (() => void)[] = [];
    let step = 0;
    receiver.answer('/hook', (_, response) => {
      if (step === 0) held.push(() => response.writeHead(429, { 'retry-after': '1' }).end());
      else response.writeHead(step++ === 1 ? 503 : 200).end();
    });
    const limits = { retryScheduleMs: [100, 100, 100] };
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], ...limits });
    for (let i = 0; i < 64; i++) await publish(engine, 'a');
    await receiver.waitForCount(64);
    step = 1;
    for (const answer of held) {
      answer();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(await becomes(async () => (await counts(engine)).delivered === 64, 10_000)).toBe(true);
  });
});

describe('fairness', () => {
  it('of slots: three hundred tenants whose endpoints hang do not delay another one', async () => {
    const { engine, receiver } = await rig();
    hang(receiver, '/dead');
    const loud = Array.from({ length: 300 }, (_, i) => `loud-${i}`);
    for (const id of loud) {
      await engine.tenants.create({ id });
      await engine.endpoints.create(id, { url: receiver.url('/dead'), events: ['*'] });
    }
    await engine.endpoints.create('default', { url: receiver.url('/quiet'), events: ['*'] });
    for (let i = 0; i < 12; i++) await Promise.all(loud.map((id) => publish(engine, 'noise', id)));
    for (let i = 1; i <= 3; i++) {
      await publish(engine, 'music');
      const arrived = () => receiver.requests.filter(({ path }) => path === '/quiet').length >= i;
      expect(await becomes(arrived, 2000)).toBe(true);
    }
  });

  it('of slots inside a tenant: twenty dead endpoints do not delay the living one', async () => {
    const { engine, receiver } = await rig({
      defaults: {
        wireFormat: 'standard',
        retry: { ...someRetries, scheduleMs: [60_000] },
        timeoutMs: 6000,
        concurrency: 64,
      },
    });
    hang(receiver, '/dead');
    for (let i = 0; i < 20; i++)
      await engine.endpoints.create('default', { url: receiver.url('/dead'), events: ['*'] });
    await engine.endpoints.create('default', { url: receiver.url('/alive'), events: ['*'] });
    for (let i = 0; i < 100; i++) await publish(engine, 'a');
    const alive = () => receiver.requests.filter(({ path }) => path === '/alive').length === 100;
    expect(await becomes(alive, 2000)).toBe(true);
  });
});

describe('a publish that waits for room', () => {
  async function full() {
    const { engine, receiver } = await rig({ capacity: 4 });
    const gate = hang(receiver, '/hook');
    const ids: string[] = [];
    for (let i = 0; i < 6; i++) {
      const url = receiver.url();
      ids.push((await engine.endpoints.create('default', { url, events: [`e${i}`], concurrency: 1 })).endpoint.id);
    }
    for (let i = 0; i < 6; i++) await publish(engine, `e${i}`);
    await receiver.waitForCount(6);
    for (let i = 0; i < 4; i++) await publish(engine, `e${i}`);
    let isAccepted = false;
    void publish(engine, 'e5').then(
      () => (isAccepted = true),
      () => undefined,
    );
    return { engine, ids, gate, accepted: () => isAccepted };
  }

  it('goes on when an exchange ends and the delivery behind it goes on the wire', async () => {
    const { gate, accepted } = await full();
    gate.one();
    expect(await becomes(accepted, 1000)).toBe(true);
  });

  it('goes on when a disabled endpoint gives its places back', async () => {
    const { engine, ids, accepted } = await full();
    await engine.endpoints.disable('default', ids[0]!);
    expect(await becomes(accepted, 1000)).toBe(true);
  });
});

describe('while memory is full', () => {
  it('a retry that is due does not keep the engine turning', async () => {
    let looks = 0;
    const { engine, receiver } = await rig({
      capacity: 4,
      now: () => {
        looks++;
        return Date.now();
      },
    });
    hang(receiver, '/hook');
    receiver.answer('/bad', 500);
    await engine.endpoints.create('default', { url: receiver.url('/bad'), events: ['bad'], retryScheduleMs: [800] });
    await publish(engine, 'bad');
    for (let i = 0; i < 6; i++)
      await engine.endpoints.create('default', { url: receiver.url(), events: [`e${i}`], concurrency: 1 });
    for (let i = 0; i < 6; i++) await publish(engine, `e${i}`);
    await receiver.waitForCount(7);
    for (let i = 0; i < 4; i++) await publish(engine, `e${i}`);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    looks = 0;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(looks).toBeLessThan(50);
  });
});

describe('while the store does not settle', () => {
  it('a delivery that was to be held follows an endpoint enabled meanwhile', async () => {
    let isAway = false;
    const { engine, receiver } = await rig({}, (real) => ({
      ...real,
      settle: (settlement) => (isAway ? unavailable() : real.settle(settlement)),
    }));
    const gate = hang(receiver, '/hook');
    const { endpoint } = await engine.endpoints.create('default', {
      url: receiver.url(),
      events: ['*'],
      concurrency: 1,
    });
    for (let i = 0; i < 5; i++) await publish(engine, 'a');
    await receiver.waitForCount(1);
    isAway = true;
    await engine.endpoints.disable('default', endpoint.id);
    await engine.endpoints.enable('default', endpoint.id);
    isAway = false;
    gate.all();
    expect(await becomes(async () => (await counts(engine)).delivered === 5, 3000)).toBe(true);
  });

  it('the end does not wait for the grace period with nothing on the wire', async () => {
    let isAway = false;
    const { engine, receiver } = await rig({}, (real) => ({
      ...real,
      settle: (settlement) => (isAway ? unavailable() : real.settle(settlement)),
    }));
    const gate = hang(receiver, '/hook');
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    await publish(engine, 'a');
    await receiver.waitForCount(1);
    isAway = true;
    gate.all();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const startedAt = Date.now();
    await engine.stop(5000);
    expect(Date.now() - startedAt).toBeLessThan(2000);
  });
});

describe('a data directory that was deleted under the process', () => {
  it('is noticed: not ready, since nothing written there outlives the process', async () => {
    const { engine, path } = await rig();
    rmSync(path, { recursive: true, force: true });
    await expect(engine.ready()).rejects.toThrow('deleted');
  });

  it('takes no event any more: a 202 would promise what the process’s end would break', async () => {
    const { engine, path } = await rig();
    await publish(engine, 'a');
    rmSync(path, { recursive: true, force: true });
    await expect(publish(engine, 'b')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});
