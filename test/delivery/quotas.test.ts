import { afterEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/delivery/engine.ts';
import { PosthornError } from '../../src/errors.ts';
import { becomes, cleanUp, counts, publish, rig, seeded, type Rig } from '../attack/engine-rig.ts';
import { clock } from './clock.ts';

afterEach(cleanUp);

const MIDNIGHT_IN_MS = 1500;
const JUST_BEFORE_MIDNIGHT = 86_400_000 - MIDNIGHT_IN_MS;

/** Gives the default tenant a plan of so many events a day. */
async function allow(engine: Engine, eventsPerDay: number | null): Promise<void> {
  await engine.plans.put({ name: 'small', eventsPerDay });
  await engine.tenants.update('default', { plan: 'small' });
}

const today = async (engine: Engine) => (await engine.tenants.usage('default')).eventsToday;

const held = (engine: Engine) =>
  engine.deliveries.list({ tenantId: 'default', status: ['held'] }, { limit: 100, before: null });

/** Waits until so many have arrived, and a little longer, so that one too many would show. */
async function arrived({ receiver, engine }: Rig, count: number): Promise<number> {
  await becomes(() => receiver.requests.length >= count, 4000);
  await becomes(async () => (await counts(engine)).sending === 0, 2000);
  return receiver.requests.length;
}

describe('a plan with so many events a day', () => {
  it('holds what comes beyond them, says so, and lets it go at the next UTC midnight by itself', async () => {
    const time = clock(JUST_BEFORE_MIDNIGHT);
    const startedAt = time.now();
    const r = await rig({ now: time.now });
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 2);
    const before = await today(r.engine);
    const published = await Promise.all([1, 2, 3, 4, 5].map(() => publish(r.engine, 'a')));
    expect(published.map(({ deliveries }) => deliveries)).toEqual([1, 1, 1, 1, 1]);
    expect((await held(r.engine)).map(({ reason }) => reason)).toEqual(['over_quota', 'over_quota', 'over_quota']);
    expect(before).toMatchObject({ used: 0, limit: 2, held: false });
    expect(before.resetsAt % 86_400_000).toBe(0);
    expect(before.resetsAt - startedAt).toBeLessThanOrEqual(MIDNIGHT_IN_MS);
    expect(await arrived(r, 5)).toBe(5);
    expect(await today(r.engine)).toMatchObject({ used: 0, held: false, resetsAt: before.resetsAt + 86_400_000 });
  });

  it('counts each event of a batch, and neither repeats nor what was not stored', async () => {
    const time = clock();
    let isAway = false;
    const { engine } = await rig({ now: time.now }, (real) => ({
      ...real,
      accept: (entries) => (isAway ? Promise.reject(new PosthornError('STORE_UNAVAILABLE')) : real.accept(entries)),
    }));
    await allow(engine, 10);
    const event = { type: 'a', data: '{}', value: {} };
    await engine.publishBatch('default', [event, event, { ...event, id: 'mine' }]);
    expect((await today(engine)).used).toBe(3);
    await engine.publish('default', { ...event, id: 'mine' });
    await expect(engine.publish('default', { ...event, type: 'b', id: 'mine' })).rejects.toThrow(PosthornError);
    await expect(engine.publishBatch('default', [event, { ...event, type: 'b', id: 'mine' }])).rejects.toThrow();
    isAway = true;
    await expect(engine.publishBatch('default', [event, event])).rejects.toThrow(PosthornError);
    expect(await today(engine)).toMatchObject({ used: 3, held: false });
  });

  it('sends what came while a repeat stood in its place', async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 2);
    const first = { type: 'a', data: '{}', value: {}, id: 'first' };
    await r.engine.publish('default', first);
    await Promise.all([r.engine.publish('default', first), publish(r.engine, 'b')]);
    expect(await arrived(r, 2)).toBe(2);
    expect(await held(r.engine)).toEqual([]);
    await publish(r.engine, 'c');
    expect(await today(r.engine)).toMatchObject({ used: 3, held: true });
    expect(await held(r.engine)).toHaveLength(1);
  });

  it('is in force at once for every tenant that has it, and over what came in before', async () => {
    const time = clock();
    const { engine } = await rig({ now: time.now });
    for (const id of ['a', 'b']) await engine.tenants.create({ id, plan: null });
    await engine.plans.put({ name: 'small' });
    for (const id of ['a', 'b']) {
      await engine.tenants.update(id, { plan: 'small' });
      await engine.endpoints.create(id, { url: 'http://127.0.0.1:9', events: ['*'] });
      await publish(engine, 'x', id);
    }
    await engine.plans.put({ name: 'small', eventsPerDay: 1 });
    for (const id of ['a', 'b']) {
      await publish(engine, 'x', id);
      expect((await engine.tenants.usage(id)).eventsToday).toMatchObject({ used: 2, limit: 1, held: true });
      expect((await counts(engine, id)).held).toBe(1);
    }
  });

  it.each<[string, (engine: Engine) => Promise<unknown>]>([
    ['raised', (engine) => engine.plans.put({ name: 'small', eventsPerDay: 3 })],
    ['without a limit', (engine) => engine.plans.put({ name: 'small' })],
    ['taken away', (engine) => engine.tenants.update('default', { plan: null })],
  ])('lets what is held go when it is %s', async (_, change) => {
    const time = clock();
    const r = await rig({ now: time.now });
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 1);
    for (let i = 0; i < 3; i++) await publish(r.engine, 'a');
    expect(await arrived(r, 1)).toBe(1);
    await change(r.engine);
    expect(await arrived(r, 3)).toBe(3);
  });

  it('holds on where it is raised to less than came in', async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 1);
    for (let i = 0; i < 4; i++) await publish(r.engine, 'a');
    await r.engine.plans.put({ name: 'small', eventsPerDay: 3 });
    expect(await arrived(r, 1)).toBe(1);
    expect((await held(r.engine)).length).toBe(3);
  });

  it('is not got round by disabling and enabling, nor by redelivery and replay, in bulk or one by one', async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    const { engine } = r;
    const { endpoint } = await engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(engine, 1);
    for (let i = 0; i < 2; i++) await publish(engine, 'a');
    await engine.endpoints.disable('default', endpoint.id);
    for (let i = 0; i < 2; i++) await publish(engine, 'a');
    await engine.endpoints.enable('default', endpoint.id);
    await engine.endpoints.replay('default', endpoint.id);
    await engine.deliveries.redeliverAll(
      { tenantId: 'default', status: ['held'] },
      { dryRun: false, ratePerSecond: null },
    );
    expect(await arrived(r, 1)).toBe(1);
    const rows = await held(engine);
    expect(rows).toHaveLength(3);
    const one = `whd_${rows[0]!.id}`;
    for (const send of [engine.deliveries.redeliver('default', one), engine.deliveries.sendNow('default', one)]) {
      await expect(send).rejects.toMatchObject({ code: 'PLAN_LIMIT_EXCEEDED' });
    }
    await engine.events.replay('default', `evt_${rows[1]!.eventId}`);
    await engine.endpoints.create('default', { url: r.receiver.url('/later'), events: ['*'] });
    await engine.events.replay('default', `evt_${rows[1]!.eventId}`);
    expect(await held(engine)).toHaveLength(4);
    expect(await arrived(r, 1)).toBe(1);
    time.nextDay();
    await publish(engine, 'a');
    expect(await arrived(r, 7)).toBe(7);
    expect(await counts(engine)).toMatchObject({ held: 0, delivered: 7 });
  });

  it('leaves to a disabled endpoint what is its own: its deliveries wait for it beyond midnight', async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    const { engine } = r;
    const { endpoint } = await engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(engine, 1);
    for (let i = 0; i < 3; i++) await publish(engine, 'a');
    expect(await arrived(r, 1)).toBe(1);
    await engine.endpoints.disable('default', endpoint.id);
    time.nextDay();
    await publish(engine, 'a');
    expect(await arrived(r, 1)).toBe(1);
    await engine.endpoints.enable('default', endpoint.id);
    expect(await arrived(r, 4)).toBe(4);
  });
});

