import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { becomes, counts, hang, isQuiet, publish, seeded } from '../attack/engine-rig.ts';
import { hasPostgres } from '../postgres/server.ts';
import { ClusterTests, gauge, type Node } from './cluster-rig.ts';

const tests = new ClusterTests();
/** What every node has to know so soon after a change was made. */
const NEWS_MS = 1_000;

// Skipped where npm has no PostgreSQL for the platform.
describe.skipIf(!hasPostgres(18))('several nodes', () => {
  beforeAll(() => tests.start());
  afterAll(() => tests.stop());
  afterEach(() => tests.cleanUp());

  describe('share what people edit', () => {
    it('an endpoint made, changed, disabled and deleted on one is so on the other within a second', async () => {
      const { receiver, add } = await tests.rig();
      const [a, b] = [await add(), await add()];
      const { endpoint } = await a.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      const seen = () => b.engine.endpoints.list('default')[0];
      expect(await becomes(() => seen()?.id === endpoint.id, NEWS_MS)).toBe(true);
      await a.engine.endpoints.update('default', endpoint.id, { url: receiver.url('/new'), concurrency: 7 });
      expect(await becomes(() => seen()?.url === receiver.url('/new'), NEWS_MS)).toBe(true);
      await publish(b.engine, 'a');
      await receiver.waitForCount(1, '/new');
      await b.engine.endpoints.disable('default', endpoint.id);
      expect(await becomes(() => !a.engine.endpoints.list('default')[0]!.isActive, NEWS_MS)).toBe(true);
      await publish(a.engine, 'held');
      expect(await counts(a.engine)).toMatchObject({ held: 1, delivered: 1 });
      await a.engine.endpoints.enable('default', endpoint.id);
      await receiver.waitForCount(2, '/new');
      await a.engine.endpoints.remove('default', endpoint.id);
      expect(await becomes(() => seen() === undefined, NEWS_MS)).toBe(true);
    });

    it('nobody who made something on one is told by the other that it is not there', async () => {
      const { receiver, add } = await tests.rig();
      const [a, b] = [await add({ catalogue: 'closed' }), await add({ catalogue: 'closed' })];
      for (let i = 0; i < 10; i++) {
        const tenantId = `t${i}`;
        await a.engine.plans.put({ name: `p${i}` });
        expect((await b.engine.tenants.create({ id: tenantId, plan: `p${i}` })).plan).toBe(`p${i}`);
        expect((await a.engine.tenants.update(tenantId, { name: 'N' })).name).toBe('N');
        await b.engine.eventTypes.put({ name: `e${i}` });
        const input = { url: receiver.url(), events: [`e${i}`] };
        const { endpoint } = await a.engine.endpoints.create(tenantId, input);
        expect((await b.engine.endpoints.update(tenantId, endpoint.id, { description: 'b' })).description).toBe('b');
        await a.engine.eventTypes.put({ name: `f${i}` });
        expect((await publish(b.engine, `f${i}`, tenantId)).deliveries).toBe(0);
        await b.engine.endpoints.remove(tenantId, endpoint.id);
        await expect(a.engine.endpoints.enable(tenantId, endpoint.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      }
    });

    it('a creation with an idempotency key makes one endpoint, whichever node it comes to', async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      const input = { url: receiver.url(), events: ['*'] };
      const made = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          nodes[i % 2]!.engine.endpoints.create('default', input, { idempotencyKey: 'once' }),
        ),
      );
      expect(new Set(made.map(({ endpoint }) => endpoint.id)).size).toBe(1);
      expect(new Set(made.map(({ secret }) => secret)).size).toBe(1);
    });

    it('a limit of endpoints holds over both', async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      await nodes[0]!.engine.plans.put({ name: 'five', endpointLimit: 5 });
      await nodes[1]!.engine.tenants.update('default', { plan: 'five' });
      await nodes[0]!.engine.catchUp();
      const input = { url: receiver.url(), events: ['*'] };
      const results = await Promise.allSettled(
        Array.from({ length: 12 }, (_, i) => nodes[i % 2]!.engine.endpoints.create('default', input)),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    });

    it('of a thousand changes of different fields from both, none is lost', { timeout: 120_000 }, async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      const random = seeded(7);
      const { endpoint } = await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      const fields = ['description', 'url', 'events', 'timeoutMs', 'concurrency', 'headers'] as const;
      const valueOf = (field: (typeof fields)[number], i: number): unknown =>
        ({
          description: `d${i}`,
          url: receiver.url(`/${i}`),
          events: [`e${i}`],
          timeoutMs: 1_000 + i,
          concurrency: 1 + (i % 60),
          headers: { 'x-i': String(i) },
        })[field];
      // Each field belongs to one node at a time, which knows the last value it was given.
      const last = new Map<string, unknown>();
      let done = 0;
      await Promise.all(
        fields.map(async (field, lane) => {
          for (let i = 0; i < 167; i++) {
            const node = nodes[(lane + (random() < 0.3 ? 1 : 0)) % 2]!;
            const value = valueOf(field, i);
            const after = await node.engine.endpoints.update('default', endpoint.id, { [field]: value });
            expect(after[field]).toEqual(value);
            last.set(field, value);
            done++;
          }
        }),
      );
      expect(done).toBeGreaterThanOrEqual(1_000);
      for (const { engine } of nodes) {
        await engine.catchUp();
        expect(engine.endpoints.get('default', endpoint.id)).toMatchObject(Object.fromEntries(last));
      }
    });
  });

  describe('share the way to an endpoint', () => {
    const total = 60;

    it.each([1, 2, 3, 8])('an endpoint that takes %i at once gets no more from both together', async (concurrency) => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      const seen = gauge(receiver, '/hook', 20);
      await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'], concurrency });
      await nodes[1]!.engine.catchUp();
      await Promise.all(Array.from({ length: total }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
      await receiver.waitForCount(total);
      expect(await becomes(() => isQuiet(nodes[0]!.engine), 5_000)).toBe(true);
      expect(seen.most).toBeLessThanOrEqual(concurrency);
      expect(receiver.requests).toHaveLength(total);
    });

    it('nor while a node comes, and another one goes', { timeout: 60_000 }, async () => {
      const { receiver, add } = await tests.rig();
      // So little room that most of it waits in the store, for whoever may send.
      const little = { capacity: 24 };
      const first = await add(little);
      const seen = gauge(receiver, '/hook', 400);
      await first.engine.endpoints.create('default', { url: receiver.url(), events: ['*'], concurrency: 6 });
      for (let i = 0; i < 150; i++) await publish(first.engine, 'a');
      await receiver.waitForCount(12);
      const second = await add(little);
      await receiver.waitForCount(40);
      const third = await add(little);
      await receiver.waitForCount(70);
      await first.stop();
      await receiver.waitForCount(100);
      await third.stop();
      await receiver.waitForCount(150);
      expect(await becomes(() => isQuiet(second.engine), 5_000)).toBe(true);
      expect(seen.most).toBeLessThanOrEqual(6);
      expect(seen.total).toBe(150);
    });

    it('a pause that one was asked for holds for the other, also for one that comes later', async () => {
      const { receiver, add } = await tests.rig();
      const [a, b] = [await add(), await add()];
      let isBusy = true;
      receiver.answer('/hook', (_, response) => {
        if (isBusy) response.writeHead(429, { 'retry-after': '3' }).end();
        else response.writeHead(200).end();
      });
      await a.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await b.engine.catchUp();
      await publish(a.engine, 'a');
      const [first] = await receiver.waitForCount(1);
      await becomes(async () => (await b.store.nodes.pauses()).length === 1, NEWS_MS);
      await b.engine.catchUp();
      isBusy = false;
      await publish(b.engine, 'b');
      const c = await add();
      await publish(c.engine, 'c');
      await receiver.waitForCount(4);
      const [, ...later] = receiver.requests;
      for (const { at } of later) expect(at - first!.at).toBeGreaterThanOrEqual(2_900);
    });

    it('and ends for both where the endpoint goes on to another URL', async () => {
      const { receiver, add } = await tests.rig();
      const [a, b] = [await add(), await add()];
      receiver.answer('/hook', (_, response) => response.writeHead(429, { 'retry-after': '600' }).end());
      const { endpoint } = await a.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await b.engine.catchUp();
      await publish(a.engine, 'a');
      await receiver.waitForCount(1);
      await becomes(async () => (await b.store.nodes.pauses()).length === 1, NEWS_MS);
      await b.engine.catchUp();
      await publish(b.engine, 'b');
      await b.engine.endpoints.update('default', endpoint.id, { url: receiver.url('/new') });
      await publish(b.engine, 'c');
      await receiver.waitForCount(3, '/new');
      await publish(a.engine, 'd');
      await receiver.waitForCount(4, '/new');
      expect(await a.store.nodes.pauses()).toEqual([]);
    });

    it('an endpoint that only fails is disabled by the failures of both, not while one of them has successes', async () => {
      const { receiver, add } = await tests.rig();
      const disableAfter = { failures: 6, withinMs: 60_000 };
      const nodes = [await add({ disableAfter }), await add({ disableAfter })];
      receiver.answer('/bad', 500);
      let calls = 0;
      receiver.answer('/half', (_, response) => response.writeHead(++calls % 4 === 0 ? 200 : 500).end());
      const make = async (path: string) =>
        (
          await nodes[0]!.engine.endpoints.create('default', {
            ...{ url: receiver.url(path), events: [path.slice(1)], retryScheduleMs: [] },
          })
        ).endpoint.id;
      const [bad, half] = [await make('/bad'), await make('/half')];
      await nodes[1]!.engine.catchUp();
      const isActive = (id: string): boolean => nodes[0]!.engine.endpoints.get('default', id).isActive;
      for (let i = 0; i < 24; i++) {
        await publish(nodes[i % 2]!.engine, 'half');
        await becomes(() => isQuiet(nodes[0]!.engine), 3_000);
      }
      for (let i = 0; i < 6; i++) {
        expect(isActive(bad)).toBe(true);
        await publish(nodes[i % 2]!.engine, 'bad');
        await becomes(() => isQuiet(nodes[0]!.engine), 3_000);
      }
      expect(await becomes(() => !isActive(bad), 3_000)).toBe(true);
      expect(isActive(half)).toBe(true);
    });
  });

  describe('share the work', () => {
    it('a node that does not deliver leaves it to the others, at once', async () => {
      const { receiver, add } = await tests.rig();
      const [door, worker] = [await add({ delivers: false }), await add()];
      await door.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await worker.engine.catchUp();
      for (let i = 0; i < 5; i++) {
        const startedAt = Date.now();
        await publish(door.engine, 'a');
        const requests = await receiver.waitForCount(i + 1);
        expect(requests[i]!.at - startedAt).toBeLessThan(1_500);
      }
      expect(worker.store.nodes.place()).toEqual({ index: 0, count: 1 });
    });

    it('sending now answers with the attempt that another node made', async () => {
      const { receiver, add } = await tests.rig();
      const [door, worker] = [await add({ delivers: false }), await add()];
      await door.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await worker.engine.catchUp();
      await publish(door.engine, 'a');
      await receiver.waitForCount(1);
      await becomes(() => isQuiet(door.engine), 3_000);
      const [row] = await door.engine.deliveries.list({ tenantId: 'default' }, { limit: 1, before: null });
      receiver.answer('/hook', 503);
      const { attempt, delivery } = await door.engine.deliveries.sendNow('default', row!.id);
      expect(attempt).toMatchObject({ number: 2, statusCode: 503, succeeded: false });
      expect(delivery.attemptCount).toBeGreaterThanOrEqual(2);
    });

    it('what one cannot send in time the other helps with, each delivery once', { timeout: 60_000 }, async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add({ slots: 8, capacity: 50 }), await add({ slots: 8, capacity: 50 })];
      gauge(receiver, '/hook', 5);
      for (let i = 0; i < 4; i++)
        await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await nodes[1]!.engine.catchUp();
      for (let i = 0; i < 250; i++) await publish(nodes[0]!.engine, 'a');
      await receiver.waitForCount(1_000);
      expect(await becomes(() => isQuiet(nodes[0]!.engine), 10_000)).toBe(true);
      const ids = receiver.requests.map(({ headers }) => `${String(headers['webhook-id'])}`);
      expect(new Set(ids).size).toBe(250);
      expect(ids).toHaveLength(1_000);
      expect(await counts(nodes[1]!.engine)).toMatchObject({ delivered: 1_000 });
    });

    it('bulk redelivery from one is carried out by both', async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      receiver.answer('/hook', 400);
      const some = { url: receiver.url(), events: ['*'], retryScheduleMs: [] };
      const { endpoint } = await nodes[0]!.engine.endpoints.create('default', some);
      await nodes[1]!.engine.catchUp();
      for (let i = 0; i < 30; i++) await publish(nodes[i % 2]!.engine, 'a');
      await becomes(async () => (await counts(nodes[0]!.engine)).dead_letter === 30, 5_000);
      receiver.answer('/hook', 200);
      expect(await nodes[1]!.engine.endpoints.replay('default', endpoint.id)).toEqual({ deliveries: 30 });
      expect(await becomes(async () => (await counts(nodes[0]!.engine)).delivered === 30, 5_000)).toBe(true);
    });
  });

  describe('count together', () => {
    const day = async ({ engine }: Node, limit: number): Promise<void> => {
      await engine.plans.put({ name: 'small', eventsPerDay: limit });
      await engine.tenants.update('default', { plan: 'small' });
    };

    it('events a day: what comes beyond the limit is held, whichever node it comes to', async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      await day(nodes[0]!, 100);
      await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await nodes[1]!.engine.catchUp();
      for (let i = 0; i < 160; i++) await publish(nodes[i % 2]!.engine, 'a');
      expect(await becomes(() => isQuiet(nodes[0]!.engine), 5_000)).toBe(true);
      expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 100, held: 60 });
      for (const { engine } of nodes) {
        const today = async () => (await engine.tenants.usage('default')).eventsToday;
        expect(await becomes(async () => (await today()).used === 160, NEWS_MS)).toBe(true);
        expect((await today()).held).toBe(true);
      }
    });

    it('to the event, when all come to both at once', async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      await day(nodes[0]!, 40);
      await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await nodes[1]!.engine.catchUp();
      await Promise.all(Array.from({ length: 120 }, (_, i) => publish(nodes[i % 2]!.engine, 'a')));
      expect(await becomes(() => isQuiet(nodes[0]!.engine), 5_000)).toBe(true);
      expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 40, held: 80 });
    });

    it('also of a batch, of which the first go', async () => {
      const { receiver, add } = await tests.rig();
      const nodes = [await add(), await add()];
      await day(nodes[0]!, 25);
      await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      await nodes[1]!.engine.catchUp();
      const batch = Array.from({ length: 20 }, () => ({ type: 'a', data: '{}', value: {} }));
      await Promise.all(nodes.map(({ engine }) => engine.publishBatch('default', batch)));
      expect(await becomes(() => isQuiet(nodes[0]!.engine), 5_000)).toBe(true);
      expect(await counts(nodes[0]!.engine)).toMatchObject({ delivered: 25, held: 15 });
      const today = async () => (await nodes[1]!.engine.tenants.usage('default')).eventsToday;
      expect(await today()).toMatchObject({ used: 40, limit: 25, held: true });
    });

    it('also with a node that starts later, and where the limit begins in the middle of the day', async () => {
      const { receiver, add } = await tests.rig();
      const first = await add();
      await first.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
      for (let i = 0; i < 10; i++) await publish(first.engine, 'a');
      await day(first, 25);
      for (let i = 0; i < 5; i++) await publish(first.engine, 'a');
      const second = await add();
      const today = async () => (await second.engine.tenants.usage('default')).eventsToday;
      expect(await becomes(async () => (await today()).used === 15, 2 * NEWS_MS)).toBe(true);
      for (let i = 0; i < 20; i++) await publish(second.engine, 'a');
      await becomes(() => isQuiet(first.engine), 5_000);
      expect(await counts(first.engine)).toMatchObject({ delivered: 25, held: 10 });
      await first.engine.plans.put({ name: 'small', eventsPerDay: 1_000 });
      expect(await becomes(async () => (await counts(first.engine)).delivered === 35, 3_000)).toBe(true);
    });
  });

  describe('lose a node', () => {
    it('that stops in order: what waited for it is sent by the other, once', async () => {
      const { receiver, add } = await tests.rig();
      const [a, b] = [await add(), await add()];
      const release = hang(receiver, '/hook');
      await a.engine.endpoints.create('default', { url: receiver.url(), events: ['*'], concurrency: 4 });
      await b.engine.catchUp();
      for (let i = 0; i < 20; i++) await publish(a.engine, 'a');
      await receiver.waitForCount(2);
      const stopping = a.stop();
      release.all();
      await stopping;
      await receiver.waitForCount(20);
      expect(await becomes(() => isQuiet(b.engine), 5_000)).toBe(true);
      expect(receiver.requests).toHaveLength(20);
    });
  });
});
