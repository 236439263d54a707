import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startReceiver } from '../e2e/receiver.ts';
import { startProxy } from '../postgres/proxy.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';
import { ended, runCommand, startScript } from './run-command.ts';
import type { Ended } from './run-command.ts';

const MASTER_KEY = 'm'.repeat(40);
const OPERATOR_KEY = 'o'.repeat(40);
/** Where a local receiver may be. */
const LOCAL = ['--allow-http', '--allow-loopback', '--allow-ports', 'any'];

let server: PostgresServer;
let migrated: TestDatabase;
let database: TestDatabase;
let folder: string;
const children: ChildProcessWithoutNullStreams[] = [];

describe.skipIf(!hasPostgres(18))('on PostgreSQL', () => {
  beforeAll(async () => {
    server = await startPostgres();
    migrated = await server.createDatabase();
    folder = mkdtempSync(join(tmpdir(), 'posthorn-cli-'));
    const { code, stderr } = await run(['migrate'], { POSTHORN_DATABASE_URL: migrated.url });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    rmSync(folder, { recursive: true });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'posthorn-cli-'));
    database = await server.createDatabase(migrated.name);
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    await database.drop();
    rmSync(folder, { recursive: true });
  });

  const environment = (env: Record<string, string> = {}): Record<string, string> => ({
    POSTHORN_DATABASE_URL: database?.url ?? '',
    POSTHORN_MASTER_KEY: MASTER_KEY,
    POSTHORN_URL: '',
    ...env,
  });
  const run = (argv: readonly string[], env?: Record<string, string>): Promise<Ended> =>
    runCommand(argv, { cwd: folder, env: environment(env) });

  async function serve(argv: readonly string[] = [], env: Record<string, string> = {}) {
    const given = environment({ POSTHORN_OPERATOR_KEY: OPERATOR_KEY, ...env });
    const child = startScript('src/cli/main.ts', ['serve', '--port', '0', ...argv], { cwd: folder, env: given });
    children.push(child);
    const end = ended(child);
    const address = await addressOf(child, end);
    return { child, end, address };
  }

  async function expectRefusal(argv: readonly string[], env: Record<string, string>, says: RegExp): Promise<void> {
    const { code, stdout, stderr } = await run(argv, env);
    expect(stderr).toMatch(says);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  }

  describe('a server that cannot start says why in one line and ends with 1', () => {
    test('without a master key, since every node needs the same one', async () => {
      const says =
        /^posthorn: POSTHORN_MASTER_KEY: is needed with PostgreSQL, and the same on every node; make one with `openssl rand -base64 32`, or after a move give the old one, as POSTHORN_MASTER_KEY_FILE where it is a file$/m;
      await expectRefusal(['serve', '--port', '0'], { POSTHORN_MASTER_KEY: '' }, says);
      await expectRefusal(['keys', 'create'], { POSTHORN_MASTER_KEY: '' }, says);
      expect(readdirSync(folder)).toEqual([]);
    });

    test('with another master key than the one that the database was made with', async () => {
      expect((await run(['keys', 'create'])).code).toBe(0);
      const other = { POSTHORN_MASTER_KEY: 'x'.repeat(40) };
      const says =
        /^posthorn: The master key does not open this store: .* Set POSTHORN_MASTER_KEY to the key that it was made with/;
      await expectRefusal(['serve', '--port', '0'], other, says);
      await expectRefusal(['keys', 'create'], other, says);
    });

    test('on a schema that is not migrated, with the command that does it', async () => {
      const flags = ['--database-url', database.url, '--database-schema', 'hooks'];
      for (const command of [
        ['serve', '--port', '0'],
        ['keys', 'create'],
      ]) {
        await expectRefusal(
          [...command, ...flags],
          { POSTHORN_DATABASE_URL: '' },
          /^posthorn: The schema "hooks" of the database needs \d+ migrations?: run `posthorn migrate --database-url <the same> --database-schema hooks` with the same settings first\.$/m,
        );
      }
      await expectRefusal(
        ['serve', '--port', '0'],
        { POSTHORN_DATABASE_SCHEMA: 'hooks' },
        /: run `posthorn migrate` with the same settings first\.$/m,
      );
    });

    test('on a database that is not there, or takes no TLS', async () => {
      const env = { POSTHORN_DATABASE_URL: server.url('nowhere') };
      for (const command of [['serve', '--port', '0'], ['migrate'], ['dev', '--port', '0']]) {
        await expectRefusal(command, env, /^posthorn: PostgreSQL at .* has no database "nowhere"\. Make it: createdb /);
      }
      // No warning of the driver's beside it.
      await expectRefusal(['migrate'], { POSTHORN_DATABASE_URL: `${database.url}?sslmode=require` }, /has no TLS/);
    });
  });

  test('migrate lists with --dry-run, then applies, then has nothing to do', async () => {
    const env = { POSTHORN_DATABASE_SCHEMA: 'hooks' };
    const listed = JSON.parse((await run(['migrate', '--dry-run', '--json'], env)).stdout) as { migrations: string[] };
    expect(listed).toEqual({
      database: `PostgreSQL ${database.name} at 127.0.0.1:${server.port}`,
      schema: 'hooks',
      applied: false,
      migrations: expect.arrayContaining([expect.stringMatching(/^001-/)]),
    });
    const applied = await run(['migrate'], env);
    expect(applied.stdout.split('\n').slice(1, -1)).toEqual(listed.migrations.map((name) => `  ${name}`));
    const again = await run(['migrate'], { ...env, POSTHORN_MASTER_KEY: '' });
    expect(again).toEqual({
      code: 0,
      stdout: `${listed && again.stdout.split(' is ')[0]} is up to date.\n`,
      stderr: '',
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('development migrates by itself, keeps its key beside it, and shows where the data is', async () => {
    const child = startScript('src/cli/main.ts', ['dev', '--port', '0', '--json', '--database-schema', 'mine'], {
      cwd: folder,
      env: environment({ POSTHORN_MASTER_KEY: '' }),
    });
    children.push(child);
    const lines: string[] = [];
    child.stdout.on('data', (text: Buffer) => lines.push(String(text)));
    const end = ended(child);
    const address = await addressOf(child, end);
    expect(JSON.parse(lines.join(''))).toEqual({
      address,
      apiKey: 'dev-api-key-local',
      database: `PostgreSQL ${database.name} at 127.0.0.1:${server.port}`,
    });
    expect((await fetch(`${address}/readyz`)).status).toBe(200);
    child.kill('SIGTERM');
    expect((await end).code).toBe(0);
    expect(readdirSync(join(folder, '.posthorn'))).toEqual(['master.key']);
  });

  test('a key is made while servers run, works at all of them, and who makes it is no node that delivers', async () => {
    const first = await serve();
    const second = await serve();
    const made = await run(['keys', 'create', '--role', 'operator', '--json']);
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: '' });
    const { key } = JSON.parse(made.stdout) as { key: string };
    for (const { address } of [first, second]) {
      await expect
        .poll(
          async () => (await fetch(`${address}/v1/whoami`, { headers: { authorization: `Bearer ${key}` } })).status,
          {
            timeout: 2_000,
          },
        )
        .toBe(200);
    }
    const nodes = await server.query(
      'SELECT delivers, ended_at IS NULL AS is_live FROM posthorn.nodes ORDER BY number',
      database.name,
    );
    expect(nodes).toEqual([
      { delivers: true, is_live: true },
      { delivers: true, is_live: true },
      { delivers: false, is_live: false },
    ]);
  });

  test('with split roles one node takes events in and the other one delivers them', async () => {
    const receiver = await startReceiver();
    try {
      const api = await serve(['--role', 'api', '--create-tenants', ...LOCAL]);
      const deliver = await serve(['--role', 'deliver', ...LOCAL]);
      const ask = (address: string, path: string, body: object) =>
        fetch(address + path, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${OPERATOR_KEY}`,
            'content-type': 'application/json',
            'posthorn-tenant': 'acme',
          },
          body: JSON.stringify(body),
        });
      expect((await ask(api.address, '/v1/webhooks', { url: receiver.url(), events: ['*'] })).status).toBe(201);
      expect((await ask(api.address, '/v1/events', { type: 'a.b', data: { n: 1 } })).status).toBe(202);
      await receiver.waitFor(({ body }) => body.includes('"n":1'));

      const refused = await ask(deliver.address, '/v1/events', { type: 'a.b', data: {} });
      expect({ status: refused.status, body: await refused.json() }).toMatchObject({
        status: 503,
        body: {
          code: 'DELIVERS_ONLY',
          message: expect.stringMatching(/Send the request to a node with the role `api`/),
        },
      });
      expect((await fetch(`${deliver.address}/healthz`)).status).toBe(200);
      expect((await fetch(`${deliver.address}/readyz`)).status).toBe(200);
    } finally {
      await receiver.close();
    }
  });

  test('while the database is away or frozen, readiness and the API say so in time, and nothing is accepted', async () => {
    const proxy = await startProxy(server.port);
    const { address, end, child } = await serve(['--create-tenants'], {
      POSTHORN_DATABASE_URL: proxy.url(database.name),
    });
    const send = () =>
      fetch(`${address}/v1/events`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${OPERATOR_KEY}`,
          'content-type': 'application/json',
          'posthorn-tenant': 'acme',
          'idempotency-key': 'one',
        },
        body: '{"type":"a.b","data":{}}',
      });
    expect((await send()).status).toBe(202);

    proxy.freeze();
    const from = performance.now();
    const frozen = await fetch(`${address}/readyz`);
    expect(performance.now() - from).toBeLessThan(3_000);
    expect({ status: frozen.status, retryAfter: frozen.headers.get('retry-after') }).toEqual({
      status: 503,
      retryAfter: '1',
    });
    expect(await frozen.json()).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: 'The store did not answer within 2000 ms.',
    });

    proxy.refuse();
    for (const answer of [await fetch(`${address}/readyz`), await send()]) {
      expect({ status: answer.status, retryAfter: answer.headers.get('retry-after') }).toEqual({
        status: 503,
        retryAfter: '1',
      });
      expect(await answer.json()).toMatchObject({
        code: 'STORE_UNAVAILABLE',
        message: expect.stringMatching(/^The database does not answer now/),
      });
    }
    expect((await fetch(`${address}/healthz`)).status).toBe(200);

    proxy.pass();
    await expect.poll(async () => (await fetch(`${address}/readyz`)).status, { timeout: 10_000 }).toBe(200);
    expect((await send()).status).toBe(202);
    child.kill('SIGTERM');
    expect((await end).code).toBe(0);
    await proxy.close();
  });
});

/** The address that a server says it listens at. */
function addressOf(child: ChildProcessWithoutNullStreams, end: Promise<Ended>): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.stdout.on('data', (text: string | Buffer) => {
      seen += String(text);
      const found = /"address":"([^"]+)"/.exec(seen);
      if (found) resolve(found[1]!);
    });
    void end.then(({ stderr }) => {
      reject(new Error(stderr));
    });
  });
}
