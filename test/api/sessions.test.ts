import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Answer, type Api } from './server.ts';

let api: Api;
let key: string;
let owner: string;
let admin: string;
beforeAll(async () => {
  api = await startApi();
  await api.call('POST', '/v1/tenants', { body: { id: 'acme' } });
  key = await api.newKey({ role: 'owner', tenantId: 'acme' });
  [owner, admin] = await Promise.all([addMember('owner'), addMember('admin')]);
});
afterAll(() => api.stop());

async function addMember(role: string): Promise<string> {
  return (await api.call('POST', '/v1/members', { key, body: { role } })).body.id;
}

const begin = (body: object, as = key): Promise<Answer> => api.call('POST', '/v1/sessions', { key: as, body });

async function cookieOf(memberId: string): Promise<string> {
  return `posthorn_session=${(await begin({ memberId })).body.token}`;
}

/** One request with a cookie and no key, as a browser or a program sends it. */
function withCookie(cookie: string, method: string, path: string, headers: Record<string, string> = {}, body?: object) {
  return api.call(method, path, { key: null, headers: { cookie, ...headers }, body });
}

describe('a session', () => {
  it('is begun with the cookie of it, kept as a hash, and speaks for its member', async () => {
    const { status, body, headers } = await begin({ memberId: admin });
    expect(status).toBe(201);
    expect(body).toMatchObject({ memberId: admin, role: 'admin', token: expect.stringMatching(/^[\w-]{43}$/) });
    expect(Date.parse(body.expiresAt) - Date.now()).toBeGreaterThan(7.9 * 3_600_000);
    expect(headers.get('set-cookie')).toBe(
      `posthorn_session=${body.token}; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax`,
    );
    const whoami = await withCookie(`other=1; posthorn_session=${body.token}`, 'GET', '/v1/whoami');
    expect(whoami.body).toEqual({ keyId: null, memberId: admin, role: 'admin', tenantId: 'acme', scopes: null });
  });

  it('is over at its end, and a time that is too long is refused', async () => {
    const { body } = await begin({ memberId: admin, expiresIn: '1s' });
    const cookie = `posthorn_session=${body.token}`;
    expect((await withCookie(cookie, 'GET', '/v1/whoami')).status).toBe(200);
    let status = 200;
    while (Date.now() < Date.parse(body.expiresAt) + 1_000 && status === 200) {
      status = (await withCookie(cookie, 'GET', '/v1/whoami')).status;
    }
    expect(status).toBe(401);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(body.expiresAt));
    for (const expiresIn of ['0s', '31d', '999999999999d', 'x']) {
      expect((await begin({ memberId: admin, expiresIn })).body.errors[0]!.field).toBe('expiresIn');
    }
  });

  it('ends at once when it is asked to, and takes its cookie along', async () => {
    const cookie = await cookieOf(admin);
    const ended = await withCookie(cookie, 'DELETE', '/v1/session');
    expect([ended.status, ended.text]).toEqual([204, '']);
    expect(ended.headers.get('set-cookie')).toContain('posthorn_session=; Path=/; Max-Age=0');
    expect((await withCookie(cookie, 'GET', '/v1/whoami')).status).toBe(401);
    expect((await api.call('DELETE', '/v1/session', { key })).status).toBe(404);
  });

  it('has the role its member has at that moment, and ends when the member is removed', async () => {
    const member = await addMember('member');
    const cookie = await cookieOf(member);
    const send = async () => (await withCookie(cookie, 'POST', '/v1/events', {}, { type: 'a', data: 1 })).status;
    expect(await send()).toBe(202);
    await api.call('PATCH', `/v1/members/${member}`, { key, body: { role: 'viewer' } });
    expect(await send()).toBe(403);
    await api.call('DELETE', `/v1/members/${member}`, { key });
    expect(await send()).toBe(401);
  });

  it('is begun by owners for any member, and with a personal key for its own', async () => {
    const personal = (await api.call('POST', '/v1/api-keys', { key, body: { memberId: admin } })).body.key;
    expect((await begin({}, personal)).body).toMatchObject({ memberId: admin, role: 'admin' });
    expect((await begin({ memberId: admin }, personal)).status).toBe(201);
    expect(await begin({ memberId: owner }, personal)).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    // A stolen cookie prolongs itself no further.
    expect((await withCookie(await cookieOf(admin), 'POST', '/v1/sessions')).status).toBe(403);
    expect((await begin({})).body.errors).toMatchObject([{ field: 'memberId' }]);
    expect((await begin({ memberId: 'mem_nobody' })).status).toBe(404);
    const application = await api.newKey({ role: 'admin', tenantId: 'acme' });
    expect((await begin({ memberId: admin }, application)).status).toBe(403);
  });

  it('of another tenant cannot be begun', async () => {
    await api.call('POST', '/v1/tenants', { body: { id: 'globex' } });
    const other = await api.newKey({ role: 'owner', tenantId: 'globex' });
    expect((await begin({ memberId: admin }, other)).status).toBe(404);
  });

  it('counts less than a key that comes along', async () => {
    const cookie = await cookieOf(admin);
    const { body } = await api.call('GET', '/v1/whoami', { key, headers: { cookie } });
    expect(body).toMatchObject({ memberId: null, role: 'owner' });
    expect((await api.call('GET', '/v1/whoami', { key: 'x'.repeat(20), headers: { cookie } })).status).toBe(401);
  });
});

