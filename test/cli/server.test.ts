import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pendingMigrations } from '../../src/posthorn.ts';
import { ended, runCommand, startScript } from './run-command.ts';
import type { Ended } from './run-command.ts';

let folder: string;
let dataDir: string;
const children: ChildProcessWithoutNullStreams[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'posthorn-server-'));
  dataDir = join(folder, 'data');
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  rmSync(folder, { recursive: true });
});

const environment = (env: Record<string, string>): Record<string, string> => ({
  POSTHORN_DATA_DIR: dataDir,
  // A named server is what `keys create` would ask.
  POSTHORN_URL: '',
  ...env,
});

const run = (argv: readonly string[], env: Record<string, string> = {}): Promise<Ended> =>
  runCommand(argv, { cwd: folder, env: environment(env) });

/** Starts a server and waits until its output has a line with its address. */
async function startServer(
  argv: readonly string[],
  env: Record<string, string> = {},
): Promise<{ child: ChildProcessWithoutNullStreams; end: Promise<Ended>; address: string }> {
  const child = startScript('src/cli/main.ts', argv, { cwd: folder, env: environment(env) });
  children.push(child);
  const end = ended(child);
  const address = await new Promise<string>((resolve, reject) => {
    let seen = '';
    child.stdout.on('data', (text: string) => {
      seen += text;
      const found = /"address":"([^"]+)"/.exec(seen);
      if (found) resolve(found[1]!);
    });
    void end.then(({ stderr }) => reject(new Error(stderr)));
  });
  return { child, end, address };
}

const startDev = (): ReturnType<typeof startServer> => startServer(['dev', '--port', '0', '--json']);

describe('a server that cannot start says why in one line and ends with 1', () => {
  async function expectRefusal(argv: readonly string[], says: RegExp): Promise<void> {
    const { code, stderr } = await run(argv);
    expect(stderr).toMatch(says);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect(code).toBe(1);
  }

  test('where the port is in use, and leaves the other alone', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await expectRefusal(['dev', '--port', String(port)], /^posthorn: port \d+ on 127\.0\.0\.1 is in use; .*--port$/m);
    other.close();
  });

  test('where the data directory is a file', async () => {
    writeFileSync(dataDir, '');
    await expectRefusal(['dev', '--port', '0'], /^posthorn: .*data is not a directory; .*--data-dir$/m);
  });

  test('where another server holds the data directory', async () => {
    await startDev();
    await expectRefusal(['dev', '--port', '0'], /^posthorn: The data directory .* is in use by another Posthorn\./);
    await expectRefusal(['keys', 'create'], /data is in use by a running server; give its address with --url/);
  });

  test('where the store lacks migrations in production, naming the command that applies them, and logs nothing', async () => {
    const pending = pendingMigrations(dataDir).length;
    expect(await run(['serve', '--port', '0'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `posthorn: The store in ${dataDir} needs ${pending} migrations: run \`posthorn migrate\` with the same settings first.\n`,
    });
    const other = join(folder, 'other data');
    expect((await run(['serve', '--port', '0', '--data-dir', other])).stderr).toBe(
      `posthorn: The store in ${other} needs ${pending} migrations: run \`posthorn migrate --data-dir '${other}'\` with the same settings first.\n`,
    );
  });
});

test('migrate lists with --dry-run without making anything, then applies, then has nothing to do', async () => {
  const listed = JSON.parse((await run(['migrate', '--dry-run', '--json'])).stdout) as { migrations: string[] };
  expect(listed.migrations[0]).toMatch(/^001-/);
  expect(readdirSync(folder)).toEqual([]);
  const applied = await run(['migrate']);
  expect(applied.code).toBe(0);
  expect(applied.stdout.split('\n')[1]).toBe(`  ${listed.migrations[0]}`);
  expect((await run(['migrate'])).stdout).toBe(`${dataDir} is up to date.\n`);
});

test('the first key is made in the store, works in production, and makes further ones through the server', async () => {
  const first = JSON.parse((await run(['keys', 'create', '--role', 'operator', '--json'])).stdout) as { key: string };
  const { child, end, address } = await startServer(['serve', '--port', '0', '--create-tenants']);
  const connection = ['--url', address, '--api-key', first.key];
  const second = await run(['keys', 'create', '--role', 'member', '--tenant', 'acme', '--json', ...connection]);
  expect({ code: second.code, stderr: second.stderr }).toEqual({ code: 0, stderr: '' });
  const { key } = JSON.parse(second.stdout) as { key: string };
  const sent = await run(['events', 'send', 'a.b', '--url', address, '--api-key', key]);
  expect(sent).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^evt_.* accepted, goes to 0 endpoints\.\n/),
    stderr: '',
  });

  child.kill('SIGTERM');
  const { code, stdout, stderr } = await end;
  expect({ code, stderr }).toEqual({ code: 0, stderr: 'Draining…\n' });
  for (const line of stdout.trimEnd().split('\n'))
    expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number) });
  expect(stdout).not.toContain(first.key);
  expect(stdout).not.toContain(key);
});

