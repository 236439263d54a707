import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startFakeServer } from './fake-server.ts';
import type { FakeServer } from './fake-server.ts';
import { runCommand } from './run-command.ts';
import type { Ended } from './run-command.ts';

let server: FakeServer;
let folder: string;
beforeEach(async () => {
  server = await startFakeServer();
  folder = mkdtempSync(join(tmpdir(), 'posthorn-commands-'));
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

function run(argv: readonly string[], options: { stdin?: string; env?: Record<string, string> } = {}): Promise<Ended> {
  return runCommand(argv, { cwd: folder, ...options, env: { POSTHORN_URL: server.url, ...options.env } });
}

const accepted = { id: 'evt_01JXYZ4T8Q2M5N7P9R1S3V5W7Y', deliveries: 2 };

describe('events send', () => {
  test('sends the payload as it was written, with the development key on this machine', async () => {
    server.answer = () => ({ status: 202, body: accepted });
    const data = '{ "total": 10.50, "name":"Jürgen", "big": 12345678901234567890 }';
    expect(await run(['events', 'send', 'order.paid', '--data', data])).toEqual({
      code: 0,
      stdout: `${accepted.id} accepted, goes to 2 endpoints.\n`,
      stderr: '',
    });
    const [request] = server.requests;
    expect(request).toMatchObject({ method: 'POST', path: '/v1/events', body: `{"type":"order.paid","data":${data}}` });
    expect(request!.headers).toMatchObject({
      authorization: 'Bearer dev-api-key-local',
      'content-type': 'application/json',
    });
    expect(request!.headers).not.toHaveProperty('posthorn-tenant');
  });

  test('passes on id, group, category, time, idempotency key, tenant and key', async () => {
    server.answer = () => ({ status: 202, body: accepted });
    const options = ['--id', 'o-1', '--group', 'g', '--category', 'c', '--occurred-at', '2026-01-31T13:00:00+01:00'];
    const connection = ['--idempotency-key', 'once', '--tenant', 'acme', '--api-key', 'ph_live_1234567890123456'];
    const { code } = await run(['events', 'send', 'order.paid', ...options, ...connection]);
    expect(code).toBe(0);
    expect(JSON.parse(server.requests[0]!.body)).toEqual({
      type: 'order.paid',
      id: 'o-1',
      group: 'g',
      category: 'c',
      occurredAt: '2026-01-31T12:00:00.000Z',
      data: {},
    });
    expect(server.requests[0]!.headers).toMatchObject({
      'idempotency-key': 'once',
      'posthorn-tenant': 'acme',
      authorization: 'Bearer ph_live_1234567890123456',
    });
  });

  test('reads the payload from a file and from standard input', async () => {
    server.answer = () => ({ status: 202, body: accepted });
    writeFileSync(join(folder, 'order.json'), '\ufeff{"from": "file"}\n');
    await run(['events', 'send', 'a.b', '--data', '@order.json']);
    await run(['events', 'send', 'a.b', '--data', '-'], { stdin: '{"from": "stdin"}\n' });
    expect(server.requests.map(({ body }) => body)).toEqual([
      '{"type":"a.b","data":{"from": "file"}}',
      '{"type":"a.b","data":{"from": "stdin"}}',
    ]);
  });

  test('says where nobody listens, and where the event was known already', async () => {
    server.answer = () => ({ status: 202, body: { ...accepted, deliveries: 0 } });
    expect((await run(['events', 'send', 'a.b'])).stdout).toContain('No active endpoint listens to a.b');
    server.answer = () => ({ status: 202, body: accepted, headers: { 'idempotency-replayed': 'true' } });
    expect((await run(['events', 'send', 'a.b'])).stdout).toBe(
      `${accepted.id} was accepted before; nothing is sent twice.\n`,
    );
  });

  test('prints the answer alone with --json', async () => {
    server.answer = () => ({ status: 202, body: accepted });
    const { stdout } = await run(['events', 'send', 'a.b', '--json']);
    expect(JSON.parse(stdout)).toEqual(accepted);
  });
});

describe('an error', () => {
  const problem = { status: 422, code: 'UNKNOWN_EVENT_TYPE', message: 'type: "a.b" is unknown.', requestId: 'req_77' };

  test('of the API shows its message and request id in one line', async () => {
    server.answer = () => ({ status: 422, body: problem });
    expect(await run(['events', 'send', 'a.b'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `posthorn: ${problem.message} (req_77)\n`,
    });
  });

  test('of the API is its problem document with --json', async () => {
    server.answer = () => ({ status: 422, body: problem });
    const { code, stdout, stderr } = await run(['events', 'send', 'a.b', '--json']);
    expect({ code, stdout, problem: JSON.parse(stderr) }).toEqual({ code: 1, stdout: '', problem });
  });

  test('where nothing answers asks whether Posthorn runs', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    await once(closed, 'close');
    expect(await run(['events', 'send', 'a.b', '--url', `http://127.0.0.1:${port}`])).toEqual({
      code: 1,
      stdout: '',
      stderr: `posthorn: nothing answers at http://127.0.0.1:${port}; is Posthorn running? Start it with \`npm start\` or \`posthorn dev\`\n`,
    });
  });

  test('where something else answers says so, and follows no redirect with the key', async () => {
    server.answer = () => ({ status: 200, body: '<html>', headers: { 'content-type': 'text/html' } });
    expect((await run(['events', 'send', 'a.b'])).stderr).toMatch(/answers \(HTTP 200\), but not as Posthorn does/);
    server.answer = () => ({ status: 307, headers: { location: '/elsewhere' } });
    expect((await run(['events', 'send', 'a.b'])).stderr).toMatch(/answers \(HTTP 307\), but not as Posthorn does/);
    expect(server.requests.map(({ path }) => path)).toEqual(['/v1/events', '/v1/events']);
  });
});

const delivery = {
  id: 'whd_01JXYZ4T8Q2M5N7P9R1S3V5000',
  webhookId: 'wh_01JXYZ4T8Q2M5N7P9R1S3V5W7Y',
  eventId: 'evt_01JXYZ4T8Q2M5N7P9R1S3V5W7Y',
  eventType: 'order.paid',
  status: 'dead_letter',
  reason: 'schedule_exhausted',
  attempts: 10,
  nextAttemptAt: null,
  lastError: 'connect_refused',
  createdAt: '2026-01-31T12:00:00.000Z',
  endedAt: '2026-02-03T12:00:00.000Z',
  acknowledgedAt: null,
};

describe('deliveries list', () => {
  test('asks for what the filter says and shows a table in local time', async () => {
    server.answer = () => ({ status: 200, body: { deliveries: [delivery], nextCursor: 'abc' } });
    const filter = [
      '--status',
      'dead_letter',
      '--webhook',
      delivery.webhookId,
      '--type',
      'order.*',
      '--to',
      '2026-02-01',
    ];
    const { code, stdout } = await run(['deliveries', 'list', ...filter, '--from', '2026-01-30', '--limit', '5']);
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(
        /^DELIVERY {2,}STATUS {2,}EVENT TYPE {2,}ATTEMPTS {2,}LAST ERROR {2,}CREATED {2,}NEXT ATTEMPT {2,}WEBHOOK$/,
      ),
      expect.stringMatching(
        /^whd_01JXYZ4T8Q2M5N7P9R1S3V5000 {2}dead_letter {2}order\.paid {2}10 {8}connect_refused {2}2026-01-31 13:00:00 (CET|GMT\+1) {2,}wh_01JXYZ4T8Q2M5N7P9R1S3V5W7Y$/,
      ),
      'More with --cursor abc',
      '',
    ]);
    expect(server.requests[0]).toMatchObject({
      method: 'GET',
      path: '/v1/deliveries',
      query: {
        status: 'dead_letter',
        webhookId: delivery.webhookId,
        type: 'order.*',
        from: '2026-01-30T00:00:00.000Z',
        to: '2026-02-01T00:00:00.000Z',
        limit: '5',
      },
    });
  });

  test('counts a duration back from now and passes the cursor on', async () => {
    server.answer = () => ({ status: 200, body: { deliveries: [], nextCursor: null } });
    const before = Date.now();
    expect((await run(['deliveries', 'list', '--from', '2h', '--cursor', 'abc'])).stdout).toBe(
      'No deliveries match.\n',
    );
    const { from, cursor, limit } = server.requests[0]!.query;
    expect({ cursor, limit }).toEqual({ cursor: 'abc', limit: '20' });
    expect(Date.parse(from!)).toBeGreaterThanOrEqual(before - 7_200_000);
    expect(Date.parse(from!)).toBeLessThanOrEqual(Date.now() - 7_200_000);
  });

  test('shows no control characters that came from elsewhere', async () => {
    const body = { deliveries: [{ ...delivery, lastError: 'bad\u001b[2J\u009b\r\nx' }], nextCursor: null };
    server.answer = () => ({ status: 200, body });
    const { stdout } = await run(['deliveries', 'list']);
    // eslint-disable-next-line no-control-regex -- none may be left
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(stdout).toContain('bad [2J x');
    expect(JSON.parse((await run(['deliveries', 'list', '--json'])).stdout)).toEqual(body);
  });
});

