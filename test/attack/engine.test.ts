import type { Worker as Thread } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Lines } from '../../src/delivery/lines.ts';
import { PosthornError } from '../../src/errors.ts';
import type { Store } from '../../src/store/store.ts';
import { startProcess, type PosthornProcess } from '../e2e/process.ts';
import { dataDir } from '../e2e/server.ts';
import { becomes, cleanUp, counts, hang, isQuiet, publish, rig, seeded } from './engine-rig.ts';

afterEach(async () => {
  vi.restoreAllMocks();
  await cleanUp();
});

const none = { pending: 0, sending: 0, held: 0, delivered: 0, dead_letter: 0, cancelled: 0 };

describe('room in memory', () => {
  it('is all given back after random changes, failures and a store that refuses most calls', async () => {
    const random = seeded(7);
    const lines = vi.spyOn(Lines.prototype, 'line');
    let isFull = false;
    const verbs = ['accept', 'settle', 'claim', 'moveDeliveries', 'redeliver', 'addDeliveries'] as const;
    const { engine, receiver } = await rig({ capacity: 200 }, (real) => {
      const faulty: Record<string, unknown> = {};
      for (const verb of verbs) {
        faulty[verb] = (...args: unknown[]) =>
          isFull && random() < 0.7
            ? Promise.reject(new PosthornError('STORE_FULL'))
            : (real[verb] as (...args: unknown[]) => unknown)(...args);
      }
      return { ...real, ...(faulty as Partial<Store>) };
    });
    receiver.answer('/hook', (_, response) => {
      const roll = random();
      response.writeHead(roll < 0.2 ? 500 : roll < 0.25 ? 404 : 200).end();
    });
    const create = async () =>
      (await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] })).endpoint.id;
    const ids = await Promise.all([create(), create(), create(), create()]);
    let accepted = 0;
    let isOn = true;
    const load = Array.from({ length: 6 }, async () => {
      while (isOn) {
        await publish(engine, 'a').then(
          () => accepted++,
          () => new Promise((resolve) => setTimeout(resolve, 5)),
        );
      }
    });
    for (let round = 0; round < 30; round++) {
      isFull = round % 6 === 3;
      const at = Math.floor(random() * ids.length);
      const id = ids[at]!;
      const roll = random();
      if (roll < 0.3) await engine.endpoints.disable('default', id);
      else if (roll < 0.6) await engine.endpoints.enable('default', id);
      else if (roll < 0.8) await engine.endpoints.update('default', id, { concurrency: 1 + Math.floor(random() * 64) });
      else {
        await engine.endpoints.remove('default', id);
        ids[at] = await create();
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    isFull = false;
    isOn = false;
    await Promise.all(load);
    expect(await becomes(() => isQuiet(engine), 10_000)).toBe(true);
    const memory = lines.mock.contexts.at(-1) as Lines;
    expect(accepted).toBeGreaterThan(100);
    expect(await becomes(() => memory.inFlight === 0, 1000)).toBe(true);
    expect(memory.waiting).toBe(0);
    for (const line of memory.all()) expect([line.reserved, line.inFlight, line.queue.length]).toEqual([0, 0, 0]);
  });
});

describe('the end of a schedule', () => {
  it('comes at once where it is empty, and after every attempt where its waits are nothing', async () => {
    const { engine, receiver } = await rig();
    receiver.answer('/none', 500);
    receiver.answer('/zero', 500);
    await engine.endpoints.create('default', { url: receiver.url('/none'), events: ['*'], retryScheduleMs: [] });
    const waits = Array.from({ length: 50 }, () => 0);
    await engine.endpoints.create('default', { url: receiver.url('/zero'), events: ['*'], retryScheduleMs: waits });
    for (let i = 0; i < 10; i++) await publish(engine, 'a');
    expect(await becomes(async () => (await counts(engine)).dead_letter === 20, 10_000)).toBe(true);
    expect(receiver.requests.filter(({ path }) => path === '/none')).toHaveLength(10);
    expect(receiver.requests.filter(({ path }) => path === '/zero')).toHaveLength(510);
  });

  it('comes with 410 for what was on the wire; the five hundred behind it are held', async () => {
    const { engine, receiver } = await rig();
    const gate = hang(receiver, '/hook', 410);
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], concurrency: 8 });
    for (let i = 0; i < 500; i++) await publish(engine, 'a');
    await receiver.waitForCount(8);
    gate.all();
    expect(await becomes(() => isQuiet(engine), 5000)).toBe(true);
    const { held, dead_letter, ...others } = await counts(engine);
    expect(held + dead_letter).toBe(500);
    expect(dead_letter).toBe(receiver.requests.length);
    expect(dead_letter).toBe(8);
    expect(others).toEqual({ pending: 0, sending: 0, delivered: 0, cancelled: 0 });
  });
});

