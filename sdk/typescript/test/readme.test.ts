import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { startReceiver, type Receiver } from '../../../test/e2e/receiver.ts';
import { dataDir, startServer, type Running } from '../../../test/e2e/server.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const snippets = new Map([...readme.matchAll(/^```js (\S+)\n(.*?)^```$/gms)].map(([, name, code]) => [name!, code!]));
const ran = new Set<string>();

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const body = '{ "type": "order.paid", "data": {} }';
const folder = mkdtempSync(join(tmpdir(), 'posthorn-readme-'));
const data = dataDir();
const closers: (() => unknown)[] = [];
let posthorn: Running;
let receiver: Receiver;

beforeAll(async () => {
  symlinkSync(join(root, '../../node_modules'), join(folder, 'node_modules'));
  [posthorn, receiver] = await Promise.all([startServer(data.path), startReceiver()]);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const close of closers.splice(0)) await close();
});
afterAll(async () => {
  await Promise.all([posthorn.stop(), receiver.close()]);
  rmSync(folder, { recursive: true });
  data.remove();
});

/** Runs a snippet as a module, from the sources and on ports of this test, and gives its exports and what it printed. */
async function run(name: string): Promise<{ exports: Record<string, unknown>; printed: string }> {
  ran.add(name);
  const file = join(folder, `${name}.mjs`);
  const source = (path: string): string => pathToFileURL(join(root, 'src', path)).href;
  const code = snippets
    .get(name)!
    .replace(/'@posthorn\/sdk'/g, `'${source('index.ts')}'`)
    .replace(/'@posthorn\/sdk\/(\w+)'/g, (_, part: string) => `'${source(`receive/${part}.ts`)}'`)
    .replaceAll('http://127.0.0.1:3001', posthorn.base)
    .replaceAll('http://127.0.0.1:9000', receiver.url(''))
    .replace('app.listen(9000)', 'export const server = app.listen(0)')
    .replace('await app.listen({ port: 9000 })', 'await app.listen({ port: 0 });\nexport const { server } = app');
  writeFileSync(file, code);
  vi.stubEnv('WEBHOOK_SECRET', secret);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  const exports = (await import(/* @vite-ignore */ file)) as Record<string, unknown>;
  const printed = (): string => log.mock.calls.map((line) => line.join(' ')).join('\n');
  return {
    exports,
    get printed() {
      return printed();
    },
  };
}

function signedHeaders(): Record<string, string> {
  const time = String(Math.floor(Date.now() / 1000));
  const hmac = createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(`evt_1.${time}.${body}`);
  return {
    ...{ 'content-type': 'application/json', 'webhook-id': 'evt_1', 'webhook-timestamp': time },
    'webhook-signature': `v1,${hmac.digest('base64')}`,
  };
}

async function post(server: Server, headers: Record<string, string>): Promise<{ status: number; text: string }> {
  closers.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/hook`, { method: 'POST', body, headers });
  return { status: response.status, text: await response.text() };
}

it('makes a webhook and sends an event', async () => {
  const { printed } = await run('send');
  expect(printed).toMatch(/^WEBHOOK_SECRET=whsec_\S+\nevt_\w+ is on disk, and on its way$/);
  const { body: received } = await receiver.waitFor(({ path }) => path === '/hook');
  expect(JSON.parse(received)).toMatchObject({ type: 'order.paid', data: { orderId: 'o-1' } });
});

it.each(['express', 'express-json', 'fastify'])('receives with %s', async (name) => {
  const result = await run(name);
  const server = result.exports.server as Server;
  const { status, text } = await post(server, signedHeaders());
  if (name === 'express') {
    expect([status, text, result.printed]).toEqual([204, '', 'evt_1 order.paid [object Object]']);
  } else {
    expect([status, JSON.parse(text)]).toEqual([200, { received: 'order.paid' }]);
  }
  const { port } = server.address() as AddressInfo;
  const unsigned = await fetch(`http://127.0.0.1:${port}/hook`, { method: 'POST', body });
  expect([unsigned.status, await unsigned.json()]).toMatchObject([400, { code: 'missing_header' }]);
});

it.each(['hono', 'next-app'])('receives with %s', async (name) => {
  const { exports } = await run(name);
  const app = exports.default as { fetch: (request: Request) => Promise<Response> } | undefined;
  const handle = app === undefined ? (exports.POST as (request: Request) => Promise<Response>) : app.fetch;
  const ask = (headers: Record<string, string>): Promise<Response> =>
    handle(new Request('http://localhost/hook', { method: 'POST', body, headers }));
  expect(await (await ask(signedHeaders())).json()).toEqual({ received: 'order.paid' });
  expect((await ask({})).status).toBe(400);
});

it('receives with next-pages', async () => {
  const { exports } = await run('next-pages');
  expect(exports.config).toEqual({ api: { bodyParser: false } });
  const server = createServer(exports.default as RequestListener).listen(0, '127.0.0.1');
  expect((await post(server, signedHeaders())).status).toBe(204);
});

it('verifies by hand', async () => {
  const { exports } = await run('verify');
  const receive = exports.receive as (...given: unknown[]) => string;
  expect(receive(body, signedHeaders(), secret)).toBe('order.paid');
  expect(receive(body, signedHeaders(), 'whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u')).toMatch(/^no_match: /);
});

it('verifies with a secret kept ready', async () => {
  const { exports } = await run('webhook-class');
  const receive = exports.receive as (...given: unknown[]) => boolean;
  expect([receive(body, signedHeaders()), receive('{}', signedHeaders())]).toEqual([true, false]);
});

it('lists', async () => {
  expect((await run('lists')).printed).toMatch(/^\d+ /);
});

it('shows errors', async () => {
  expect((await run('errors')).printed).toMatch(/^BAD_REQUEST req_\w+\nevents /);
});

it('every snippet of the page was run', () => {
  expect([...ran].sort()).toEqual([...snippets.keys()].sort());
});
