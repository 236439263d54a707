import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
let strict: Api;
beforeAll(async () => {
  [api, strict] = await Promise.all([startApi(), startApi({ createTenants: false })]);
});
afterAll(() => Promise.all([api.stop(), strict.stop()]));

describe('tenants', () => {
  it('are made once, shown and changed', async () => {
    const made = await api.call('POST', '/v1/tenants', {
      body: { id: 'acme', name: 'Acme Ltd', wireFormat: 'grantex' },
    });
    expect(made).toMatchObject({ status: 201, body: { id: 'acme', name: 'Acme Ltd', wireFormat: 'grantex' } });
    expect(await api.call('POST', '/v1/tenants', { body: { id: 'acme' } })).toMatchObject({
      status: 409,
      body: { code: 'ALREADY_EXISTS' },
    });
    const changed = await api.call('PATCH', '/v1/tenants/acme', { body: { wireFormat: null } });
    expect(changed.body).toEqual({ ...made.body, wireFormat: null });
    expect((await api.call('GET', '/v1/tenants/acme')).body).toEqual(changed.body);
    for (const method of ['GET', 'PATCH']) {
      const call = method === 'GET' ? {} : { body: {} };
      expect((await api.call(method, '/v1/tenants/nobody', call)).status).toBe(404);
    }
  });

  it('are made by one of two who ask at once', async () => {
    const make = () => api.call('POST', '/v1/tenants', { body: { id: 'contested' } });
    const answers = await Promise.all([make(), make()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
  });

  it('are listed by id, in pages', async () => {
    for (const id of ['t-b', 't-a', 't-c']) await api.call('POST', '/v1/tenants', { body: { id } });
    const ids: string[] = [];
    for (let cursor = ''; ;) {
      const { body } = await api.call('GET', `/v1/tenants?limit=2${cursor}`);
      ids.push(...body.tenants.map(({ id }) => id));
      if (body.nextCursor === null) break;
      cursor = `&cursor=${body.nextCursor}`;
    }
    expect(ids.filter((id) => id.startsWith('t-'))).toEqual(['t-a', 't-b', 't-c']);
    expect(ids).toEqual([...new Set(ids)]);
  });

  it.each([
    [{}, 'id'],
    [{ id: '' }, 'id'],
    [{ id: 'a b' }, 'id'],
    [{ id: '../x' }, 'id'],
    [{ id: 'a', wireFormat: 'nosuch' }, 'wireFormat'],
    [{ id: 'a', nmae: 'x' }, 'nmae'],
  ])('are refused as %j', async (body, field) => {
    expect(await api.call('POST', '/v1/tenants', { body })).toMatchObject({
      status: 400,
      body: { errors: [{ field }] },
    });
  });
});

describe('the tenant of a request', () => {
  const as = (tenant: string) => ({ headers: { 'posthorn-tenant': tenant } });

  it('is the one an operator names, made at its first use where that is allowed, also by many at once', async () => {
    const body = { type: 'a', data: 1 };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => api.call('POST', '/v1/events', { body, ...as('new-one') })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(202));
    expect((await api.call('GET', '/v1/tenants/new-one')).status).toBe(200);
    const event = await api.call('POST', '/v1/events', { body: { type: 'a', data: 1 }, ...as('new-two') });
    expect(event.status).toBe(202);
    expect((await api.call('GET', `/v1/events/${event.body.id}`, as('new-two'))).status).toBe(200);
    expect((await api.call('GET', `/v1/events/${event.body.id}`, as('new-one'))).status).toBe(404);
  });

  it('is not made by looking at it, nor by a dry run', async () => {
    const seen = await api.call('GET', '/v1/webhooks', as('looked-at'));
    expect(seen).toMatchObject({ status: 200, body: { webhooks: [] } });
    const body = { webhooks: [{ url: 'http://127.0.0.1:9/', events: ['a'] }], dryRun: true };
    const tried = await api.call('POST', '/v1/webhooks/import', { body, ...as('looked-at') });
    expect(tried).toMatchObject({ status: 200, body: { created: 1 } });
    expect((await api.call('GET', '/v1/tenants/looked-at')).status).toBe(404);
    await api.call('POST', '/v1/webhooks/import', { body: { ...body, dryRun: false }, ...as('looked-at') });
    expect((await api.call('GET', '/v1/tenants/looked-at')).status).toBe(200);
  });

  it('is default where an operator names none', async () => {
    const { body } = await api.call('POST', '/v1/webhooks', { body: { url: 'http://127.0.0.1:9/', events: ['a'] } });
    expect((await api.call('GET', `/v1/webhooks/${body.id}`, as('default'))).status).toBe(200);
  });

  it('must be there where they are not made at first use', async () => {
    for (const [method, path, body] of [
      ['GET', '/v1/webhooks', undefined],
      ['POST', '/v1/events', { type: 'a', data: 1 }],
    ] as const) {
      const answer = await strict.call(method, path, { body, ...as('nobody') });
      expect(answer).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
      expect(answer.body.message).toContain('POST /v1/tenants');
    }
    expect((await strict.call('GET', '/v1/tenants/nobody')).status).toBe(404);
  });

  it('must have an id that can be one', async () => {
    for (const tenant of ['a b', '../etc', 'x'.repeat(129)]) {
      const answer = await api.call('GET', '/v1/webhooks', as(tenant));
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'Posthorn-Tenant' }] } });
    }
  });

  it('is that of the key, which may name no other', async () => {
    await api.call('POST', '/v1/tenants', { body: { id: 'own' } });
    const key = await api.newKey({ role: 'owner', tenantId: 'own' });
    expect((await api.call('GET', '/v1/webhooks', { key })).status).toBe(200);
    expect((await api.call('GET', '/v1/webhooks', { key, ...as('own') })).status).toBe(200);
    for (const tenant of ['default', 'never-heard-of']) {
      const answer = await api.call('GET', '/v1/webhooks', { key, ...as(tenant) });
      expect(answer).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    }
    expect((await api.call('GET', '/v1/tenants/never-heard-of')).status).toBe(404);
  });
});
