/**
 * What `POST /v1/events` costs before the engine: requests a second and CPU a request of the API with an engine that
 * accepts at once, beside a bare node:http server and stock Fastify, which answer the same 202 and do nothing else.
 *
 *   node bench/ingest.ts [seconds = 4] [connections = 32] [--json]
 */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fastify from 'fastify';
import { createApi } from '../src/api/api.ts';
import { KeyVerifier } from '../src/api/keys.ts';
import { People } from '../src/api/people.ts';
import { RateLimits } from '../src/api/rate-limits.ts';
import type { Engine } from '../src/delivery/engine.ts';
import type { Store } from '../src/store/store.ts';
import type { LoadReport } from './load.ts';
import { end, endAll, onInterrupt, track } from './processes.ts';
import type { LoadPlan } from './request.ts';
import { answer, startPeer } from './rpc.ts';

const kinds = ['node:http', 'stock fastify', 'posthorn api'] as const;
type Kind = (typeof kinds)[number];

const WARM_UP_MS = 1_500;
const ACCEPTED = { id: 'evt_01K00000000000000000000000', deliveries: 1 };
const apiKey = 'bench-ingest-key-0123456789';

interface Row {
  server: Kind;
  perSecond: number;
  cpuUs: number;
  p50Ms: number;
  p99Ms: number;
}

/** In the child: one server, and what CPU it used since it was last asked. */
function serveOne(kind: Kind): void {
  let before = process.cpuUsage();
  answer({
    listen: () => start(kind),
    cpuUs: () => {
      const { user, system } = process.cpuUsage(before);
      before = process.cpuUsage();
      return user + system;
    },
  });
}

async function start(kind: Kind): Promise<number> {
  const host = '127.0.0.1';
  if (kind === 'node:http') return listening(bare());
  const app = kind === 'stock fastify' ? stock() : api();
  await app.listen({ port: 0, host });
  return (app.server.address() as AddressInfo).port;
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function bare(): Server {
  const body = JSON.stringify(ACCEPTED);
  return createServer((request, response) => {
    request.on('end', () => {
      response.writeHead(202, { 'content-type': 'application/json', 'content-length': body.length });
      response.end(body);
    });
    request.resume();
  });
}

function stock() {
  const app = fastify();
  const schema = {
    body: { type: 'object', required: ['type', 'data'], properties: { type: { type: 'string' }, data: {} } },
    response: { 202: { type: 'object', properties: { id: { type: 'string' }, deliveries: { type: 'integer' } } } },
  };
  app.post('/v1/events', { schema }, async (_request, reply) => {
    reply.code(202);
    return ACCEPTED;
  });
  return app;
}

/** The API with all that it does for an event; only the engine is not there. */
function api() {
  const published = Promise.resolve({ ...ACCEPTED, duplicate: false });
  const tenant = { id: 'default', name: null, wireFormat: null, plan: null, createdAt: 0 };
  const engine = { publish: () => published, tenants: { find: () => tenant } } as unknown as Engine;
  const noStore = {
    apiKeys: { all: async () => [], create: async () => {}, revoke: async () => {}, touch: async () => {} },
  } as unknown as Store;
  const pepper = Buffer.alloc(32);
  const people = new People({ store: noStore, pepper, signup: 'closed', secureCookies: true });
  const keys = new KeyVerifier({ store: noStore, people, pepper, fixed: [apiKey] });
  const rateLimits = new RateLimits({ perMinute: 6_000 });
  return createApi({ engine, keys, people, rateLimits, createTenants: false, version: '0', logger: false });
}

async function measure(kind: Kind, seconds: number, connections: number): Promise<Row> {
  const server = startPeer('ingest.ts', { env: { ...process.env, INGEST_SERVER: kind } });
  const load = startPeer('load.ts');
  track(server.child);
  track(load.child);
  const port = await server.ask<number>('listen');
  const plan = {
    port,
    apiKey,
    types: ['grant.created'],
    connections,
    mode: 'closed',
    dataBytes: 256,
  } satisfies Partial<LoadPlan>;
  await load.ask('run', { ...plan, durationMs: WARM_UP_MS });
  await server.ask('cpuUs');
  const report = await load.ask<LoadReport>('run', { ...plan, durationMs: seconds * 1000 });
  const cpuUs = await server.ask<number>('cpuUs');
  await Promise.all([end(load.child), end(server.child)]);
  if (report.accepted !== report.sent) throw new Error(`${kind} refused: ${JSON.stringify(report.statuses)}`);
  return {
    server: kind,
    perSecond: Math.round(report.accepted / ((report.lastAtUs - report.firstAtUs) / 1e6)),
    cpuUs: Number((cpuUs / report.accepted).toFixed(1)),
    p50Ms: report.ack.p50,
    p99Ms: report.ack.p99,
  };
}

async function main(): Promise<void> {
  const [seconds = 4, connections = 32] = process.argv
    .slice(2)
    .filter((argument) => /^\d+$/.test(argument))
    .map(Number);
  onInterrupt(() => void endAll());
  const rows: Row[] = [];
  for (const kind of kinds) rows.push(await measure(kind, seconds, connections));
  if (process.argv.includes('--json')) console.log(JSON.stringify(rows));
  else console.table(rows);
}

const asked = kinds.find((kind) => kind === process.env.INGEST_SERVER);
if (asked !== undefined) serveOne(asked);
else await main();
