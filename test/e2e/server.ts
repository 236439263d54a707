import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config.ts';
import { createPosthornServer, type PosthornServer } from '../../src/posthorn.ts';

export const KEY = 'dev-api-key-local';

/** A folder for one test's data, and how to remove it. */
export function dataDir(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'posthorn-e2e-'));
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: Headers;
  body: T;
}

/** A JSON client for one server and one key. */
export class Client {
  readonly base: string;
  readonly #headers: Record<string, string>;

  constructor(base: string, headers: Record<string, string> = {}) {
    this.base = base;
    this.#headers = { authorization: `Bearer ${KEY}`, ...headers };
  }

  // The caller says what shape it expects, as with any JSON that comes over a wire.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- an answer has whatever fields it has
  async call<T = any>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> {
    const response = await fetch(this.base + path, {
      method,
      headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: (text === '' ? null : JSON.parse(text)) as T };
  }

  /** Creates an endpoint or throws. */
  async webhook(
    url: string,
    events: string[],
    more: Record<string, unknown> = {},
  ): Promise<{ id: string; secret: string }> {
    const { status, body } = await this.call('POST', '/v1/webhooks', { url, events, ...more });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return body as { id: string; secret: string };
  }

  /** Publishes or throws. */
  async event(
    type: string,
    data: unknown,
    more: Record<string, unknown> = {},
  ): Promise<{ id: string; deliveries: number }> {
    const { status, body } = await this.call('POST', '/v1/events', { type, data, ...more });
    if (status !== 202) throw new Error(JSON.stringify(body));
    return body as { id: string; deliveries: number };
  }

  /** Asks again, at most every 20 ms and for 15 s, until the answer fits: for states that nothing announces. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- an answer has whatever fields it has
  async until<T = any>(path: string, fits: (body: T) => boolean): Promise<T> {
    const end = Date.now() + 15_000;
    for (;;) {
      const { body } = await this.call<T>('GET', path);
      if (fits(body)) return body;
      if (Date.now() > end) throw new Error(`still not so: ${path} ${JSON.stringify(body).slice(0, 2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

export interface Running extends Client {
  server: PosthornServer;
  stop: () => Promise<void>;
}

/** Posthorn in this process, in development mode on a port of its own. `settings`: by key, as flags. */
export async function startServer(path: string, settings: Record<string, string> = {}): Promise<Running> {
  const config = loadConfig({
    mode: 'dev',
    flags: { dataDir: path, port: '0', logLevel: 'silent', ...settings },
    env: {},
    file: null,
  });
  const server = createPosthornServer(config);
  const { address } = await server.start();
  return Object.assign(new Client(address), { server, stop: () => server.stop() });
}