describe('a pause longer than memory waits', () => {
  it('empties the line into the store, sends nothing meanwhile, and everything when it is over', async () => {
    const { engine, receiver } = await rig();
    let isBusy = true;
    receiver.answer('/hook', (_, response) => {
      if (isBusy) response.writeHead(429, { 'retry-after': '6' }).end();
      else response.writeHead(200).end();
    });
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], retryScheduleMs: [100, 100] });
    for (let i = 0; i < 1000; i++) await publish(engine, 'a');
    await new Promise((resolve) => setTimeout(resolve, 200));
    isBusy = false;
    const before = receiver.requests.length;
    for (let i = 0; i < 100; i++) await publish(engine, 'b');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(receiver.requests.length).toBe(before);
    expect(await becomes(async () => (await counts(engine)).delivered === 1100, 10_000)).toBe(true);
    expect(receiver.requests.length).toBe(before + 1100);
  });
});

describe('changes under load', () => {
  it('of URL, format, secret, concurrency and activity lose no event and double none', async () => {
    const { engine, receiver } = await rig();
    const { endpoint } = await engine.endpoints.create('default', { url: receiver.url('/0'), events: ['*'] });
    const accepted = new Set<string>();
    let isOn = true;
    const load = Array.from({ length: 8 }, async () => {
      while (isOn) accepted.add((await publish(engine, 'a')).id);
    });
    const formats = ['standard', 'gravv', 'lexigram', 'grantiva'];
    for (let i = 0; i < 60; i++) {
      await engine.endpoints.update('default', endpoint.id, { url: receiver.url(`/${i % 3}`), concurrency: 1 + i });
      await engine.endpoints.update('default', endpoint.id, {
        wireFormat: formats[i % 4]!,
        secret: `whsec_${Buffer.alloc(24, i).toString('base64')}`,
      });
      await engine.endpoints.rotateSecret('default', endpoint.id, { graceMs: i % 2 ? 0 : 50 });
      if (i % 5 > 0) continue;
      await engine.endpoints.disable('default', endpoint.id);
      await engine.endpoints.enable('default', endpoint.id);
    }
    isOn = false;
    await Promise.all(load);
    expect(await becomes(() => isQuiet(engine), 10_000)).toBe(true);
    expect(accepted.size).toBeGreaterThan(500);
    expect(await counts(engine)).toEqual({ ...none, delivered: accepted.size });
    expect(receiver.requests).toHaveLength(accepted.size);
  });

  it('with a concurrency of 1, eight thousand events arrive once each and in order', async () => {
    const { engine, receiver } = await rig();
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'], concurrency: 1 });
    await Promise.all(Array.from({ length: 8000 }, () => publish(engine, 'a')));
    await receiver.waitForCount(8000);
    const ids = receiver.requests.map(({ headers }) => String(headers['webhook-id']));
    expect(ids).toEqual([...new Set(ids)].sort());
    expect(await becomes(async () => (await counts(engine)).delivered === 8000, 5000)).toBe(true);
  });
});

describe("the writer's thread", () => {
  it('may die under load: what was accepted arrives, and what was on the wire comes twice at most', async () => {
    let writer: Thread | null = null;
    const onThread = (thread: Thread): void => {
      writer ??= thread;
    };
    process.on('worker', onThread);
    const { engine, receiver } = await rig();
    process.off('worker', onThread);
    await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    const accepted = new Set<string>();
    let isOn = true;
    let refused = 0;
    const load = Array.from({ length: 8 }, async () => {
      while (isOn) {
        await publish(engine, 'a').then(
          ({ id }) => accepted.add(id),
          () => {
            refused++;
            return new Promise((resolve) => setTimeout(resolve, 20));
          },
        );
      }
    });
    await receiver.waitForCount(200);
    await writer!.terminate();
    expect(await becomes(() => refused > 0, 2000)).toBe(true);
    const before = accepted.size;
    expect(await becomes(() => accepted.size > before + 100, 5000)).toBe(true);
    isOn = false;
    await Promise.all(load);
    expect(await becomes(() => isQuiet(engine), 10_000)).toBe(true);
    const copies = new Map<string, number>();
    for (const { headers } of receiver.requests) {
      const id = String(headers['webhook-id']);
      copies.set(id, (copies.get(id) ?? 0) + 1);
    }
    expect([...accepted].filter((id) => !copies.has(id))).toEqual([]);
    for (const count of copies.values()) expect(count).toBeLessThanOrEqual(2);
    expect([...copies.values()].filter((count) => count === 2).length).toBeLessThanOrEqual(64);
  });
});

describe('three processes at once on a new data directory', () => {
  it('one serves, the others say why not, and its secrets can be read after a kill', { timeout: 30_000 }, async () => {
    const data = dataDir();
    data.remove();
    const starts = await Promise.allSettled([1, 2, 3].map(() => startProcess(data.path)));
    const running = starts.filter(
      (start): start is PromiseFulfilledResult<PosthornProcess> => start.status === 'fulfilled',
    );
    expect(running).toHaveLength(1);
    for (const start of starts)
      if (start.status === 'rejected') expect(String(start.reason)).toContain('is in use by another Posthorn');
    const { value: first } = running[0]!;
    await first.client.webhook('http://127.0.0.1:9/hook', ['*']);
    await first.end('SIGKILL');
    const second = await startProcess(data.path);
    expect((await second.client.call('GET', '/v1/webhooks')).body.webhooks).toHaveLength(1);
    await second.end('SIGTERM');
    data.remove();
  });
});
