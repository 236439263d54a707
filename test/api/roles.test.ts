import fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RateLimits } from '../../src/api/rate-limits.ts';
import { routes } from '../../src/api/routes.ts';
import { scopes, type Scope } from '../../src/model/scope.ts';
import { memberRoles, roles, type MemberRole, type Role } from '../../src/model/tenant.ts';
import { startApi, type Answer, type Api } from './server.ts';

type Needed = Role | 'public';

/**
 * What each route needs, written down a second time: who changes it in the code must change it here. A scope of `null`
 * closes the route to keys that have scopes.
 */
const native: Record<string, readonly [Needed, Scope | null]> = {
  'POST /v1/events': ['member', 'events:write'],
  'POST /v1/events/batch': ['member', 'events:write'],
  'GET /v1/events': ['viewer', 'events:read'],
  'GET /v1/events/:id': ['viewer', 'events:read'],
  'POST /v1/events/:id/replay': ['member', 'deliveries:write'],
  'POST /v1/webhooks': ['admin', 'webhooks:write'],
  'GET /v1/webhooks': ['viewer', 'webhooks:read'],
  'GET /v1/webhooks/:id': ['viewer', 'webhooks:read'],
  'PATCH /v1/webhooks/:id': ['admin', 'webhooks:write'],
  'DELETE /v1/webhooks/:id': ['admin', 'webhooks:delete'],
  'POST /v1/webhooks/:id/test': ['member', 'webhooks:test'],
  'POST /v1/webhooks/:id/rotate-secret': ['admin', 'webhooks:write'],
  'POST /v1/webhooks/:id/enable': ['admin', 'webhooks:write'],
  'POST /v1/webhooks/:id/disable': ['admin', 'webhooks:write'],
  'POST /v1/webhooks/:id/replay': ['member', 'deliveries:write'],
  'GET /v1/webhooks/:id/deliveries': ['viewer', 'webhooks:read'],
  'GET /v1/webhooks/:id/stats': ['viewer', 'webhooks:read'],
  'GET /v1/webhooks/:id/public-keys': ['public', null],
  'POST /v1/webhooks/import': ['owner', null],
  'GET /v1/deliveries': ['viewer', 'deliveries:read'],
  'GET /v1/deliveries/:id': ['viewer', 'deliveries:read'],
  'POST /v1/deliveries/:id/redeliver': ['member', 'deliveries:write'],
  'POST /v1/deliveries/redeliver': ['member', 'deliveries:write'],
  'GET /v1/dead-letters': ['viewer', 'deliveries:read'],
  'POST /v1/dead-letters/:id/retry': ['member', 'deliveries:write'],
  'POST /v1/dead-letters/:id/acknowledge': ['admin', 'deliveries:write'],
  'GET /v1/event-types': ['viewer', 'event-types:read'],
  'POST /v1/event-types': ['operator', 'event-types:write'],
  'GET /v1/event-types/:name': ['viewer', 'event-types:read'],
  'PUT /v1/event-types/:name': ['operator', 'event-types:write'],
  'DELETE /v1/event-types/:name': ['operator', 'event-types:write'],
  'GET /v1/tenants': ['operator', null],
  'POST /v1/tenants': ['operator', null],
  'GET /v1/tenants/:id': ['operator', null],
  'PATCH /v1/tenants/:id': ['operator', null],
  'POST /v1/signup': ['public', null],
  'GET /v1/plans': ['operator', null],
  'GET /v1/plans/:name': ['operator', null],
  'PUT /v1/plans/:name': ['operator', null],
  'DELETE /v1/plans/:name': ['operator', null],
  'GET /v1/usage': ['viewer', null],
  'GET /v1/members': ['admin', null],
  'POST /v1/members': ['owner', null],
  'GET /v1/members/:id': ['admin', null],
  'PATCH /v1/members/:id': ['owner', null],
  'DELETE /v1/members/:id': ['owner', null],
  'POST /v1/sessions': ['viewer', null],
  'DELETE /v1/session': ['viewer', null],
  'GET /v1/api-keys': ['owner', null],
  'POST /v1/api-keys': ['owner', null],
  'DELETE /v1/api-keys/:id': ['owner', null],
  'GET /v1/whoami': ['viewer', null],
  'GET /healthz': ['public', null],
  'GET /readyz': ['public', null],
  'GET /openapi.json': ['public', null],
  'GET /errors': ['public', null],
};
const grantiva: typeof native = {
  'GET /api/v1/org/webhooks': ['admin', 'webhooks:read'],
  'POST /api/v1/org/webhooks': ['admin', 'webhooks:write'],
  'GET /api/v1/org/webhooks/:id': ['admin', 'webhooks:read'],
  'PATCH /api/v1/org/webhooks/:id': ['admin', 'webhooks:write'],
  'DELETE /api/v1/org/webhooks/:id': ['admin', 'webhooks:delete'],
  'POST /api/v1/org/webhooks/:id/test': ['admin', 'webhooks:test'],
  'GET /api/v1/org/webhooks/:id/deliveries': ['viewer', 'webhooks:read'],
  'POST /api/v1/org/webhooks/:id/deliveries/:deliveryId/retry': ['admin', 'webhooks:write'],
};
const gravv: typeof native = {
  'GET /v1/webhooks/history': ['viewer', 'deliveries:read'],
  'GET /v1/webhooks/event/:id': ['viewer', 'deliveries:read'],
  'GET /v1/webhooks/calls/:id': ['viewer', 'deliveries:read'],
  'POST /v1/webhooks/event/send/:id': ['member', 'deliveries:write'],
};
const table = Object.entries({ native, grantiva, gravv }).flatMap(([face, needs]) =>
  Object.entries(needs).map(([name, [role, scope]]) => ({ face, name, role, scope })),
);

