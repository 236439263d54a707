import fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routes } from '../../src/api/routes.ts';
import { roles, type Role } from '../../src/model/tenant.ts';
import { startApi, type Api } from './server.ts';

let api: Api;
const keys = {} as Record<Role, string>;

beforeAll(async () => {
  api = await startApi();
  await api.call('POST', '/v1/tenants', { body: { id: 'acme' } });
  for (const role of roles) keys[role] = await api.newKey({ role, tenantId: role === 'operator' ? null : 'acme' });
});
afterAll(() => api.stop());

/** The least role for each route, written down a second time: who changes it in the code must change it here. */
const least: Record<string, Role | 'public'> = {
  'POST /v1/events': 'member',
  'POST /v1/events/batch': 'member',
  'GET /v1/events': 'viewer',
  'GET /v1/events/:id': 'viewer',
  'POST /v1/events/:id/replay': 'member',
  'POST /v1/webhooks': 'admin',
  'GET /v1/webhooks': 'viewer',
  'GET /v1/webhooks/:id': 'viewer',
  'PATCH /v1/webhooks/:id': 'admin',
  'DELETE /v1/webhooks/:id': 'admin',
  'POST /v1/webhooks/:id/test': 'member',
  'POST /v1/webhooks/:id/rotate-secret': 'admin',
  'POST /v1/webhooks/:id/enable': 'admin',
  'POST /v1/webhooks/:id/disable': 'admin',
  'POST /v1/webhooks/:id/replay': 'member',
  'GET /v1/webhooks/:id/deliveries': 'viewer',
  'GET /v1/webhooks/:id/stats': 'viewer',
  'GET /v1/deliveries': 'viewer',
  'GET /v1/deliveries/:id': 'viewer',
  'POST /v1/deliveries/:id/redeliver': 'member',
  'POST /v1/deliveries/redeliver': 'member',
  'GET /v1/dead-letters': 'viewer',
  'POST /v1/dead-letters/:id/retry': 'member',
  'POST /v1/dead-letters/:id/acknowledge': 'admin',
  'GET /v1/event-types': 'viewer',
  'POST /v1/event-types': 'operator',
  'GET /v1/event-types/:name': 'viewer',
  'PUT /v1/event-types/:name': 'operator',
  'DELETE /v1/event-types/:name': 'operator',
  'GET /v1/tenants': 'operator',
  'POST /v1/tenants': 'operator',
  'GET /v1/tenants/:id': 'operator',
  'PATCH /v1/tenants/:id': 'operator',
  'GET /v1/api-keys': 'owner',
  'POST /v1/api-keys': 'owner',
  'DELETE /v1/api-keys/:id': 'owner',
  'GET /healthz': 'public',
  'GET /readyz': 'public',
  'GET /openapi.json': 'public',
};
const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;

describe('roles', () => {
  it('are known for every route', () => {
    expect(routes.map(nameOf).sort()).toEqual(Object.keys(least).sort());
  });

  it.each(Object.entries(least))('%s takes %s and above', async (name, needed) => {
    const [method, pattern] = name.split(' ') as [string, string];
    const path = pattern.replace(/:\w+/, 'nothing');
    // Without a body that fits: who may gets past the role, and changes nothing.
    const body = ['POST', 'PUT', 'PATCH'].includes(method) ? '[]' : undefined;
    const statuses: Partial<Record<Role | 'nobody', number>> = {
      nobody: (await api.call(method, path, { key: null, body })).status,
    };
    for (const role of roles) statuses[role] = (await api.call(method, path, { key: keys[role], body })).status;
    const may = (role: Role) => needed === 'public' || roles.indexOf(role) >= roles.indexOf(needed);
    expect(statuses.nobody === 401).toBe(needed !== 'public');
    for (const role of roles) expect([role, statuses[role] === 403]).toEqual([role, !may(role)]);
  });

  it('are checked before the body is looked at, and the key before both', async () => {
    const path = '/v1/webhooks';
    expect((await api.call('POST', path, { key: null, body: 'not json' })).status).toBe(401);
    expect((await api.call('POST', path, { key: keys.viewer, body: 'not json' })).status).toBe(403);
    expect((await api.call('POST', '/v1/events', { key: keys.viewer, body: 'not json' })).status).toBe(403);
    const odd = { 'content-type': 'text/plain;;;' };
    expect((await api.call('POST', path, { key: null, body: 'x', headers: odd })).status).toBe(401);
  });

  it('say what they are missing', async () => {
    const { body } = await api.call('POST', '/v1/webhooks', { key: keys.member, body: {} });
    expect(body.message).toContain('admin or above');
    expect(body.message).toContain('yours is member');
  });

  it('must be declared: a route without one does not start', async () => {
    const plain = fastify();
    plain.get('/anything', () => 'ok');
    await plain.close();
    expect(() => api.app.get('/anything', () => 'ok')).toThrow();
    const { createApi } = await import('../../src/api/api.ts');
    const fresh = createApi({
      engine: api.engine,
      keys: {} as never,
      createTenants: false,
      version: '0',
      logger: false,
    });
    expect(() => fresh.get('/anything', () => 'ok')).toThrow('The route GET /anything declares no role');
    expect(() => fresh.get('/other', { config: { role: 'king' } as never }, () => 'ok')).toThrow('declares no role');
    await fresh.close();
  });
});
