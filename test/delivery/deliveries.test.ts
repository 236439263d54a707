import { afterEach, describe, expect, it, vi } from 'vitest';
import { deliveryRequest } from '../../src/delivery/delivery-request.ts';
import { Outcomes } from '../../src/delivery/outcomes.ts';
import { PosthornError } from '../../src/errors.ts';
import { attemptId } from '../../src/model/id.ts';
import { becomes, cleanUp, counts, hang, isQuiet, publish, rig, type Rig } from '../attack/engine-rig.ts';

afterEach(async () => {
  vi.restoreAllMocks();
  await cleanUp();
});

/** An endpoint and one event for it, of which `/hook` makes what the test says. */
async function one(r: Rig, more: object = {}) {
  const { endpoint } = await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'], ...more });
  await publish(r.engine, 'a');
  const [row] = await r.engine.deliveries.list({ tenantId: 'default' }, { limit: 1, before: null });
  return { endpoint, id: row!.id };
}

describe('sending now', () => {
  it('answers with the attempt that was made for it, when it is durable', async () => {
    const r = await rig();
    r.receiver.answer('/hook', 500);
    const { id } = await one(r, { retryScheduleMs: [] });
    expect(await becomes(async () => (await counts(r.engine)).dead_letter === 1, 2000)).toBe(true);
    r.receiver.answer('/hook', 202);
    const { delivery, attempt } = await r.engine.deliveries.sendNow('default', `whd_${id}`);
    expect(attempt).toMatchObject({ number: 2, succeeded: true, statusCode: 202 });
    expect(delivery).toMatchObject({ status: 'delivered', attemptCount: 2 });
    expect((await r.engine.deliveries.get('default', id)).attempts).toHaveLength(2);
    const again = await r.engine.deliveries.sendNow('default', attemptId(id, 1));
    expect(again.attempt).toMatchObject({ number: 3 });
  });

  it('of a failure that is retried later answers with that failure', async () => {
    const r = await rig();
    r.receiver.answer('/hook', 503);
    const { id } = await one(r, { retryScheduleMs: [3_600_000, 3_600_000] });
    expect(await becomes(async () => (await counts(r.engine)).pending === 1, 2000)).toBe(true);
    r.receiver.answer('/hook', 500);
    const { delivery, attempt } = await r.engine.deliveries.sendNow('default', id);
    expect(attempt).toMatchObject({ number: 2, succeeded: false, statusCode: 500 });
    expect(delivery.status).toBe('pending');
  });

  it('of one that is on the wire waits for that attempt, and answers with the one after it', async () => {
    const r = await rig();
    const gate = hang(r.receiver, '/hook');
    const { id } = await one(r);
    await r.receiver.waitForCount(1);
    const sending = r.engine.deliveries.sendNow('default', id);
    gate.one();
    await r.receiver.waitForCount(2);
    gate.all();
    expect((await sending).attempt).toMatchObject({ number: 2, succeeded: true });
  });

  it('twice at once is two attempts, and each answers', async () => {
    const r = await rig();
    const { id } = await one(r);
    expect(await becomes(async () => (await counts(r.engine)).delivered === 1, 2000)).toBe(true);
    const both = await Promise.all([1, 2].map(() => r.engine.deliveries.sendNow('default', id)));
    for (const { attempt } of both) expect(attempt?.succeeded).toBe(true);
  });

  it('gives up after the timeout and five seconds, and leaves nobody waiting', { timeout: 20_000 }, async () => {
    const watch = vi.spyOn(Outcomes.prototype, 'watch');
    const r = await rig();
    r.receiver.answer('/hook', (_, response) => response.writeHead(429, { 'retry-after': '600' }).end());
    const { endpoint, id } = await one(r, { timeoutMs: 500 });
    expect(await becomes(async () => (await counts(r.engine)).pending === 1, 5000)).toBe(true);
    const startedAt = performance.now();
    const { attempt, delivery } = await r.engine.deliveries.sendNow('default', id); // its line is paused
    expect(attempt).toBeNull();
    expect(delivery.status).toBe('pending');
    expect(performance.now() - startedAt).toBeGreaterThan(5000);
    expect((watch.mock.contexts[0] as Outcomes).size).toBe(0);
    await r.engine.endpoints.disable('default', endpoint.id);
    await expect(r.engine.deliveries.sendNow('default', id)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect((watch.mock.contexts[0] as Outcomes).size).toBe(0);
  });

  it('does not hold up the end', async () => {
    const r = await rig();
    hang(r.receiver, '/hook');
    const { id } = await one(r);
    await r.receiver.waitForCount(1);
    const sending = r.engine.deliveries.sendNow('default', id);
    await r.engine.stop(0);
    expect((await sending).attempt).toBeNull();
  });
});

describe('the request of a delivery', () => {
  it('is what its receiver gets, without the signatures, also when the endpoint is deleted', async () => {
    const r = await rig();
    const { endpoint, id } = await one(r, { wireFormat: 'grantex', headers: { 'X-Mine': 'yes' } });
    const got = await r.receiver.waitFor(() => true);
    expect(await becomes(async () => (await counts(r.engine)).delivered === 1, 2000)).toBe(true);
    await r.engine.endpoints.rotateSecret('default', endpoint.id);
    const check = async (): Promise<void> => {
      const { delivery, endpoint: present, event, attempts } = await r.engine.deliveries.get('default', id);
      const { url, headers, body } = deliveryRequest(delivery, present!, event, attempts[0]!.startedAt);
      expect([url, body]).toEqual([r.receiver.url(), got.body]);
      expect(Object.keys(headers).filter((name) => /signature/i.test(name))).toEqual([]);
      expect(headers['X-Mine']).toBe('yes');
      for (const [name, value] of Object.entries(headers)) expect(got.headers[name.toLowerCase()], name).toBe(value);
    };
    await check();
    await r.engine.endpoints.remove('default', endpoint.id);
    await check();
  });
});

describe('attempts', () => {
  it('are listed newest first, counted where they failed, and the last of each delivery is found', async () => {
    const r = await rig();
    r.receiver.answer('/hook', 500);
    const { endpoint, id } = await one(r, { retryScheduleMs: [10] });
    expect(await becomes(async () => (await counts(r.engine)).dead_letter === 1, 2000)).toBe(true);
    const { deliveries } = r.engine;
    const rows = await deliveries.list({ tenantId: 'default' }, { limit: 10, before: null, withLastAttempt: true });
    expect(rows).toMatchObject([{ id, lastAttempt: { number: 2 } }]);
    const listed = await deliveries.listAttempts(
      { tenantId: 'default', endpointId: endpoint.id },
      { limit: 10, offset: 0 },
    );
    expect(listed.map(({ number, delivery }) => [number, delivery.id])).toEqual([
      [2, id],
      [1, id],
    ]);
    expect(await deliveries.countFailures('default', endpoint.id, 0)).toBe(2);
    expect(await deliveries.tenantOf(`att_${attemptId(id, 2)}`)).toBe('default');
    expect(await deliveries.tenantOf('whd_01JXYZ0000ABCDEFGHJKMNPQ00')).toBeNull();
    expect(await deliveries.tenantOf('nonsense')).toBeNull();
  });
});

describe('an error that is not the store’s', () => {
  it('ends the one bulk redelivery that met it, and not those behind it', async () => {
    let isBroken = true;
    const r = await rig({}, (real) => ({
      ...real,
      redeliver: (request) => (isBroken ? Promise.reject(new TypeError('a mistake')) : real.redeliver(request)),
    }));
    r.receiver.answer('/hook', 500);
    await one(r, { retryScheduleMs: [] });
    expect(await becomes(async () => (await counts(r.engine)).dead_letter === 1, 2000)).toBe(true);
    const all = () => r.engine.deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: false, ratePerSecond: null });
    await all();
    await new Promise((resolve) => setTimeout(resolve, 50));
    isBroken = false;
    r.receiver.answer('/hook', 200);
    await all();
    expect(await becomes(async () => (await counts(r.engine)).delivered === 1, 500)).toBe(true);
  });

  it('ends the one move of deliveries that met it, which the next start makes up for', async () => {
    let isBroken = true;
    const r = await rig({}, (real) => ({
      ...real,
      moveDeliveries: (request) =>
        isBroken ? Promise.reject(new TypeError('a mistake')) : real.moveDeliveries(request),
    }));
    const make = async (path: string) => {
      const made = { url: r.receiver.url(path), events: ['*'], isActive: false };
      return (await r.engine.endpoints.create('default', made)).endpoint.id;
    };
    const [first, second] = [await make('/1'), await make('/2')];
    await publish(r.engine, 'a');
    await r.engine.endpoints.enable('default', first);
    await new Promise((resolve) => setTimeout(resolve, 50));
    isBroken = false;
    await r.engine.endpoints.enable('default', second);
    expect(await becomes(() => r.receiver.requests.length === 1, 2000)).toBe(true);
    await r.restart();
    expect(await becomes(() => r.receiver.requests.length === 2, 2000)).toBe(true);
  });
});