let api: Api;
const keys = {} as Record<Role, string>;
/** Cookies of sessions. */
const cookies = {} as Record<MemberRole, string>;
/** Keys that may all there is, but for their scopes. */
const withOnly = {} as Record<Scope, string>;
const withAllBut = {} as Record<Scope, string>;
let withAll: string;

beforeAll(async () => {
  api = await startApi();
  await api.call('POST', '/v1/tenants', { body: { id: 'acme' } });
  for (const role of roles) keys[role] = await api.newKey({ role, tenantId: role === 'operator' ? null : 'acme' });
  for (const role of memberRoles) {
    const member = await api.people.create('acme', { role });
    const { token } = await api.people.sessions.begin(member, 3_600_000);
    cookies[role] = `posthorn_session=${token}`;
  }
  const scoped = (held: readonly Scope[]) => api.newKey({ role: 'operator', tenantId: null, scopes: held });
  withAll = await scoped(scopes);
  for (const scope of scopes) {
    withOnly[scope] = await scoped([scope]);
    withAllBut[scope] = await scoped(scopes.filter((other) => other !== scope));
  }
});
afterAll(() => api.stop());

type Credentials = { key: string } | { cookie: string } | null;

/** Asks for nothing that exists, with a body that fits nowhere: who may gets past the role, and changes nothing. */
function ask(face: string, name: string, credentials: Credentials): Promise<Answer> {
  const [method, pattern] = name.split(' ') as [string, string];
  const body = ['POST', 'PUT', 'PATCH'].includes(method) ? '[]' : undefined;
  const path = pattern.replaceAll(/:\w+/g, 'nothing');
  if (credentials === null) return api.call(method, path, { key: null, body });
  if ('cookie' in credentials) return api.call(method, path, { key: null, headers: credentials, body });
  const { key } = credentials;
  if (face === 'gravv') return api.call(method, path, { key: null, headers: { 'api-key': key }, body });
  return api.call(method, path, { key, body });
}

describe('roles', () => {
  it('are known for every route of every face', () => {
    const all = routes.map(({ method, path, face }) => `${face?.name ?? 'native'} ${method} ${path}`);
    expect(all.sort()).toEqual(table.map(({ face, name }) => `${face} ${name}`).sort());
  });

  it.each(table)('$face $name takes $role and above', async ({ face, name, role: needed }) => {
    const may = (role: Role) => needed === 'public' || roles.indexOf(role) >= roles.indexOf(needed);
    expect((await ask(face, name, null)).status === 401).toBe(needed !== 'public');
    for (const role of roles) {
      const { status } = await ask(face, name, { key: keys[role] });
      expect([role, status === 403, status === 401]).toEqual([role, !may(role), false]);
    }
  });

  // The one that ends sessions would end these; sessions.test.ts has it.
  it.each(table.filter(({ name }) => name !== 'DELETE /v1/session'))(
    '$face $name takes sessions of members with $role and above, where it takes sessions',
    async ({ face, name, role: needed }) => {
      for (const role of memberRoles) {
        const { status } = await ask(face, name, { cookie: cookies[role] });
        if (needed === 'public') expect([401, 403]).not.toContain(status);
        else if (face === 'gravv') expect(status).toBe(401);
        else {
          const may = (roles as readonly string[]).indexOf(role) >= roles.indexOf(needed);
          // A session of another member needs an owner, whatever the route needs.
          const isOther = name === 'POST /v1/sessions';
          expect([role, status === 403, status === 401]).toEqual([role, !may, false]);
          if (isOther) expect(status).toBe(400);
        }
      }
    },
  );

  it.each(table.filter(({ role }) => role !== 'public'))(
    '$face $name takes keys with the scope $scope, and of those with scopes no other',
    async ({ face, name, scope }) => {
      if (scope === null) {
        const answer = await ask(face, name, { key: withAll });
        expect([answer.status, answer.text]).toEqual([403, expect.stringContaining('without scopes')]);
        return;
      }
      expect([401, 403]).not.toContain((await ask(face, name, { key: withOnly[scope] })).status);
      const refused = await ask(face, name, { key: withAllBut[scope] });
      expect([refused.status, refused.text]).toEqual([403, expect.stringContaining(scope)]);
    },
  );

  it('count beside scopes: a scope gives nobody what the role does not', async () => {
    const key = await api.newKey({ role: 'viewer', tenantId: 'acme', scopes: ['webhooks:write', 'webhooks:read'] });
    expect((await api.call('POST', '/v1/webhooks', { key, body: {} })).status).toBe(403);
    expect((await api.call('GET', '/v1/webhooks', { key })).status).toBe(200);
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
      people: {} as never,
      rateLimits: new RateLimits({ perMinute: 0 }),
      createTenants: false,
      version: '0',
      logger: false,
    });
    expect(() => fresh.get('/anything', () => 'ok')).toThrow('The route GET /anything declares no role');
    expect(() => fresh.get('/other', { config: { role: 'king' } as never }, () => 'ok')).toThrow('declares no role');
    await fresh.close();
  });
});
