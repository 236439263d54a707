/**
 * What the faces cost beside the native routes: CPU a request of a Posthorn process, for what both can be asked. The two
 * of a pair take turns, so that a machine that slows down slows both; the ratio is the median of all turns.
 *
 *   node bench/faces.ts [requests a turn = 400] [turns = 9] [--json]
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { loadConfig } from '../src/config.ts';
import { createPosthornServer } from '../src/posthorn.ts';
import { end, endAll, onInterrupt, temporaryFolder, track } from './processes.ts';
import { answer, startPeer, type Peer } from './rpc.ts';

const KEY = 'dev-api-key-local';
const ENDPOINTS = 20;
const DELIVERIES = 60;
const CONNECTIONS = 4;
const WARM_UP_TURNS = 2;

interface Request {
  method: 'GET' | 'POST';
  path: string;
  headers: Record<string, string>;
  body?: string;
}

interface Row {
  what: string;
  nativeUs: number;
  faceUs: number;
  ratio: number;
}

/** In the child: a Posthorn, and what CPU all its threads used since it was last asked. */
function serve(): void {
  let before = process.cpuUsage();
  answer({
    async start({ dataDir }: { dataDir: string }) {
      const flags = { dataDir, port: '0', logLevel: 'silent', rateLimit: '1000000000' };
      const server = createPosthornServer(loadConfig({ mode: 'dev', flags, env: {}, file: null }));
      return (await server.start()).address;
    },
    cpuUs() {
      const { user, system } = process.cpuUsage(before);
      before = process.cpuUsage();
      return user + system;
    },
  });
}

async function turn(server: Peer, pool: Pool, request: Request, requests: number): Promise<number> {
  await server.ask('cpuUs');
  let left = requests;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      while (left-- > 0) {
        const { statusCode, body } = await pool.request(request);
        const text = await body.text();
        if (statusCode >= 300) throw new Error(`${request.method} ${request.path}: ${statusCode} ${text}`);
      }
    }),
  );
  return (await server.ask<number>('cpuUs')) / requests;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function compare(
  what: string,
  [native, face]: readonly [Request, Request],
  run: (request: Request) => Promise<number>,
  turns: number,
): Promise<Row> {
  for (let i = 0; i < WARM_UP_TURNS; i++) for (const request of [native, face]) await run(request);
  const pairs: [number, number][] = [];
  for (let i = 0; i < turns; i++) pairs.push([await run(native), await run(face)]);
  return {
    what,
    nativeUs: Math.round(median(pairs.map(([us]) => us))),
    faceUs: Math.round(median(pairs.map(([, us]) => us))),
    ratio: Number(median(pairs.map(([us, faceUs]) => faceUs / us)).toFixed(3)),
  };
}

/** Endpoints, and deliveries of the first one; resolves to the ids of that and of one of these. */
async function fill(pool: Pool, url: string): Promise<{ endpoint: string; delivery: string }> {
  const post = async (path: string, body: object): Promise<{ id: string }> => {
    const answered = await pool.request({ ...bearer, method: 'POST', path, body: JSON.stringify(body) });
    return (await answered.body.json()) as { id: string };
  };
  const first = await post('/v1/webhooks', { url, events: ['bench.sent'] });
  for (let i = 1; i < ENDPOINTS; i++) await post('/v1/webhooks', { url, events: ['bench.never'] });
  for (let i = 0; i < DELIVERIES; i++) await post('/v1/events', { type: 'bench.sent', data: { i } });
  const path = `/v1/webhooks/${first.id}/deliveries?status=delivered&pageSize=100`;
  for (;;) {
    const answered = await pool.request({ ...bearer, method: 'GET', path });
    const { deliveries } = (await answered.body.json()) as { deliveries: { id: string }[] };
    if (deliveries.length === DELIVERIES) return { endpoint: first.id, delivery: deliveries[0]!.id };
  }
}

const bearer = { headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' } };
const apiKey = { headers: { 'api-key': KEY } };

async function main(): Promise<void> {
  const [requests = 400, turns = 9] = process.argv
    .slice(2)
    .filter((argument) => /^\d+$/.test(argument))
    .map(Number);
  onInterrupt(() => void endAll());
  const sink = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.end('{"received":true}'));
  });
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  const server = startPeer('faces.ts', { env: { ...process.env, FACES_SERVER: '1' } });
  track(server.child);
  const address = await server.ask<string>('start', { dataDir: temporaryFolder() });
  const pool = new Pool(address, { connections: CONNECTIONS });
  const { endpoint, delivery } = await fill(pool, `http://127.0.0.1:${(sink.address() as AddressInfo).port}/hook`);

  const get = (path: string): Request => ({ ...bearer, method: 'GET', path });
  const gravv = (path: string): Request => ({ ...apiKey, method: 'GET', path: `/v1/webhooks/${path}` });
  const create = (path: string): Request => ({
    ...bearer,
    method: 'POST',
    path,
    body: JSON.stringify({ url: 'https://example.com/hook', events: ['bench.never'] }),
  });
  const nativeDeliveries = get(`/v1/webhooks/${endpoint}/deliveries?pageSize=20`);
  const org = '/api/v1/org/webhooks';
  const cases: readonly [string, readonly [Request, Request]][] = [
    ['Grantiva: list endpoints', [get('/v1/webhooks'), get(org)]],
    ['Gravv: attempts of a delivery', [get(`/v1/deliveries/${delivery}`), gravv(`calls/${delivery}`)]],
    ['Gravv: one delivery and its payload', [get(`/v1/deliveries/${delivery}`), gravv(`event/${delivery}`)]],
    // These two also show how each delivery's newest attempt went, which the native list has no place for.
    ['Grantiva: list deliveries +', [nativeDeliveries, get(`${org}/${endpoint}/deliveries?per=20`)]],
    ['Gravv: history +', [nativeDeliveries, gravv('history?limit=20')]],
    // Last, because it makes the lists longer.
    ['Grantiva: make an endpoint', [create('/v1/webhooks'), create(org)]],
  ];
  const rows: Row[] = [];
  for (const [what, pair] of cases) {
    rows.push(await compare(what, pair, (request) => turn(server, pool, request, requests), turns));
  }
  await pool.close();
  await end(server.child);
  sink.close();
  sink.closeAllConnections();
  await endAll();
  if (process.argv.includes('--json')) console.log(JSON.stringify(rows));
  else console.table(rows);
}

if (process.env.FACES_SERVER === '1') serve();
else await main();
