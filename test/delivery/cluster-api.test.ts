import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RateLimits } from '../../src/api/rate-limits.ts';
import { loadConfig } from '../../src/config.ts';
import { createPosthornServer } from '../../src/posthorn.ts';
import { becomes } from '../attack/engine-rig.ts';
import { hasPostgres, startPostgres, type PostgresServer } from '../postgres/server.ts';
import { ClusterTests } from './cluster-rig.ts';

const OPERATOR = 'operator-key-of-the-tests-of-the-cluster';
const NEWS_MS = 1_000;

interface Answer {
  status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- an answer has whatever fields it has
  body: any;
}

interface Front {
  call: (
    method: string,
    path: string,
    options?: { key?: string; body?: object; cookie?: string; tenant?: string },
  ) => Promise<Answer>;
  stop: () => Promise<void>;
}

let server: PostgresServer;
const cleanups: (() => Promise<unknown>)[] = [];

/** Two servers on one database, asked without sockets. */
async function pair(settings: Record<string, string> = {}): Promise<[Front, Front]> {
  const database = await server.createDatabase();
  cleanups.push(() => database.drop());
  const fronts: Front[] = [];
  for (let i = 0; i < 2; i++) {
    const env = {
      ...{ POSTHORN_DATABASE_URL: database.url, POSTHORN_MASTER_KEY: 'm'.repeat(40), POSTHORN_OPERATOR_KEY: OPERATOR },
      ...{ POSTHORN_LOG_LEVEL: 'silent', POSTHORN_DATABASE_POOL_SIZE: '6', POSTHORN_LEASE: '5s', ...settings },
    };
    const config = loadConfig({ mode: 'serve', flags: {}, env, file: null });
    const posthorn = createPosthornServer(config, { isEmbedded: true });
    cleanups.push(() => posthorn.stop());
    await posthorn.start();
    const door = await posthorn.door();
    fronts.push({
      stop: () => posthorn.stop(),
      async call(method, path, { key = OPERATOR, body, cookie, tenant } = {}) {
        const text = body === undefined ? undefined : JSON.stringify(body);
        const payload = text === undefined ? undefined : Readable.from([text]);
        const headers = {
          ...(cookie === undefined ? { authorization: `Bearer ${key}` } : { cookie }),
          ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(text.length) }),
          ...(tenant === undefined ? {} : { 'posthorn-tenant': tenant }),
        };
        const { statusCode, rawPayload } = await door.inject({ method, url: path, headers, payload });
        const answer = rawPayload.toString();
        return { status: statusCode, body: answer === '' ? null : (JSON.parse(answer) as object) };
      },
    });
  }
  return fronts as [Front, Front];
}