describe('a start', () => {
  it('goes on counting where the last one stopped, and lets nothing go that is held for today', async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 2);
    for (let i = 0; i < 3; i++) await publish(r.engine, 'a');
    expect(await arrived(r, 2)).toBe(2);
    await r.restart();
    expect(await today(r.engine)).toMatchObject({ used: 3, held: true });
    await publish(r.engine, 'a');
    expect(await arrived(r, 2)).toBe(2);
    expect((await counts(r.engine)).held).toBe(2);
    await r.engine.plans.put({ name: 'small', eventsPerDay: 4 });
    expect(await arrived(r, 4)).toBe(4);
  });

  it('on the next day sends what was held, though today is used up by then', async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 2);
    for (let i = 0; i < 5; i++) await publish(r.engine, 'a');
    expect(await arrived(r, 2)).toBe(2);
    // The process ends between the new day's first events and the release of yesterday's.
    await r.store.plans.put({ ...r.engine.plans.get('small'), eventsPerDay: null });
    time.nextDay();
    await r.restart();
    expect(await arrived(r, 5)).toBe(5);
  });

  it('sends what is left of yesterday, and only that, where today is over already', async () => {
    const time = clock();
    let isAway = false;
    const r = await rig({ now: time.now }, (real) => ({
      ...real,
      moveDeliveries: (request) =>
        isAway ? Promise.reject(new PosthornError('STORE_UNAVAILABLE')) : real.moveDeliveries(request),
    }));
    await r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['*'] });
    await allow(r.engine, 2);
    for (let i = 0; i < 5; i++) await publish(r.engine, 'yesterday');
    expect(await arrived(r, 2)).toBe(2);
    isAway = true;
    time.nextDay();
    for (let i = 0; i < 4; i++) await publish(r.engine, 'today');
    expect(await arrived(r, 4)).toBe(4);
    isAway = false;
    await r.restart();
    expect(await arrived(r, 7)).toBe(7);
    expect((await held(r.engine)).map(({ eventType }) => eventType)).toEqual(['today', 'today']);
  });
});