describe('deliveries redeliver', () => {
  test('goes on after a delivery that cannot be sent again, and ends with exit code 1', async () => {
    server.answer = ({ path }) =>
      path.includes('whd_2')
        ? { status: 409, body: { code: 'INVALID_STATE', message: 'The endpoint is disabled.', requestId: 'req_1' } }
        : { status: 200, body: delivery };
    const { code, stdout, stderr } = await run(['deliveries', 'redeliver', 'whd_1', 'whd_2', 'whd_3']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'whd_1 is sent again.\nwhd_3 is sent again.\n' });
    expect(stderr).toMatch(/^whd_2: The endpoint is disabled\..*\(req_1\)\n$/);
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /v1/deliveries/whd_1/redeliver',
      'POST /v1/deliveries/whd_2/redeliver',
      'POST /v1/deliveries/whd_3/redeliver',
    ]);
  });

  test('stops at once where the key is wrong', async () => {
    server.answer = () => ({
      status: 401,
      body: { code: 'UNAUTHORIZED', message: 'No valid API key.', requestId: 'req_1' },
    });
    const { code } = await run(['deliveries', 'redeliver', 'whd_1', 'whd_2']);
    expect({ code, requests: server.requests.length }).toEqual({ code: 1, requests: 1 });
  });

  test('only counts with --dry-run', async () => {
    server.answer = () => ({ status: 200, body: { deliveries: 1234 } });
    const { code, stdout } = await run(['deliveries', 'redeliver', '--status', 'dead_letter', '--dry-run']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '1,234 deliveries match.\n' });
    expect(server.requests.map(({ body }) => JSON.parse(body) as unknown)).toEqual([
      { status: 'dead_letter', dryRun: true },
    ]);
  });

  test('sends all that match at the rate given', async () => {
    server.answer = ({ body }) => ({
      status: (JSON.parse(body) as { dryRun: boolean }).dryRun ? 200 : 202,
      body: { deliveries: 120 },
    });
    const filter = ['--status', 'dead_letter', '--webhook', delivery.webhookId, '--type', 'order.paid'];
    const { code, stdout } = await run(['deliveries', 'redeliver', ...filter, '--rate', '50', '--yes']);
    expect(code).toBe(0);
    expect(stdout).toBe('Sending 120 deliveries again at 50/s, which takes about 3 s. The server goes on by itself.\n');
    expect(JSON.parse(server.requests.at(-1)!.body)).toEqual({
      status: 'dead_letter',
      webhookId: delivery.webhookId,
      type: 'order.paid',
      dryRun: false,
      ratePerSecond: 50,
    });
  });
});

