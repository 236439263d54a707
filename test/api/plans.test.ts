import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

const put = (name: string, body: object) => api.call('PUT', `/v1/plans/${name}`, { body });
const url = 'http://127.0.0.1:9/hook';

/** A tenant with a plan, and an owner's key for it. */
async function tenantOn(plan: string, id: string): Promise<string> {
  await api.call('POST', '/v1/tenants', { body: { id, plan } });
  return api.newKey({ role: 'owner', tenantId: id });
}

describe('plans', () => {
  it('are made, replaced, shown, listed by name in pages, and deleted', async () => {
    const pro = await put('pro', { endpointLimit: 20, eventsPerDay: 1000, retentionDays: 7, features: ['webhooks'] });
    expect(pro).toMatchObject({
      status: 200,
      body: {
        name: 'pro',
        endpointLimit: 20,
        eventsPerDay: 1000,
        retentionDays: 7,
        features: ['webhooks'],
        isDefault: false,
      },
    });
    const open = await put('open', {});
    expect(open.body).toMatchObject({
      endpointLimit: null,
      eventsPerDay: null,
      retentionDays: null,
      features: ['webhooks', 'wire_formats', 'replay'],
    });
    expect((await api.call('GET', '/v1/plans/pro')).body).toEqual(pro.body);
    const first = await api.call('GET', '/v1/plans?limit=1');
    const rest = await api.call('GET', `/v1/plans?limit=1&cursor=${first.body.nextCursor}`);
    expect([...first.body.plans, ...rest.body.plans].map(({ name }) => name)).toEqual(['open', 'pro']);
    const replaced = await put('pro', { endpointLimit: 5 });
    expect(replaced.body).toMatchObject({ endpointLimit: 5, eventsPerDay: null, createdAt: pro.body.createdAt });
    expect((await api.call('DELETE', '/v1/plans/open')).status).toBe(204);
    for (const method of ['GET', 'DELETE']) expect((await api.call(method, '/v1/plans/open')).status).toBe(404);
  });

  it('stay while a tenant has them', async () => {
    await put('kept', {});
    await tenantOn('kept', 'keeper');
    expect(await api.call('DELETE', '/v1/plans/kept')).toMatchObject({ status: 409, body: { code: 'INVALID_STATE' } });
    await api.call('PATCH', '/v1/tenants/keeper', { body: { plan: null } });
    expect((await api.call('DELETE', '/v1/plans/kept')).status).toBe(204);
  });

  it('are of a tenant as it is made and changed, the default one where none is named', async () => {
    await put('starter', { isDefault: true });
    const make = async (body: object) => (await api.call('POST', '/v1/tenants', { body })).body.plan as unknown;
    expect(await make({ id: 'by-default' })).toBe('starter');
    expect(await make({ id: 'without', plan: null })).toBeNull();
    await put('starter', { isDefault: false });
    expect(await make({ id: 'none-default' })).toBeNull();
    const unknown = await api.call('PATCH', '/v1/tenants/without', { body: { plan: 'nosuch' } });
    expect(unknown).toMatchObject({ status: 400, body: { errors: [{ field: 'plan' }] } });
  });

  it.each([
    ['Bad', {}, 'name'],
    ['ok', { endpointLimit: -1 }, 'endpointLimit'],
    ['ok', { eventsPerDay: 1.5 }, 'eventsPerDay'],
    ['ok', { retentionDays: 40_000 }, 'retentionDays'],
    ['ok', { features: ['flying'] }, 'features[0]'],
    ['ok', { limit: 1 }, 'limit'],
  ])('are refused as %s %j', async (name, body, field) => {
    expect(await put(name, body)).toMatchObject({ status: 400, body: { errors: [{ field }] } });
  });
});

describe('a plan’s limit of webhooks', () => {
  it('holds under many creates at once: exactly as many succeed', async () => {
    await put('five', { endpointLimit: 5 });
    const key = await tenantOn('five', 'crowded');
    const create = () => api.call('POST', '/v1/webhooks', { key, body: { url, events: ['a'] } });
    const answers = await Promise.all(Array.from({ length: 20 }, create));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(5);
    const refused = answers.filter(({ status }) => status !== 201);
    for (const { status, body } of refused) expect([status, body.code]).toEqual([402, 'PLAN_LIMIT_EXCEEDED']);
    const { body } = await api.call('GET', '/v1/webhooks', { key });
    expect(body.webhooks).toHaveLength(5);
    await api.call('DELETE', `/v1/webhooks/${body.webhooks[0]!.id}`, { key });
    expect([(await create()).status, (await create()).status]).toEqual([201, 402]);
    await put('five', { endpointLimit: 6 });
    expect([(await create()).status, (await create()).status]).toEqual([201, 402]);
  });
});

describe('a feature that a plan lacks', () => {
  it('is refused and named, and what only takes away is not', async () => {
    const headers = { 'posthorn-tenant': 'shrunk' };
    await api.call('POST', '/v1/tenants', { body: { id: 'shrunk' } });
    const { body: hook } = await api.call('POST', '/v1/webhooks', { headers, body: { url, events: ['a'] } });
    await put('nothing', { features: [] });
    await api.call('PATCH', '/v1/tenants/shrunk', { body: { plan: 'nothing' } });
    const one = `/v1/webhooks/${hook.id}`;
    for (const [method, path, body] of [
      ['POST', '/v1/webhooks', { url, events: ['a'] }],
      ['PATCH', one, { events: ['b'] }],
      ['POST', `${one}/test`, undefined],
      ['POST', `${one}/replay`, undefined],
      ['POST', '/v1/deliveries/redeliver', { status: 'dead_letter' }],
    ] as const) {
      const answer = await api.call(method, path, { headers, body });
      expect([method, path, answer.status, answer.body.code]).toEqual([method, path, 402, 'PLAN_FEATURE_REQUIRED']);
    }
    expect((await api.call('POST', `${one}/disable`, { headers })).status).toBe(200);
    expect((await api.call('GET', one, { headers })).status).toBe(200);
    expect((await api.call('DELETE', one, { headers })).status).toBe(204);
  });
});

describe('the use of a plan', () => {
  it('is shown to every member of the tenant', async () => {
    await put('small', { endpointLimit: 3, eventsPerDay: 2, retentionDays: 4, features: ['webhooks'] });
    const owner = await tenantOn('small', 'user');
    const viewer = await api.newKey({ role: 'viewer', tenantId: 'user' });
    await api.call('POST', '/v1/webhooks', { key: owner, body: { url, events: ['b'] } });
    const usage = async () => (await api.call('GET', '/v1/usage', { key: viewer })).body;
    await api.call('POST', '/v1/events', { key: owner, body: { type: 'a', data: 1 } });
    expect(await usage()).toEqual({
      plan: 'small',
      endpoints: { used: 1, limit: 3 },
      eventsToday: { used: 1, limit: 2, held: false, resetsAt: expect.stringMatching(/T00:00:00\.000Z$/) },
      retentionDays: 4,
      features: ['webhooks'],
    });
    for (let i = 0; i < 2; i++) {
      await api.call('POST', '/v1/events', { key: owner, body: { type: 'a', data: 1 } });
    }
    expect((await usage()).eventsToday).toMatchObject({ limit: 2, held: true });
  });
});
