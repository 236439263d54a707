import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dataDir, startServer } from '../e2e/server.ts';
import type { Client } from '../e2e/server.ts';
import { migrate, startNode } from '../faults/node.ts';
import { startPostgres } from '../postgres/server.ts';

const ZERO = 'a\u0000b';
const texts: readonly [method: string, path: string, body: Record<string, unknown>][] = [
  ['POST', '/v1/events', { type: 'a.b', data: 1, category: ZERO }],
  ['POST', '/v1/events', { type: 'a.b', data: 1, group: ZERO }],
  ['POST', '/v1/events', { type: 'a.b', data: 1, source: ZERO }],
  ['POST', '/v1/webhooks', { url: 'https://example.org', events: ['a.b'], description: ZERO }],
  ['POST', '/v1/event-types', { name: 'a.b', description: ZERO }],
  ['POST', '/v1/api-keys', { role: 'admin', name: ZERO }],
  ['POST', '/v1/members', { role: 'member', name: ZERO }],
  ['POST', '/v1/tenants', { id: 'acme', name: ZERO }],
  ['PATCH', '/v1/tenants/default', { name: ZERO }],
];

/** Every text that a caller gives names itself where it cannot be kept. */
function itRefusesZeros(client: () => Client): void {
  it.for(texts)('is refused by %s %s, with the field that holds it: %j', async ([method, path, body]) => {
    const field = Object.keys(body).find((name) => body[name] === ZERO);
    expect(await client().call(method, path, body)).toMatchObject({ status: 400, body: { errors: [{ field }] } });
  });
}

describe('a zero character on the embedded store', () => {
  const data = dataDir();
  let server: Awaited<ReturnType<typeof startServer>>;
  beforeAll(async () => {
    server = await startServer(data.path);
  });
  afterAll(async () => {
    await server?.stop();
    data.remove();
  });
  itRefusesZeros(() => server);
});

describe('on PostgreSQL', () => {
  let server: Awaited<ReturnType<typeof startPostgres>>;
  let node: Awaited<ReturnType<typeof startNode>>;
  beforeAll(async () => {
    server = await startPostgres();
    await migrate({ databaseUrl: server.url() });
    node = await startNode({ databaseUrl: server.url() });
    await node.client.event('a.b', 1); // makes the tenant
  });
  afterAll(async () => {
    await node?.end('SIGKILL');
    await server?.stop();
  });

  describe('a zero character', () => {
    itRefusesZeros(() => node.client);
  });

  it('a right that is missing is told to strangers without names, and to the log with them', async () => {
    const client = node.client;
    await server.query(`
      CREATE ROLE weak LOGIN NOINHERIT; GRANT postgres TO weak; GRANT USAGE ON SCHEMA posthorn TO weak;
      GRANT ALL ON ALL TABLES IN SCHEMA posthorn TO weak`);
    const weak = await startNode({ databaseUrl: server.url('postgres', 'weak') });
    try {
      await server.query('REVOKE ALL ON posthorn.payloads FROM weak');
      const answer = await weak.client.call('POST', '/v1/events', { type: 'a.b', data: 1 });
      expect(answer).toMatchObject({ status: 503, body: { code: 'STORE_UNAVAILABLE' } });
      expect(JSON.stringify(answer.body)).not.toContain('payloads');
      await expect.poll(() => weak.output()).toContain('permission denied for table payloads');
      await client.event('a.b', 2);
    } finally {
      await weak.end('SIGKILL');
    }
  });
});
