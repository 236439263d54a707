import { afterEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/delivery/engine.ts';
import { planFeatures, type PlanFeature } from '../../src/model/tenant.ts';
import { becomes, cleanUp, counts, publish, rig } from '../attack/engine-rig.ts';
import { clock } from './clock.ts';

afterEach(cleanUp);

const url = 'http://127.0.0.1:9/hook';
const some = { url, events: ['*'] };

async function withFeatures(engine: Engine, features: readonly PlanFeature[]): Promise<void> {
  await engine.plans.put({ name: 'plan', features });
  await engine.tenants.update('default', { plan: 'plan' });
}

describe('plans', () => {
  it('are listed by name, replaced as a whole, and outlive a start', async () => {
    const r = await rig();
    await r.engine.plans.put({ name: 'pro', endpointLimit: 5, eventsPerDay: 100, retentionDays: 7, features: [] });
    await r.engine.plans.put({ name: 'free' });
    const first = r.engine.plans.get('pro');
    await r.engine.plans.put({ name: 'pro', endpointLimit: 6 });
    await r.restart();
    expect(r.engine.plans.list().map(({ name }) => name)).toEqual(['free', 'pro']);
    expect(r.engine.plans.get('pro')).toMatchObject({
      endpointLimit: 6,
      eventsPerDay: null,
      retentionDays: null,
      features: planFeatures,
      isDefault: false,
      createdAt: first.createdAt,
    });
  });

  it.each([
    [{ name: 'Pro' }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'a'.repeat(65) }, 'name'],
    [{ name: '-a' }, 'name'],
    [{ name: 'a', endpointLimit: -1 }, 'endpointLimit'],
    [{ name: 'a', endpointLimit: 1.5 }, 'endpointLimit'],
    [{ name: 'a', eventsPerDay: 1_000_000_001 }, 'eventsPerDay'],
    [{ name: 'a', retentionDays: 36_501 }, 'retentionDays'],
    [{ name: 'a', features: ['webhook' as PlanFeature] }, 'features'],
  ])('that make no sense are refused: %j', async (input, field) => {
    const { engine } = await rig();
    await expect((async () => engine.plans.put(input))()).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      fields: [{ field }],
    });
  });

  it('have one default at most, which new tenants get unless they are given another one, or none', async () => {
    const r = await rig();
    await Promise.all(['a', 'b', 'c'].map((name) => r.engine.plans.put({ name, isDefault: true })));
    expect(r.engine.plans.list().filter(({ isDefault }) => isDefault)).toMatchObject([{ name: 'c' }]);
    await r.restart();
    expect(r.engine.plans.list().filter(({ isDefault }) => isDefault)).toMatchObject([{ name: 'c' }]);
    const { tenants } = r.engine;
    expect((await tenants.create({ id: 'by-default' })).plan).toBe('c');
    expect((await tenants.create({ id: 'named', plan: 'a' })).plan).toBe('a');
    expect((await tenants.create({ id: 'free', plan: null })).plan).toBeNull();
    await expect(tenants.create({ id: 'wrong', plan: 'd' })).rejects.toThrow(
      'plan: no plan has this name; there are a, b, c',
    );
    await expect(tenants.update('free', { plan: 'd' })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    expect(tenants.find('wrong')).toBeNull();
  });

  it('cannot be removed while a tenant has them, also where it gets them at that moment', async () => {
    const { engine } = await rig();
    await engine.plans.put({ name: 'a' });
    const creating = engine.tenants.create({ id: 'x', plan: 'a' });
    await expect(engine.plans.remove('a')).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await creating;
    await expect(engine.plans.remove('a')).rejects.toThrow('The tenant "x" has the plan "a".');
    await engine.tenants.update('x', { plan: null });
    await engine.plans.remove('a');
    await expect(engine.plans.remove('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(() => engine.plans.get('a')).toThrow('There is no plan "a" here.');
  });
});

describe('the endpoint limit', () => {
  it('holds under creations at once, names plan and limit, and does not hinder reading, deleting and repeats', async () => {
    const { engine } = await rig();
    await engine.plans.put({ name: 'five', endpointLimit: 5 });
    await engine.tenants.update('default', { plan: 'five' });
    const made = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => engine.endpoints.create('default', some, { idempotencyKey: `k${i}` })),
    );
    const refused = made.filter((one) => one.status === 'rejected');
    expect(refused).toHaveLength(15);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'PLAN_LIMIT_EXCEEDED', status: 402 });
    expect(String(refused[0]!.reason)).toContain('The plan "five" allows 5 webhooks');
    expect((await engine.tenants.usage('default')).endpoints).toEqual({ used: 5, limit: 5 });
    const key = `k${made.findIndex(({ status }) => status === 'fulfilled')}`;
    expect((await engine.endpoints.create('default', some, { idempotencyKey: key })).replayed).toBe(true);
    await expect(engine.endpoints.import('default', some, { dryRun: true })).rejects.toMatchObject({
      code: 'PLAN_LIMIT_EXCEEDED',
    });
    await engine.endpoints.remove('default', engine.endpoints.list('default')[0]!.id);
    await engine.endpoints.import('default', some, { dryRun: false });
    await expect(engine.endpoints.import('default', some, { dryRun: false })).rejects.toMatchObject({
      code: 'PLAN_LIMIT_EXCEEDED',
    });
    await engine.plans.put({ name: 'five', endpointLimit: 6 });
    await engine.endpoints.create('default', some);
  });
});