test('a key made in the store has its scopes, its prefix and the default plan of its tenant', async () => {
  const operator = JSON.parse((await run(['keys', 'create', '--role', 'operator', '--json'])).stdout) as {
    key: string;
  };
  const first = await startServer(['serve', '--port', '0', '--create-tenants']);
  const ask = async (address: string, key: string, method: string, path: string, body?: object) => {
    const response = await fetch(address + path, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'posthorn-tenant': 'acme' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  await ask(first.address, operator.key, 'PUT', '/v1/plans/starter', { isDefault: true });
  const member = await ask(first.address, operator.key, 'POST', '/v1/members', { role: 'admin' });
  first.child.kill('SIGTERM');
  await first.end;

  const make = async (...argv: string[]) => {
    const { code, stdout, stderr } = await run(['keys', 'create', '--json', ...argv]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return (JSON.parse(stdout) as { key: string }).key;
  };
  const scoped = await make('--role', 'admin', '--tenant', 'globex', '--scope', 'events:read', '--prefix', 'gx_test_');
  const personal = await make('--tenant', 'acme', '--member', member.id as string);
  expect([scoped, personal]).toEqual([expect.stringMatching(/^gx_test_/), expect.stringMatching(/^gpat_/)]);
  const unknown = await run(['keys', 'create', '--member', 'mem_nobody']);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('memberId: is no member')]);

  const { child, end, address } = await startServer(['serve', '--port', '0']);
  expect(await ask(address, operator.key, 'GET', '/v1/tenants/globex')).toMatchObject({ plan: 'starter' });
  expect(await ask(address, personal, 'GET', '/v1/whoami')).toMatchObject({ role: 'admin', memberId: member.id });
  const globex = { headers: { authorization: `Bearer ${scoped}` } };
  expect((await fetch(`${address}/v1/events`, globex)).status).toBe(200);
  expect((await fetch(`${address}/v1/webhooks`, globex)).status).toBe(403);
  child.kill('SIGTERM');
  await end;
});

test('a key is made in the store although something answers at the configured address', async () => {
  const asked: string[] = [];
  const other = createServer((request, response) => {
    asked.push(request.url!);
    response.end('{}');
  }).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const { code, stdout, stderr } = await run(['keys', 'create', '--expires', '90d'], { POSTHORN_PORT: String(port) });
  expect({ code, stderr, asked }).toEqual({ code: 0, stderr: '', asked: [] });
  expect(stdout).toMatch(
    /^Key {6}ph_live_\w{49}\nId {7}key_\w{26}\nRole {5}owner of tenant default\nExpires {2}\d{4}-/,
  );
  expect(stdout).toContain(`\nMade in  ${dataDir}\nThe key is not shown again.\n`);
  other.close();
});

test('an endpoint is made, sent to, listed, and what failed is delivered again, all from the command line', async () => {
  let status = 410;
  const bodies: string[] = [];
  const receiver = createServer((request: IncomingMessage, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      bodies.push(body);
      response.writeHead(status).end();
      receiver.emit('delivery');
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`;
  const { address } = await startDev();
  const env = { POSTHORN_URL: address };

  const made = await run(['webhooks', 'create', hook, '--events', 'order.*', '--json'], env);
  const { id } = JSON.parse(made.stdout) as { id: string };
  const arrived = once(receiver, 'delivery');
  expect((await run(['events', 'send', 'order.paid', '--data', '{"total":10.50}'], env)).stdout).toMatch(
    /to 1 endpoint\./,
  );
  await arrived;

  // 410 is the end of a delivery and of its endpoint, until somebody enables it.
  const filter = ['--status', 'dead_letter', '--webhook', id];
  const deadline = Date.now() + 10_000;
  let listed = '';
  while (!listed.includes('dead_letter') && Date.now() < deadline) {
    listed = (await run(['deliveries', 'list', ...filter], env)).stdout;
  }
  expect(listed).toMatch(/whd_\w{26} {2}dead_letter {2}order\.paid +1 +410/);
  const deliveryId = /whd_\w{26}/.exec(listed)![0];
  const refused = await run(['deliveries', 'redeliver', deliveryId], env);
  expect({ code: refused.code, stderr: refused.stderr }).toEqual({ code: 1, stderr: expect.stringContaining('(req_') });

  status = 200;
  await fetch(`${address}/v1/webhooks/${id}/enable`, {
    method: 'POST',
    headers: { authorization: 'Bearer dev-api-key-local' },
  });
  expect((await run(['deliveries', 'redeliver', ...filter, '--dry-run'], env)).stdout).toBe('1 delivery matches.\n');
  const again = once(receiver, 'delivery');
  const sent = await run(['deliveries', 'redeliver', ...filter, '--rate', '50', '--yes'], env);
  expect(sent).toEqual({ code: 0, stdout: expect.stringMatching(/^Sending 1 delivery again at 50\/s/), stderr: '' });
  await again;
  expect(bodies).toHaveLength(2);
  expect(bodies[1]).toBe(bodies[0]);
  receiver.close();
});
