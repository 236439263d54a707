import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
let owner: string;
beforeAll(async () => {
  api = await startApi();
  await api.call('POST', '/v1/tenants', { body: { id: 'acme' } });
  owner = await api.newKey({ role: 'owner', tenantId: 'acme' });
});
afterAll(() => api.stop());

const make = (body: object, key?: string) => api.call('POST', '/v1/api-keys', { body, ...(key ? { key } : {}) });

describe('an API key', () => {
  it('is shown once, works at once, and ends at once when it is revoked', async () => {
    const { status, body } = await make({ role: 'viewer', name: 'ci', expiresAt: '2099-01-01T00:00:00Z' }, owner);
    expect(status).toBe(201);
    expect(body).toMatchObject({ tenantId: 'acme', role: 'viewer', name: 'ci', expiresAt: '2099-01-01T00:00:00.000Z' });
    expect(body.key).toMatch(/^ph_live_[0-9A-Za-z]{49}$/);
    expect((await api.call('GET', '/v1/webhooks', { key: body.key })).status).toBe(200);
    const list = await api.call('GET', '/v1/api-keys', { key: owner });
    expect(list.text).not.toContain(body.key);
    expect(list.body.apiKeys[0]).toMatchObject({
      id: body.id,
      hint: body.key.slice(0, 12),
      lastUsedAt: expect.any(String),
    });
    const revoked = await api.call('DELETE', `/v1/api-keys/${body.id}`, { key: owner });
    expect([revoked.status, revoked.text]).toEqual([204, '']);
    for (const path of ['/v1/webhooks', '/v1/events']) {
      expect((await api.call('GET', path, { key: body.key })).status).toBe(401);
    }
    const post = await api.call('POST', '/v1/events', { key: body.key, body: { type: 'a', data: 1 } });
    expect(post).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } });
    expect(post.headers.get('www-authenticate')).toBe('Bearer');
    expect((await api.call('DELETE', `/v1/api-keys/${body.id}`, { key: owner })).status).toBe(204);
  });

  it('is never made with more rights than the one that makes it has', async () => {
    expect(await make({ role: 'operator' }, owner)).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    expect((await make({ role: 'owner' }, owner)).status).toBe(201);
    expect((await make({ role: 'operator' })).body).toMatchObject({ role: 'operator', tenantId: null });
  });

  it('of an operator is listed for and revoked by operators alone', async () => {
    const { body: operator } = await make({ role: 'operator', name: 'second' });
    const ids = async (key?: string) =>
      (await api.call('GET', '/v1/api-keys', key ? { key } : {})).body.apiKeys.map(({ id }) => id);
    expect(await ids()).toContain(operator.id);
    expect(await ids(owner)).not.toContain(operator.id);
    expect((await api.call('DELETE', `/v1/api-keys/${operator.id}`, { key: owner })).status).toBe(404);
    expect((await api.call('GET', '/v1/tenants', { key: operator.key })).status).toBe(200);
    expect((await api.call('DELETE', `/v1/api-keys/${operator.id}`)).status).toBe(204);
    expect((await api.call('GET', '/v1/tenants', { key: operator.key })).status).toBe(401);
  });

  it('with scopes may do what these say', async () => {
    const { status, body } = await make({ role: 'admin', scopes: ['webhooks:read'] }, owner);
    expect([status, body.scopes]).toEqual([201, ['webhooks:read']]);
    expect((await api.call('GET', '/v1/webhooks', { key: body.key })).status).toBe(200);
    const refused = await api.call('POST', '/v1/webhooks', { key: body.key, body: {} });
    expect(refused).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    expect(refused.body.message).toContain('webhooks:write');
  });

  it.each(['gx_live_', 'gx_test_', 'aat_', 'grvSec_live_', 'grvSec_sandbox_'])('can begin with %s', async (prefix) => {
    const { body } = await make({ role: 'viewer', prefix }, owner);
    expect(body.key).toMatch(new RegExp(`^${prefix}[0-9A-Za-z]{49}$`));
    expect(body.hint).toBe(body.key.slice(0, prefix.length + 4));
    expect((await api.call('GET', '/v1/whoami', { key: body.key })).body.keyId).toBe(body.id);
  });

  it('that clients hold already is taken as it is from an operator, once, and from nobody else', async () => {
    const key = 'gx_live_held-by-clients-for-years';
    const headers = { 'posthorn-tenant': 'acme' };
    const give = () => api.call('POST', '/v1/api-keys', { body: { role: 'admin', key }, headers });
    expect((await give()).body).toMatchObject({ key, tenantId: 'acme', hint: 'gx_live_held' });
    expect((await api.call('GET', '/v1/whoami', { key })).body).toMatchObject({ role: 'admin', tenantId: 'acme' });
    expect(await give()).toMatchObject({ status: 409, body: { code: 'ALREADY_EXISTS' } });
    expect((await make({ role: 'admin', key: `${key}-2` }, owner)).status).toBe(403);
    const both = await api.call('POST', '/v1/api-keys', { body: { role: 'admin', key, prefix: 'aat_' }, headers });
    expect(both.body.errors).toMatchObject([{ field: 'prefix' }]);
  });

  it('pages, newest first', async () => {
    const headers = { 'posthorn-tenant': 'paged-keys' };
    const made: string[] = [];
    for (let i = 0; i < 3; i++) {
      made.unshift((await api.call('POST', '/v1/api-keys', { body: { role: 'viewer' }, headers })).body.id);
    }
    const viewer = await api.newKey({ role: 'owner', tenantId: 'paged-keys' });
    const first = await api.call('GET', '/v1/api-keys?limit=2', { key: viewer });
    const rest = await api.call('GET', `/v1/api-keys?limit=2&cursor=${first.body.nextCursor}`, { key: viewer });
    const ids = [...first.body.apiKeys, ...rest.body.apiKeys].map(({ id }) => id);
    expect(ids.slice(1)).toEqual(made);
  });

  it.each([
    [{}, 'role: is missing'],
    [{ role: 'admiral' }, 'role: must be one of "viewer"'],
    [{ role: 'viewer', expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt: has gone by'],
    [{ role: 'viewer', expiresAt: 1893456000 }, 'expiresAt: must be a time like'],
    [{ role: 'viewer', name: '' }, 'name: must not be empty'],
    [{ role: 'viewer', scopes: [] }, 'scopes: must have at least one scope'],
    [{ role: 'viewer', scopes: ['webhooks'] }, 'scopes[0]: must be one of "events:read"'],
    [{ role: 'viewer', prefix: 'sk_' }, 'prefix: must be one of "ph_live_"'],
    [{ role: 'viewer', prefix: 'gpat_' }, 'prefix: gpat_ is for personal keys'],
    [{ role: 'viewer', key: 'short' }, 'key: must be 16 to 512 visible ASCII'],
    [{ role: 'viewer', tenantId: 'globex' }, 'tenantId: is not known'],
  ])('is refused as %j', async (body, message) => {
    const answer = await make(body, owner);
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(message)]);
  });
});