describe('webhooks', () => {
  const webhook = {
    id: delivery.webhookId,
    url: 'http://127.0.0.1:9000/hook',
    events: ['order.*', 'x'],
    isActive: true,
  };

  test('are made with their secret shown once, listed and deleted', async () => {
    server.answer = () => ({ status: 201, body: { ...webhook, secret: 'whsec_abc' } });
    const made = await run(['webhooks', 'create', webhook.url, '--events', 'order.*, x', '--description', 'mine']);
    expect(made.stdout).toBe(`Webhook  ${webhook.id}\nSecret   whsec_abc\nThe secret is not shown again.\n`);
    expect(JSON.parse(server.requests[0]!.body)).toEqual({
      url: webhook.url,
      events: ['order.*', 'x'],
      description: 'mine',
    });

    server.answer = () => ({ status: 200, body: { webhooks: [{ ...webhook, createdAt: delivery.createdAt }] } });
    expect((await run(['webhooks', 'list'])).stdout).toMatch(
      /wh_01JXYZ4T8Q2M5N7P9R1S3V5W7Y {2}yes {5}http:.*order\.\*,x/,
    );

    server.answer = () => ({ status: 204 });
    expect((await run(['webhooks', 'delete', webhook.id])).stdout).toBe(`${webhook.id} is deleted.\n`);
    expect(server.requests.at(-1)).toMatchObject({ method: 'DELETE', path: `/v1/webhooks/${webhook.id}` });
  });
});