describe('a cookie', () => {
  it.each(['posthorn_session=', 'posthorn_session=nonsense', `posthorn_session=${'A'.repeat(43)}`])(
    'that is no session’s is refused: %s',
    async (cookie) => {
      const answer = await withCookie(cookie, 'GET', '/v1/whoami');
      expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } });
      expect(answer.body.message).toContain('session is unknown or over');
    },
  );

  it('of somebody else’s name is as good as none', async () => {
    const answer = await withCookie('xposthorn_session=1; theme=dark', 'GET', '/v1/whoami');
    expect(answer.body.message).toContain('Authorization header is missing');
  });

  /** fetch does not let one set what only browsers set. */
  function statusFrom(cookie: string, method: string, headers: Record<string, string>): Promise<number> {
    return new Promise((resolve, reject) => {
      const ask = request(`${api.origin}/v1/webhooks${method === 'POST' ? '/nothing/enable' : ''}`, {
        method,
        headers: { cookie, ...headers },
      });
      ask.on('response', (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      ask.on('error', reject);
      ask.end();
    });
  }

  it.each([
    ['a program', {}, true],
    ['a page of this server', { origin: 'here', 'sec-fetch-site': 'same-origin' }, true],
    ['an old browser on a page of this server', { origin: 'here' }, true],
    [
      'a page of this server behind a proxy that renames it',
      { origin: 'https://hooks.example.com', 'sec-fetch-site': 'same-origin' },
      true,
    ],
    ['another site’s page', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, false],
    ['another site’s page in an old browser', { origin: 'https://evil.example' }, false],
    [
      'a neighbour under the same domain',
      { origin: 'https://other.example.com', 'sec-fetch-site': 'same-site' },
      false,
    ],
    ['a page without an origin', { origin: 'null' }, false],
    ['a browser that names no origin', { 'sec-fetch-site': 'cross-site' }, false],
    ['another port of this machine', { origin: 'http://127.0.0.1:1' }, false],
  ] as [string, Record<string, string>, boolean][])(
    'changes something when it comes from %s: %j → %s',
    async (_, given, may) => {
      const cookie = await cookieOf(admin);
      const headers = given.origin === 'here' ? { ...given, origin: api.origin } : given;
      // 404: there is no such webhook to enable, but the one who asks may.
      expect(await statusFrom(cookie, 'POST', headers)).toBe(may ? 404 : 403);
      expect(await statusFrom(cookie, 'GET', headers)).toBe(200);
    },
  );
});

describe('in production', () => {
  it('the cookie goes over https alone and is bound to its host', async () => {
    const production = await startApi({ production: true });
    const { body: member } = await production.call('POST', '/v1/members', { body: { role: 'owner' } });
    const { headers, body } = await production.call('POST', '/v1/sessions', { body: { memberId: member.id } });
    expect(headers.get('set-cookie')).toBe(
      `__Host-posthorn_session=${body.token}; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure`,
    );
    const ask = async (name: string) =>
      (await production.call('GET', '/v1/whoami', { key: null, headers: { cookie: `${name}=${body.token}` } })).status;
    expect([await ask('__Host-posthorn_session'), await ask('posthorn_session')]).toEqual([200, 401]);
    await production.stop();
  });
});
