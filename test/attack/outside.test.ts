import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startReceiver } from '../e2e/receiver.ts';
import { Client, dataDir, KEY, startServer, type Running } from '../e2e/server.ts';

const data = dataDir();
let posthorn: Running;

beforeAll(async () => {
  posthorn = await startServer(data.path, { retrySchedule: 'none', timeout: '1s' });
});

afterAll(async () => {
  await posthorn.stop();
  data.remove();
});

/** Sends bytes as they are and resolves to all that came back until the server closed. */
function exchange(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(posthorn.base).port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

const statusesIn = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));

describe('fifty connections at once', () => {
  it('with one idempotency key and one body make one event', async () => {
    const all = await Promise.all(
      Array.from({ length: 50 }, () =>
        posthorn.call('POST', '/v1/events', { type: 'race.a', data: 1 }, { 'idempotency-key': 'race-a' }),
      ),
    );
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(all.map(({ body }) => body.id)).size).toBe(1);
    expect(all.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(49);
  });

  it('with one idempotency key and fifty bodies make one event and forty-nine conflicts', async () => {
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        posthorn.call('POST', '/v1/events', { type: 'race.b', data: n }, { 'idempotency-key': 'race-b' }),
      ),
    );
    expect(all.filter(({ status }) => status === 202)).toHaveLength(1);
    expect(all.filter(({ body }) => body.code === 'IDEMPOTENCY_CONFLICT')).toHaveLength(49);
  });
});

describe('requests in one piece on one connection', () => {
  it('are each answered in their order, wrong ones among them', async () => {
    const head = `Host: localhost\r\nAuthorization: Bearer ${KEY}\r\nContent-Type: application/json\r\n`;
    const text = await exchange(
      `POST /v1/events HTTP/1.1\r\n${head}Content-Length: 3\r\n\r\n{x}` +
        `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{x}` +
        `POST /nope HTTP/1.1\r\n${head}Content-Length: 3\r\n\r\n{x}` +
        `DELETE /v1/events HTTP/1.1\r\n${head}Content-Length: 3\r\n\r\n{x}` +
        `POST /v1/events HTTP/1.1\r\n${head}Content-Length: 400000\r\n\r\n${' '.repeat(400_000)}` +
        `GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    expect(statusesIn(text)).toEqual([400, 401, 404, 405, 413, 200]);
  });

  it('that say their length twice, or in two ways, are refused and nothing behind them is read', async () => {
    const head = `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${KEY}\r\nContent-Type: application/json\r\n`;
    for (const lengths of [
      'Content-Length: 5\r\nContent-Length: 6\r\n',
      'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
      'Content-Length: -1\r\n',
      'Transfer-Encoding: gzip\r\n',
    ]) {
      const text = await exchange(`${head}${lengths}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      expect(statusesIn(text), lengths).toEqual([400]);
    }
  });
});

describe('a key', () => {
  it('that is revoked works no more on a connection that is open', async () => {
    const { body } = await posthorn.call('POST', '/v1/api-keys', { role: 'member' });
    const holder = new Client(posthorn.base, { authorization: `Bearer ${body.key}` });
    expect((await holder.call('GET', '/v1/events')).status).toBe(200);
    await posthorn.call('DELETE', `/v1/api-keys/${body.id}`);
    expect((await holder.call('GET', '/v1/events')).status).toBe(401);
  });
});

describe('hostile receivers', () => {
  const answers: Record<string, [failure: string | null, statusCode: number | null, send: (socket: Socket) => void]> = {
    silence: ['timeout', null, () => undefined],
    'headers that drip': ['timeout', null, (socket) => socket.write('HTTP/1.1 200 OK\r\nX-A: b\r\n')],
    'a body that ends too soon': [
      'reset',
      200,
      (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na'),
    ],
    'a reset': ['reset', null, (socket) => socket.resetAndDestroy()],
    'no answer but a close': ['reset', null, (socket) => socket.end()],
    garbage: ['bad_response', null, (socket) => socket.write(Buffer.from([0, 255, 7, 13, 10]))],
    'a header of 2 MB': [
      'bad_response',
      null,
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(2e6)}\r\n`),
    ],
    'a flood of 103': [
      'bad_response',
      null,
      (socket) => socket.write('HTTP/1.1 103 Hints\r\nX-A: b\r\n\r\n'.repeat(100)),
    ],
    'two lengths': [
      'bad_response',
      null,
      (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc'),
    ],
    'a switch of protocols': [
      'bad_response',
      null,
      (socket) => socket.write('HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    ],
    'a redirect': [null, 302, (socket) => socket.write('HTTP/1.1 302 X\r\nLocation: /\r\nContent-Length: 0\r\n\r\n')],
    'a body of 10 MB': [
      null,
      200,
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n${'a'.repeat(1e7)}`),
    ],
  };

  it('are each named for what they did, and do not delay the good one beside them', { timeout: 20_000 }, async () => {
    const good = await startReceiver();
    const sockets = new Set<Socket>();
    const servers = await Promise.all(
      Object.values(answers).map(async ([, , send]) => {
        const server = createServer((socket) => {
          sockets.add(socket);
          socket.on('error', () => undefined);
          socket.once('data', () => send(socket));
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        return server;
      }),
    );
    onTestFinished(async () => {
      for (const socket of sockets) socket.destroy();
      for (const server of servers) server.close();
      await good.close();
    });
    const names = new Map<string, string>();
    for (const [i, name] of Object.keys(answers).entries()) {
      const { port } = servers[i]!.address() as AddressInfo;
      names.set((await posthorn.webhook(`http://127.0.0.1:${port}/`, ['hostile'])).id, name);
    }
    await posthorn.webhook(good.url('/good'), ['hostile']);

    const sentAt = Date.now();
    await posthorn.event('hostile', {});
    const [arrived] = await good.waitForCount(1, '/good');
    expect(arrived!.at - sentAt).toBeLessThan(500);

    for (const [id, name] of names) {
      const [failure, statusCode] = answers[name]!;
      const { deliveries } = await posthorn.until(`/v1/webhooks/${id}/deliveries`, (body) =>
        ['delivered', 'failed'].includes(body.deliveries[0]?.status),
      );
      const { body } = await posthorn.call('GET', `/v1/deliveries/${deliveries[0].id}`);
      expect(body.attemptLog, name).toHaveLength(1);
      expect(body.attemptLog[0], name).toMatchObject({ failure, statusCode });
    }
  });
});