describe('keys create', () => {
  const made = { id: 'key_1', key: 'ph_live_abc' };

  test('asks the server that is named, for the tenant and until the time given', async () => {
    server.answer = () => ({ status: 201, body: made });
    const { code, stdout } = await run(
      [
        'keys',
        'create',
        '--role',
        'member',
        '--tenant',
        'acme',
        '--name',
        'ci',
        '--expires',
        '2999-01-01T00:00:00Z',
        '--json',
      ],
      { env: { POSTHORN_API_KEY: 'operator-key-0123456789' } },
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      ...made,
      role: 'member',
      tenant: 'acme',
      member: null,
      scopes: null,
      name: 'ci',
      expiresAt: '2999-01-01T00:00:00.000Z',
    });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({ method: 'POST', path: '/v1/api-keys' });
    expect(server.requests[0]!.headers).toMatchObject({
      authorization: 'Bearer operator-key-0123456789',
      'posthorn-tenant': 'acme',
    });
    expect(JSON.parse(server.requests[0]!.body)).toEqual({
      role: 'member',
      name: 'ci',
      expiresAt: '2999-01-01T00:00:00.000Z',
    });
  });

  test('asks for scopes and a prefix', async () => {
    server.answer = () => ({ status: 201, body: made });
    const scoped = ['--scope', 'events:write', '--scope', 'webhooks:read', '--prefix', 'gx_live_'];
    const { stdout } = await run(['keys', 'create', '--role', 'admin', ...scoped]);
    expect(stdout).toContain('Role     admin of tenant default\nScopes   events:write, webhooks:read\n');
    expect(JSON.parse(server.requests[0]!.body)).toEqual({
      role: 'admin',
      scopes: ['events:write', 'webhooks:read'],
      prefix: 'gx_live_',
    });
  });

  test('asks for a personal key, whose role is that of its member', async () => {
    server.answer = () => ({ status: 201, body: made });
    const { stdout } = await run(['keys', 'create', '--member', 'mem_1', '--tenant', 'acme']);
    expect(stdout).toContain('Role     that of mem_1 of tenant acme\n');
    expect(JSON.parse(server.requests[0]!.body)).toEqual({ memberId: 'mem_1' });
  });

  test('shows the key once and where it was made', async () => {
    server.answer = () => ({ status: 201, body: made });
    expect(await run(['keys', 'create'])).toEqual({
      code: 0,
      stdout:
        `Key      ph_live_abc\nId       key_1\nRole     owner of tenant default\nExpires  never\n` +
        `Made in  ${server.url}\nThe key is not shown again.\n`,
      stderr: '',
    });
  });
});

/** Answers as the API would, for the examples. */
function answerExample(path: string, method: string): { status: number; body?: unknown } {
  if (path === '/v1/events') return { status: 202, body: accepted };
  if (path === '/v1/deliveries') return { status: 200, body: { deliveries: [delivery], nextCursor: null } };
  if (path === '/v1/deliveries/redeliver') return { status: 200, body: { deliveries: 3 } };
  if (path === '/v1/webhooks' && method === 'POST') return { status: 201, body: { id: 'wh_1', secret: 'whsec_1' } };
  if (path === '/v1/webhooks/import') return { status: 200, body: { results: [] } };
  if (path === '/v1/api-keys') return { status: 201, body: { id: 'key_1', key: 'ph_live_1' } };
  return { status: 404, body: { code: 'NOT_FOUND', message: `${method} ${path}`, requestId: 'req_1' } };
}

test('every example of docs/command-line.md works', { timeout: 60_000 }, async () => {
  server.answer = ({ path, method }) => answerExample(path, method);
  const order = '{"total":1050}';
  writeFileSync(join(folder, 'order.json'), order);
  writeFileSync(join(folder, 'webhooks.csv'), 'url,events\nhttps://a.example/,a.b\n');
  writeFileSync(join(folder, 'table.csv'), 'target,events,organization_id\nhttps://a.example/,a.b,acme\n');
  const page = readFileSync(join(import.meta.dirname, '../../docs/command-line.md'), 'utf8');
  const blocks = [...page.matchAll(/```sh\n([^]*?)```/g)].map(([, text]) => text!);
  const examples = blocks.flatMap((text) => text.trim().split('\n'));
  expect(examples.length).toBeGreaterThan(7);
  for (const example of examples) {
    const words = [...example.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);
    const argv = words.slice(1).filter((word, index, all) => word !== '<' && all[index - 1] !== '<');
    const { code, stderr } = await run(argv, { stdin: order });
    expect({ example, program: words[0], code, stderr }).toEqual({ example, program: 'posthorn', code: 0, stderr: '' });
  }
});