describe('the features of a plan', () => {
  it('without "webhooks" leave reading, disabling, rotating and deleting, and nothing else', async () => {
    const { engine, receiver } = await rig();
    receiver.answer('/hook', 500);
    const at = { url: receiver.url(), events: ['*'], retryScheduleMs: [] };
    const { endpoint } = await engine.endpoints.create('default', at);
    await publish(engine, 'a');
    await becomes(async () => (await counts(engine)).dead_letter === 1, 3000);
    const [row] = await engine.deliveries.list({ tenantId: 'default' }, { limit: 1, before: null });
    await withFeatures(engine, ['wire_formats', 'replay']);
    const { endpoints, deliveries, events } = engine;
    const refused: (() => Promise<unknown>)[] = [
      () => endpoints.create('default', some),
      () => endpoints.import('default', some, { dryRun: true }),
      () => endpoints.update('default', endpoint.id, { description: 'x' }),
      () => endpoints.update('default', endpoint.id, { isActive: true }),
      () => endpoints.update('default', endpoint.id, { isActive: false, description: 'x' }),
      () => endpoints.enable('default', endpoint.id),
      () => endpoints.test('default', endpoint.id),
      () => endpoints.replay('default', endpoint.id),
      () => deliveries.redeliver('default', row!.id),
      () => deliveries.sendNow('default', row!.id),
      () => deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: false, ratePerSecond: null }),
      () => events.replay('default', row!.eventId),
    ];
    for (const call of refused) {
      await expect(call(), String(call)).rejects.toMatchObject({ code: 'PLAN_FEATURE_REQUIRED', status: 402 });
    }
    await expect(endpoints.create('default', some)).rejects.toThrow('The plan "plan" does not include "webhooks"');
    expect(endpoints.list('default')).toHaveLength(1);
    expect(await deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: true, ratePerSecond: null })).toEqual({
      deliveries: 1,
    });
    expect((await endpoints.rotateSecret('default', endpoint.id)).secret).not.toBe(endpoint.secrets[0]!.value);
    expect((await endpoints.update('default', endpoint.id, { isActive: false })).isActive).toBe(false);
    expect((await endpoints.disable('default', endpoint.id)).isActive).toBe(false);
    await endpoints.remove('default', endpoint.id);
  });

  it('without "wire_formats" give endpoints the default format only', async () => {
    const { engine } = await rig();
    await withFeatures(engine, ['webhooks']);
    const { endpoints } = engine;
    const chosen = { ...some, wireFormat: 'grantex' };
    await expect(endpoints.create('default', chosen)).rejects.toThrow('does not include "wire_formats"');
    await expect(endpoints.import('default', chosen, { dryRun: true })).rejects.toThrow('"wire_formats"');
    const { endpoint } = await endpoints.create('default', some, { wireFormat: 'gravv' });
    expect(endpoint.wireFormat).toBe('gravv');
    await expect(endpoints.update('default', endpoint.id, { wireFormat: 'gravv' })).rejects.toThrow('"wire_formats"');
    await endpoints.update('default', endpoint.id, { url });
  });

  it('without "replay" leave redelivering one by one', async () => {
    const { engine, receiver } = await rig();
    const { endpoint } = await engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
    await publish(engine, 'a');
    await becomes(async () => (await counts(engine)).delivered === 1, 3000);
    const [row] = await engine.deliveries.list({ tenantId: 'default' }, { limit: 1, before: null });
    await withFeatures(engine, ['webhooks']);
    const without = { code: 'PLAN_FEATURE_REQUIRED' };
    await expect(engine.events.replay('default', row!.eventId)).rejects.toMatchObject(without);
    await expect(engine.endpoints.replay('default', endpoint.id)).rejects.toMatchObject(without);
    const all = engine.deliveries.redeliverAll({ tenantId: 'default' }, { dryRun: false, ratePerSecond: null });
    await expect(all).rejects.toMatchObject(without);
    await engine.deliveries.redeliver('default', row!.id);
    await receiver.waitForCount(2);
  });
});

