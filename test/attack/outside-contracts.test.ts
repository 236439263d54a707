import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { networkOf } from '../../src/api/signup.ts';
import { loadConfig } from '../../src/config.ts';
import { createPosthornServer } from '../../src/posthorn.ts';
import { startFakeServer } from '../cli/fake-server.ts';
import { runCommand, type Ended } from '../cli/run-command.ts';
import { Client, dataDir, startServer, type Running } from '../e2e/server.ts';

const data = dataDir();
let posthorn: Running;

beforeAll(async () => {
  posthorn = await startServer(data.path, { rateLimit: '0' });
});

afterAll(async () => {
  await posthorn.stop();
  data.remove();
});

const hook = { url: 'http://127.0.0.1:9/hook', events: ['*'] };

async function keyed(server: Running, body: object): Promise<Client> {
  const made = await server.call('POST', '/v1/api-keys', body);
  return new Client(server.base, { authorization: `Bearer ${made.body.key}` });
}

describe('requests a minute', () => {
  it('are counted also where the role or the scope of the key is refused', async () => {
    const own = dataDir();
    const server = await startServer(own.path, { rateLimit: '3' });
    onTestFinished(async () => {
      await server.stop();
      own.remove();
    });
    const viewer = await keyed(server, { role: 'viewer' });
    const scoped = await keyed(server, { role: 'owner', scopes: ['events:read'] });
    for (const [client, path] of [
      [viewer, '/v1/webhooks'],
      [scoped, '/api/v1/org/webhooks'],
    ] as const) {
      const answers = [];
      for (let i = 0; i < 4; i++) answers.push(await client.call('POST', path, hook));
      // A new minute may begin between two of them, and then the count begins anew.
      const left = answers.map(({ headers }) => headers.get('x-ratelimit-remaining'));
      expect(left.some((text) => text === null)).toBe(false);
      if (left[3] === '0') expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 429]);
    }
  });

  it('end at one moment, as Grantiva is told it, before and after they are used up', async () => {
    const own = dataDir();
    const server = await startServer(own.path, { rateLimit: '1' });
    onTestFinished(async () => {
      await server.stop();
      own.remove();
    });
    const resets: (string | null)[] = [];
    for (let minute = -1; minute !== Math.floor(Date.now() / 60_000);) {
      minute = Math.floor(Date.now() / 60_000);
      resets.length = 0;
      for (let i = 0; i < 3; i++) {
        const { headers } = await server.call('GET', '/api/v1/org/webhooks');
        resets.push(headers.get('x-ratelimit-reset'));
      }
      if (minute === Math.floor(Date.now() / 60_000)) break;
    }
    expect(new Set(resets).size).toBe(1);
    expect(Number(resets[0]) % 60).toBe(0);
  });
});

describe('sessions', () => {
  it('of one member are fifty at most: the oldest ends for the next, for ever', async () => {
    const { body: member } = await posthorn.call('POST', '/v1/members', { role: 'viewer' });
    const personal = await keyed(posthorn, { memberId: member.id });
    const tokens: string[] = [];
    for (let i = 0; i < 52; i++) tokens.push((await personal.call('POST', '/v1/sessions', {})).body.token as string);
    const statusOf = async (token: string): Promise<number> =>
      (await fetch(`${posthorn.base}/v1/whoami`, { headers: { cookie: `posthorn_session=${token}` } })).status;
    expect(await Promise.all([0, 1, 2, 51].map((i) => statusOf(tokens[i]!)))).toEqual([401, 401, 200, 200]);
    const kept = await posthorn.server.store.sessions.all(Date.now());
    expect(kept).toHaveLength(50);
  });
});

describe('sign-ups', () => {
  it.each([
    ['2001:db8::1', '2001:db8:0:0:ffff::2', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::', true],
    ['fe80::1%eth0', 'fe80::2%eth0', true],
    ['::ffff:192.0.2.1', '192.0.2.1', true],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.2', false],
    ['192.0.2.1', '192.0.2.2', false],
  ])('from %s and %s count as from one network: %s', (one, other, isOne) => {
    expect(networkOf(one) === networkOf(other)).toBe(isOne);
  });
});

describe('an import', () => {
  it('takes two spellings of one id for one, in a dry run too', async () => {
    const id = '5f0c2a52-9f2b-4b7e-8a54-0f6f7a8d2c11';
    const wh = 'wh_01JXYZ4T8Q2M5N7P9R1S3V5000';
    const webhooks = [id, id.toUpperCase(), wh, wh.toLowerCase()].map((text) => ({ ...hook, id: text }));
    for (const dryRun of [true, false]) {
      const { body } = await posthorn.call('POST', '/v1/webhooks/import', { webhooks, dryRun });
      expect(body).toMatchObject({ created: 2, existing: 0, invalid: 2 });
      expect(body.results[1].errors).toEqual([{ field: 'id', message: expect.stringContaining('webhooks[0]') }]);
      expect(body.results[3].errors).toEqual([{ field: 'id', message: expect.stringContaining('webhooks[2]') }]);
    }
  });
});

describe('Grantiva’s error for a body that is none', () => {
  it('gives no advice about fields that it does not name', async () => {
    const { status, body } = await posthorn.call('POST', '/api/v1/org/webhooks', '{', {
      'content-type': 'application/json',
    });
    expect(status).toBe(400);
    expect(body).toEqual({
      error: expect.stringContaining('not valid JSON'),
      code: 'bad_request',
      requestId: expect.any(String),
    });
  });
});

describe('an error in absolute form of the target', () => {
  it.each([
    ['/api/v1/org/webhooks', 401, { code: 'unauthorized' }],
    ['/api/v1/org/nothing', 404, { code: 'not_found' }],
    ['/v1/webhooks/history?page=1', 401, { data: null }],
    ['/v1/webhooks', 401, { code: 'UNAUTHORIZED', status: 401 }],
  ])('has the body of the face whose path it is: %s', async (path, status, body) => {
    const { port } = new URL(posthorn.base);
    const text = await new Promise<string>((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: `http://localhost:${port}${path}`, agent: false }, (response) => {
        expect(response.statusCode).toBe(status);
        response.setEncoding('utf8');
        let all = '';
        response.on('data', (chunk: string) => (all += chunk));
        response.on('end', () => resolve(all));
      })
        .on('error', reject)
        .end();
    });
    expect(JSON.parse(text)).toMatchObject(body);
  });
});

