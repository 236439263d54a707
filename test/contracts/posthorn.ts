import { createHmac, timingSafeEqual } from 'node:crypto';
import { connect } from 'node:net';
import { Client, dataDir, startServer, type Running } from '../e2e/server.ts';

/** A running Posthorn for one file of tests. Its own client is the operator's. */
export interface Posthorn extends Running {
  /** A client of one tenant, which is made. `headers` replace the bearer header. */
  tenant(id: string, more?: Record<string, unknown>): Promise<void>;
  /** Text of a new key of a tenant. */
  key(tenant: string, body: Record<string, unknown>): Promise<string>;
  close(): Promise<void>;
}

export async function startPosthorn(settings: Record<string, string> = {}): Promise<Posthorn> {
  const data = dataDir();
  const running = await startServer(data.path, settings);
  return Object.assign(running, {
    async tenant(id: string, more: Record<string, unknown> = {}) {
      const { status, body } = await running.call('POST', '/v1/tenants', { id, ...more });
      if (status !== 201) throw new Error(JSON.stringify(body));
    },
    async key(tenant: string, request: Record<string, unknown>) {
      const { status, body } = await running.call('POST', '/v1/api-keys', request, { 'posthorn-tenant': tenant });
      if (status !== 201) throw new Error(JSON.stringify(body));
      return body.key as string;
    },
    async close() {
      await running.stop();
      data.remove();
    },
  });
}

/** A client with a bearer key. */
export function bearer(posthorn: Posthorn, key: string): Client {
  return new Client(posthorn.base, { authorization: `Bearer ${key}` });
}

/** As receivers of these products check: an HMAC-SHA256 in hex over the raw body, under the secret's own text. */
export function hexHmac(secret: string, body: string): string {
  return createHmac('sha256', secret).update(body).digest('hex');
}

export function same(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

/** Writes bytes to a fresh connection and reads until the server closes it. */
export function raw(posthorn: Posthorn, bytes: string): Promise<string> {
  const { port } = new URL(posthorn.base);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => {
      socket.destroy();
      resolve(text);
    });
    socket.on('error', reject);
  });
}

/** A request without the JSON helpers: what the client says is sent as it is. */
export async function plain(
  posthorn: Posthorn,
  method: string,
  path: string,
  init: { headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; headers: Headers; text: string }> {
  const response = await fetch(posthorn.base + path, { method, ...init });
  return { status: response.status, headers: response.headers, text: await response.text() };
}