describe('the retention of a plan', () => {
  it('made longer while old events are being deleted keeps the rest of them', async () => {
    const time = clock();
    let slices = 0;
    const { engine } = await rig({ now: time.now }, (real) => ({
      ...real,
      async prune(request) {
        const deleted = await real.prune(request);
        if (++slices === 1) await engine.plans.put({ name: 'short', retentionDays: 0 });
        return deleted;
      },
    }));
    await engine.plans.put({ name: 'short', retentionDays: 1 });
    await engine.tenants.create({ id: 'short', plan: 'short' });
    const event = { type: 'a', data: '{}', value: {} };
    await engine.publishBatch(
      'short',
      Array.from({ length: 500 }, () => event),
    );
    time.nextDay();
    time.nextDay();
    expect(await engine.sweep()).toBe(200);
    const left = await engine.events.list({ tenantId: 'short' }, { limit: 1000, before: null });
    expect(left).toHaveLength(300);
  });

  it('goes before that of the instance, longer, shorter or for ever', async () => {
    const time = clock();
    const { engine, receiver } = await rig({ retentionDays: 3, now: time.now });
    for (const [plan, retentionDays] of [
      ['short', 1],
      ['long', 10],
      ['ever', 0],
    ] as const) {
      await engine.plans.put({ name: plan, retentionDays });
      await engine.tenants.create({ id: plan, plan });
      expect((await engine.tenants.usage(plan)).retentionDays).toBe(retentionDays);
    }
    expect((await engine.tenants.usage('default')).retentionDays).toBe(3);
    const all = ['short', 'default', 'long', 'ever'];
    for (const id of all) {
      await engine.endpoints.create(id, { url: receiver.url(), events: ['*'] });
      await publish(engine, 'a', id);
    }
    await receiver.waitForCount(4);
    for (const id of all)
      expect(await becomes(async () => (await counts(engine, id)).delivered === 1, 2000)).toBe(true);
    const left = async (): Promise<string[]> => {
      const found = await Promise.all(
        all.map(async (id) =>
          (await engine.events.list({ tenantId: id }, { limit: 5, before: null })).length ? id : [],
        ),
      );
      return found.flat();
    };
    let daysGone = 0;
    for (const [day, expected] of [
      [0, ['short', 'default', 'long', 'ever']],
      [2, ['default', 'long', 'ever']],
      [4, ['long', 'ever']],
      [11, ['ever']],
      [400, ['ever']],
    ] as const) {
      for (; daysGone < day; daysGone++) time.nextDay();
      await engine.sweep();
      expect(await left(), `day ${day}`).toEqual(expected);
    }
  });
});