describe('the log of refusals', () => {
  it('says where a body is wrong and quotes nothing of it', async () => {
    const lines: string[] = [];
    const own = dataDir();
    const flags = { dataDir: own.path, port: '0' };
    const config = loadConfig({ mode: 'dev', flags, env: {}, file: null });
    const logger = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) });
    const server = createPosthornServer(config, { logger });
    const client = new Client((await server.start()).address);
    onTestFinished(async () => {
      await server.stop();
      own.remove();
    });
    const json = { 'content-type': 'application/json' };
    await client.call('POST', '/v1/webhooks', '{"url":"https://a.example","secret":whsec_CANARY}', json);
    await client.call('POST', '/v1/events', '{"type":"a.b","data":CANARY}', json);
    await client.call('POST', '/v1/webhooks', { ...hook, secret: 'CANARY' });
    const refused = lines.filter((line) => line.includes('request.refused'));
    expect(refused).toHaveLength(3);
    expect(refused[2]).toContain('"fields":["secret"]');
    expect(lines.filter((line) => line.includes('CANARY'))).toEqual([]);
  });
});

describe('posthorn import', () => {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-attack-'));
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  function run(content: string | Buffer, argv: readonly string[], env: Record<string, string>): Promise<Ended> {
    writeFileSync(join(folder, argv[0]!), content);
    return runCommand(['import', ...argv], { cwd: folder, env });
  }

  it('takes the rows of other tenants where one is refused, or cannot be one', async () => {
    await posthorn.call('POST', '/v1/tenants', { id: 'acme' });
    const { body } = await posthorn.call('POST', '/v1/api-keys', { role: 'owner' }, { 'posthorn-tenant': 'acme' });
    const csv = [
      'id,url,events,org',
      ...['globex', 'acme', 'no tenant', '組織', '"a\nb"'].map((org, n) => `t${n},https://a.example/,a.b,${org}`),
    ].join('\n');
    const argv = ['tenants.csv', '--tenants-from', 'org', '--json'];
    const { code, stdout } = await run(csv, argv, { POSTHORN_URL: posthorn.base, POSTHORN_API_KEY: body.key });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      created: 1,
      invalid: 4,
      results: [
        { status: 'invalid', errors: [{ field: 'tenant' }] },
        { status: 'created', id: 't1', secret: expect.any(String) },
        { status: 'invalid', errors: [{ field: 'org' }] },
        { status: 'invalid', errors: [{ field: 'org' }] },
        { status: 'invalid', errors: [{ field: 'org' }] },
      ],
    });
  });

  it('shows the secrets that were made before the server went away', async () => {
    const fake = await startFakeServer();
    onTestFinished(() => fake.close());
    fake.answer = ({ body }) => {
      if (fake.requests.length > 1) return { status: 503, body: { code: 'STORE_UNAVAILABLE', message: 'Gone.' } };
      const { webhooks } = JSON.parse(body) as { webhooks: unknown[] };
      const results = webhooks.map((_, index) => ({
        index,
        status: 'created',
        id: `wh_${index}`,
        secret: `s${index}`,
      }));
      return { status: 200, body: { results: results.map((result) => ({ ...result, errors: [] })) } };
    };
    const rows = Array.from({ length: 201 }, () => ({ url: 'https://a.example/', events: ['a.b'] }));
    const { code, stdout, stderr } = await run(JSON.stringify(rows), ['many.json'], { POSTHORN_URL: fake.url });
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'posthorn: Gone.\n' });
    expect(stdout).toContain('row 200  wh_199  s199');
    expect(stdout).toContain('200 endpoints were made.');
  });

  it('sends no more in one request than a server takes, and names a row that is too large by itself', async () => {
    const events = Array.from({ length: 256 }, (_, n) => `type.${n}.${'x'.repeat(80)}`);
    const rows = Array.from({ length: 60 }, (_, n) => ({ id: `large-${n}`, url: 'https://a.example/', events }));
    const huge = { id: 'huge', url: 'https://a.example/', events: ['a.b'], description: 'x'.repeat(1_200_000) };
    const { code, stdout, stderr } = await run(JSON.stringify([huge, ...rows]), ['large.json', '--dry-run'], {
      POSTHORN_URL: posthorn.base,
      POSTHORN_API_KEY: 'dev-api-key-local',
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '60 endpoints would be made, 1 not taken.\n' });
    expect(stderr).toMatch(/^row 1: row: The body is larger than 1048576 bytes\./);
  });

  it('refuses a file that is not UTF-8, whose letters would be lost', async () => {
    const csv = 'url,events,description\nhttps://a.example/,a.b,café\n';
    for (const encoding of ['latin1', 'utf16le'] as const) {
      const text = encoding === 'utf16le' ? `\ufeff${csv}` : csv;
      expect(await run(Buffer.from(text, encoding), ['other.csv'], {})).toEqual({
        code: 2,
        stdout: '',
        stderr: 'posthorn: other.csv is not UTF-8; save it as UTF-8\n',
      });
    }
  });
});
