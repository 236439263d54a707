import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { createApi, type ApiOptions } from '../../src/api/api.ts';
import { KeyVerifier, type NewKey } from '../../src/api/keys.ts';
import { People } from '../../src/api/people.ts';
import { RateLimits } from '../../src/api/rate-limits.ts';
import { createEngine, type RunningEngine } from '../../src/delivery/create-engine.ts';
import { defaultRetry } from '../../src/model/retry.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { createSqliteStore } from '../../src/store/sqlite/store.ts';
import { createSender } from '../../src/transport/transport.ts';
import { checkAnswer } from './documented.ts';

export const OPERATOR_KEY = 'operator-key-of-the-tests';

/** What came back. Its shape is held to the OpenAPI document; here it is as loose as the tests need. */
export interface Body {
  id: string;
  key: string;
  secret: string;
  code: string;
  message: string;
  status: string;
  name: string;
  field: string;
  eventId: string;
  number: number;
  endedAt: string | null;
  nextCursor: string | null;
  errors: { field: string; message: string }[];
  events: Body[];
  webhooks: Body[];
  deliveries: Body[];
  deadLetters: Body[];
  attemptLog: Body[];
  eventTypes: Body[];
  tenants: Body[];
  apiKeys: Body[];
  plans: Body[];
  members: Body[];
  results: Body[];
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- an answer has whatever fields it has
  [name: string]: any;
}

export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed; null where there was none. */
  body: Body;
  text: string;
}

export interface Call {
  /** A value to send as JSON, or its text. */
  body?: unknown;
  key?: string | null;
  headers?: Record<string, string>;
}

export interface Api {
  readonly app: FastifyInstance;
  readonly engine: RunningEngine;
  readonly people: People;
  readonly origin: string;
  readonly port: number;
  /** Lines of the log, parsed. */
  readonly log: Record<string, unknown>[];
  /** One request; its answer is held to the OpenAPI document. */
  call(method: string, path: string, call?: Call): Promise<Answer>;
  /** Text of a new key. */
  newKey(request: NewKey): Promise<string>;
  stop(): Promise<void>;
}

export interface Setup extends Partial<ApiOptions> {
  catalogue?: 'open' | 'closed';
  production?: boolean;
  signup?: 'open' | 'closed';
  /** Requests a minute and key; 0 = any number, which is the default here. */
  rateLimit?: number;
  payloadRetentionDays?: number;
  /** The engine's clock, epoch ms. */
  clock?: () => number;
  /** Puts another engine before the real one, to make it fail. */
  wrap?: (engine: RunningEngine) => RunningEngine;
}

/** The API with engine and store behind it, on a port of its own. */
export async function startApi(setup: Setup = {}): Promise<Api> {
  const { catalogue = 'open', production = false, signup = 'open', rateLimit = 0, wrap, ...more } = setup;
  const { payloadRetentionDays = 0, clock = Date.now, ...options } = more;
  const dataDir = mkdtempSync(join(tmpdir(), 'posthorn-api-'));
  const store = createSqliteStore({ dataDir, keyRing: createKeyRing(['a master key for tests, long enough']) });
  await store.open({ migrate: true, now: Date.now() });
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: 'trace', base: null },
    { write: (line: string) => void log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const policy = {
    allowHttp: !production,
    allowLoopback: !production,
    allowCidrs: [],
    allowPorts: [],
    allowAnyPort: !production,
  };
  const sender = createSender({ policy });
  const real = createEngine({
    store,
    sender,
    policy,
    catalogue,
    defaults: { wireFormat: 'standard', retry: defaultRetry, timeoutMs: 2_000, concurrency: 8 },
    retentionDays: 0,
    payloadRetentionDays,
    log: logger,
    now: clock,
  });
  const pepper = Buffer.alloc(32, 7);
  const people = new People({ store, pepper, signup, secureCookies: production });
  const keys = new KeyVerifier({ store, people, pepper, fixed: [OPERATOR_KEY] });
  await Promise.all([real.start(), people.load(), keys.load()]);
  const engine = wrap?.(real) ?? real;
  // One minute for all that a test does, whenever it begins.
  const startedAt = Date.now();
  const rateLimits = new RateLimits({ perMinute: rateLimit, now: () => startedAt });
  const fixed = { keys, people, rateLimits, createTenants: true, version: '1.2.3', logger };
  const app = createApi({ engine, ...fixed, ...options });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;

  return {
    app,
    engine: real,
    people,
    origin,
    port,
    log,
    async call(method, path, { body, key = OPERATOR_KEY, headers = {} } = {}) {
      const response = await fetch(origin + path, {
        method,
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const answer = {
        status: response.status,
        headers: response.headers,
        body: (response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : null) as Body,
        text,
      };
      checkAnswer(method, path, answer);
      return answer;
    },
    newKey: async (request) => (await keys.create(request)).key,
    async stop() {
      await app.close();
      await keys.close();
      await real.stop(1_000);
      await sender.close(0);
      await store.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