describe('changes whose answer was lost with the writer', () => {
  it('are in force once the store has begun a new session', async () => {
    let isLost = false;
    const lost = async (work: Promise<unknown>): Promise<never> => {
      await work;
      throw new PosthornError('STORE_UNAVAILABLE', 'the writer ended behind its commit');
    };
    const r = await rig({}, (real) => ({
      ...real,
      endpoints: {
        ...real.endpoints,
        create: (...args) => (isLost ? lost(real.endpoints.create(...args)) : real.endpoints.create(...args)),
        update: (...args) => (isLost ? lost(real.endpoints.update(...args)) : real.endpoints.update(...args)),
        remove: (...args) => (isLost ? lost(real.endpoints.remove(...args)) : real.endpoints.remove(...args)),
      },
    }));
    const { endpoints } = r.engine;
    const make = (path: string) => endpoints.create('default', { url: r.receiver.url(path), events: ['*'] });
    const [moved, gone, same] = [await make('/moved'), await make('/gone'), await make('/same')];
    isLost = true;
    await expect(endpoints.update('default', moved.endpoint.id, { url: r.receiver.url('/there') })).rejects.toThrow();
    await expect(endpoints.remove('default', gone.endpoint.id)).rejects.toThrow();
    await expect(make('/made')).rejects.toThrow();
    isLost = false;
    r.engine.leasesLost();
    expect(await becomes(() => endpoints.list('default').some((one) => one.url.endsWith('/made')), 2000)).toBe(true);
    await publish(r.engine, 'a');
    expect(await becomes(() => isQuiet(r.engine), 2000)).toBe(true);
    expect(r.receiver.requests.map(({ path }) => path).sort()).toEqual(['/made', '/same', '/there']);
    expect(endpoints.list('default')).toHaveLength(3);
    expect(endpoints.get('default', same.endpoint.id).url).toBe(r.receiver.url('/same'));
  });
});