// Skipped where npm has no PostgreSQL for the platform.
describe.skipIf(!hasPostgres(18))('the API of several nodes', () => {
  const tests = new ClusterTests();
  beforeAll(async () => {
    server = await startPostgres();
    await tests.start();
  });
  afterAll(async () => {
    await server?.stop();
    await tests.stop();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    await tests.cleanUp();
  });

  it('knows on one what was made on the other, in the very next request', async () => {
    const [a, b] = await pair();
    for (let i = 0; i < 5; i++) {
      expect((await a.call('POST', '/v1/tenants', { body: { id: `t${i}` } })).status).toBe(201);
      expect((await b.call('GET', `/v1/tenants/t${i}`)).status).toBe(200);
      const { key } = (await a.call('POST', '/v1/api-keys', { body: { role: 'owner' } })).body;
      const created = await b.call('POST', '/v1/webhooks', {
        key,
        body: { url: 'https://example.com', events: ['*'] },
      });
      expect(created.status).toBe(201);
      const path = `/v1/webhooks/${created.body.id}`;
      expect((await a.call('GET', path, { key })).body.url).toBe('https://example.com/');
      expect((await a.call('GET', `${path}/deliveries`, { key })).status).toBe(200);
      expect((await a.call('PUT', `/v1/plans/p${i}`, { body: {} })).status).toBe(200);
      expect((await b.call('GET', `/v1/plans/p${i}`)).status).toBe(200);
      expect((await b.call('PUT', `/v1/event-types/e${i}`, { body: {} })).status).toBe(200);
      expect((await a.call('GET', `/v1/event-types/e${i}`, { key })).status).toBe(200);
      const member = (await a.call('POST', '/v1/members', { key, body: { role: 'admin' } })).body;
      expect((await b.call('PATCH', `/v1/members/${member.id}`, { key, body: { name: 'N' } })).body.name).toBe('N');
      const personal = (await a.call('POST', '/v1/api-keys', { key, body: { memberId: member.id } })).body;
      const { token } = (await b.call('POST', '/v1/sessions', { key: personal.key, body: {} })).body;
      const cookie = `__Host-posthorn_session=${token}`;
      expect((await a.call('GET', path, { cookie })).status).toBe(200);
    }
  });

  it('forgets on one what ended on the other, within a second', async () => {
    const [a, b] = await pair();
    const make = async (body: object) => (await a.call('POST', '/v1/api-keys', { body })).body;
    const revoked = await make({ role: 'viewer' });
    const member = (await a.call('POST', '/v1/members', { body: { role: 'admin' } })).body;
    const personal = await make({ memberId: member.id });
    const { token } = (await a.call('POST', '/v1/sessions', { key: personal.key, body: {} })).body;
    const cookie = `__Host-posthorn_session=${token}`;
    const list = (options: object) => b.call('GET', '/v1/webhooks', options).then(({ status }) => status);
    for (const who of [{ key: revoked.key }, { key: personal.key }, { cookie }]) {
      expect(await list(who)).toBe(200);
    }
    await a.call('DELETE', `/v1/api-keys/${revoked.id}`);
    expect(await becomes(async () => (await list({ key: revoked.key })) === 401, NEWS_MS)).toBe(true);
    await a.call('PATCH', `/v1/members/${member.id}`, { body: { role: 'viewer' } });
    const mayWrite = async () =>
      (await b.call('DELETE', '/v1/webhooks/wh_01JXYZ0000ABCDEFGHJKMNPQRS', { key: personal.key })).status;
    expect(await becomes(async () => (await mayWrite()) === 403, NEWS_MS)).toBe(true);
    await a.call('DELETE', `/v1/members/${member.id}`);
    expect(await becomes(async () => (await list({ key: personal.key })) === 401, NEWS_MS)).toBe(true);
    expect(await becomes(async () => (await list({ cookie })) === 401, NEWS_MS)).toBe(true);
  });

  it('keeps an owner, though each node is asked to demote another one', async () => {
    const [a, b] = await pair();
    for (let i = 0; i < 5; i++) {
      const tenant = `t${i}`;
      await a.call('POST', '/v1/tenants', { body: { id: tenant } });
      const make = (front: Front) => front.call('POST', '/v1/members', { tenant, body: { role: 'owner' } });
      const owners = await Promise.all([make(a), make(b)]);
      const demote = (front: Front, { body }: Answer) =>
        front.call('PATCH', `/v1/members/${body.id}`, { tenant, body: { role: 'viewer' } });
      const answers = await Promise.all([demote(a, owners[1]), demote(b, owners[0])]);
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    }
  });

  it('counts the requests of a minute together', async () => {
    const { add } = await tests.rig();
    const nodes = [await add(), await add()];
    // The middle of a minute: that none begins in between.
    const now = () => 90_000;
    const limits = nodes.map(({ store }) => new RateLimits({ perMinute: 100, cluster: store.cluster, now }));
    let taken = 0;
    for (let i = 0; i < 200; i++) {
      try {
        limits[i % 2]!.take('key');
        taken++;
      } catch {
        continue;
      } finally {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    expect(taken).toBeGreaterThanOrEqual(100);
    expect(taken).toBeLessThanOrEqual(110);
    for (const limit of limits) limit.stop();
  });
});