describe('a fan-out of several slices', () => {
  it('beyond the quota is held in all of them, and goes on the next day', { timeout: 30_000 }, async () => {
    const time = clock();
    const r = await rig({ now: time.now });
    const make = () => r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['a'] });
    await Promise.all(Array.from({ length: 1500 }, make));
    await allow(r.engine, 0);
    await publish(r.engine, 'a');
    expect(await becomes(async () => (await counts(r.engine)).held === 1500, 5000)).toBe(true);
    expect(r.receiver.requests).toHaveLength(0);
    await r.restart();
    expect((await counts(r.engine)).held).toBe(1500);
    time.nextDay();
    await publish(r.engine, 'of_nobody');
    expect(await becomes(() => r.receiver.requests.length === 1500, 15_000)).toBe(true);
  });

  it('that a crash cut off is held in the rest too', { timeout: 30_000 }, async () => {
    const time = clock();
    let isCut = true;
    const r = await rig({ now: time.now }, (real) => ({
      ...real,
      extendFanOut: (slice) => (isCut ? Promise.reject(new Error('a mistake of ours')) : real.extendFanOut(slice)),
    }));
    const make = () => r.engine.endpoints.create('default', { url: r.receiver.url(), events: ['a'] });
    await Promise.all(Array.from({ length: 1200 }, make));
    await allow(r.engine, 0);
    await publish(r.engine, 'a');
    expect((await counts(r.engine)).held).toBe(1000);
    isCut = false;
    await r.restart();
    expect(await becomes(async () => (await counts(r.engine)).held === 1200, 5000)).toBe(true);
    expect(r.receiver.requests).toHaveLength(0);
  });
});

describe('whatever happens', () => {
  it('nothing accepted is lost or stuck over quotas, days, changes and starts', { timeout: 60_000 }, async () => {
    const random = seeded(20_261_121);
    const below = (limit: number): number => Math.floor(random() * limit);
    const time = clock();
    const r = await rig({ now: time.now });
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { endpoint } = await r.engine.endpoints.create('default', { url: r.receiver.url(`/${i}`), events: ['*'] });
      ids.push(endpoint.id);
    }
    await allow(r.engine, 5);
    const accepted = new Set<string>();
    for (let step = 0; step < 120; step++) {
      const roll = below(12);
      const id = ids[below(ids.length)]!;
      if (roll < 6) for (let i = below(6); i >= 0; i--) accepted.add((await publish(r.engine, 'a')).id);
      else if (roll === 6) time.nextDay();
      else if (roll === 7) await r.restart();
      else if (roll === 8) await r.engine.endpoints.disable('default', id);
      else if (roll === 9) await r.engine.endpoints.enable('default', id);
      else if (roll === 10) await r.engine.plans.put({ name: 'small', eventsPerDay: [0, 3, 5, 20, null][below(5)]! });
      else await r.engine.tenants.update('default', { plan: below(3) === 0 ? null : 'small' });
    }
    // Whatever the last plan was: the next day must let everything go that the day before held.
    await allow(r.engine, 1);
    for (const id of ids) await r.engine.endpoints.enable('default', id);
    time.nextDay();
    accepted.add((await publish(r.engine, 'a')).id);
    expect(await becomes(async () => (await counts(r.engine)).delivered === accepted.size * 3, 15_000)).toBe(true);
    const copies = new Map<string, Set<string>>();
    for (const { path, headers } of r.receiver.requests) {
      const id = String(headers['webhook-id']);
      copies.set(id, (copies.get(id) ?? new Set()).add(path));
    }
    expect([...accepted].filter((id) => copies.get(id)?.size !== 3)).toEqual([]);
    expect(accepted.size).toBeGreaterThan(100);
    expect(r.receiver.requests).toHaveLength(accepted.size * 3);
  });
});
