import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { OPERATOR_KEY, startApi, type Api, type Setup } from '../api/server.ts';

let api: Api | null = null;

afterEach(async () => {
  await api?.stop();
  api = null;
});

async function start(setup: Setup): Promise<Api> {
  return (api = await startApi(setup));
}

/** What tells the bodies of the three apart. */
const bodies = {
  native: {
    type: expect.any(String),
    code: expect.any(String),
    message: expect.any(String),
    requestId: expect.any(String),
  },
  grantiva: { error: expect.any(String), code: expect.any(String), requestId: expect.any(String) },
  gravv: { data: null, error: expect.any(String) },
};

const changes = [
  ['native', 'POST', '/v1/webhooks', 'authorization', `Bearer ${OPERATOR_KEY}`],
  ['grantiva', 'POST', '/api/v1/org/webhooks', 'authorization', `Bearer ${OPERATOR_KEY}`],
  ['gravv', 'POST', '/v1/webhooks/event/send/x', 'api-key', OPERATOR_KEY],
] as const;

describe('an error that comes before the route', () => {
  it.each(changes)(
    'has the body of the face whose path it is: %s, while the node stops',
    async (face, method, path, header, key) => {
      const { origin } = await start({ isStopping: () => true });
      const response = await fetch(origin + path, { method, headers: { [header]: key } });
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBe('1');
      expect(await response.json()).toMatchObject(bodies[face]);
    },
  );

  it.each(changes)(
    'has the body of the face whose path it is: %s, on a host that a development server does not answer for',
    async (face, method, path, header, key) => {
      const { port } = await start({ onlyLocalHosts: true });
      const answer = await exchange(
        port,
        `${method} ${path} HTTP/1.1\r\nHost: evil.example\r\n${header}: ${key}\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 403 /);
      expect(bodyOf(answer)).toMatchObject(bodies[face]);
    },
  );

  it.each(changes.slice(0, 2))(
    'has the body of the face whose path it is: %s, where the rest of the body is late',
    async (face, method, path, header, key) => {
      const { port } = await start({ limits: { headersTimeoutMs: 200, requestTimeoutMs: 300 } });
      const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${header}: ${key}\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n`;
      const answer = await exchange(port, `${head}{"url":`);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(bodyOf(answer)).toMatchObject(bodies[face]);
    },
  );

  it.each([
    ['native', '/v1/%68ook'],
    ['grantiva', '/api/v1/org/%77ebhooks'],
    ['gravv', '/v1/webhooks/%68istory'],
  ] as const)(
    'has the body of the face whose path it is: %s, where letters of the path are encoded',
    async (face, path) => {
      const { origin } = await start({});
      for (const method of ['GET', 'DELETE']) {
        const response = await fetch(origin + path, { method });
        expect(await response.json(), method).toMatchObject(bodies[face]);
        expect(response.headers.get('allow') ?? '').not.toContain('DELETE');
      }
    },
  );
});

/** Writes to a fresh connection and reads until it is closed. */
function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => {
      socket.destroy();
      resolve(text);
    });
    socket.on('error', reject);
  });
}

function bodyOf(answer: string): unknown {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
}
