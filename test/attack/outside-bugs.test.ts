import { request } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startProcess, type PosthornProcess } from '../e2e/process.ts';
import { startReceiver } from '../e2e/receiver.ts';
import { dataDir, startServer, type Running } from '../e2e/server.ts';

const data = dataDir();
let posthorn: Running;

beforeAll(async () => {
  posthorn = await startServer(data.path, { retrySchedule: '100ms' });
});

afterAll(async () => {
  await posthorn.stop();
  data.remove();
});

/** Posthorn as a process of its own, which ends with the test, however that ends. */
async function ownProcess(): Promise<PosthornProcess> {
  const own = dataDir();
  const running = await startProcess(own.path, ['--log-level', 'silent']);
  onTestFinished(async () => {
    if (running.child.exitCode === null) await running.end('SIGKILL');
    own.remove();
  });
  return running;
}

describe('a schema of the catalogue', () => {
  it('that calls itself asynchronous is refused, or at least does not end the process at the first event', async () => {
    const { client, child } = await ownProcess();
    await client.call('PUT', '/v1/event-types/bad.async', {
      schema: { $async: true, type: 'object', required: ['x'] },
    });
    await client.call('POST', '/v1/events', { type: 'bad.async', data: {} }).catch(() => null);
    const health = await client.call('GET', '/healthz').catch(() => null);
    expect([child.exitCode, health?.status]).toEqual([null, 200]);
  });

  it('that refers to itself for ever is refused at registration, or its events get a 4xx', async () => {
    const { status } = await posthorn.call('PUT', '/v1/event-types/bad.loop', { schema: { $ref: '#' } });
    if (status === 400) return;
    const event = await posthorn.call('POST', '/v1/events', { type: 'bad.loop', data: {} });
    expect(event.status).toBeLessThan(500);
  });

  it('with a pattern that backtracks does not hold up the requests of others', async () => {
    const put = await posthorn.call('PUT', '/v1/event-types/bad.pattern', {
      schema: { type: 'string', pattern: '^(a+)+$' },
    });
    if (put.status === 400) return;
    const slow = posthorn.call('POST', '/v1/events', { type: 'bad.pattern', data: `${'a'.repeat(26)}!` });
    const before = performance.now();
    await posthorn.call('GET', '/healthz');
    await slow;
    expect(performance.now() - before).toBeLessThan(500);
  });
});

describe('an event’s own id', () => {
  it('cannot be that of another event: receivers would drop the second as a copy', async () => {
    const first = await posthorn.event('twin', { n: 1 });
    const second = await posthorn.call('POST', '/v1/events', { type: 'twin', data: { n: 2 }, id: first.id });
    expect([400, 409]).toContain(second.status);
  });

  it('is refused exactly where the OpenAPI document says so', async () => {
    const { body: document } = await posthorn.call('GET', '/openapi.json');
    const { pattern } = document.components.schemas.PublishRequest.properties.id as { pattern: string };
    const { status } = await posthorn.call('POST', '/v1/events', { type: 'dotted', data: 1, id: 'order.42' });
    expect(status === 202).toBe(new RegExp(pattern, 'u').test('order.42'));
  });
});

describe('a batch', () => {
  it('whose idempotency key was used with a shorter or a longer one is a conflict', async () => {
    const key = { 'idempotency-key': 'batch-key' };
    const events = [1, 2, 3].map((n) => ({ type: 'batch.key', data: n }));
    await posthorn.call('POST', '/v1/events/batch', { events: events.slice(0, 2) }, key);
    const longer = await posthorn.call('POST', '/v1/events/batch', { events }, key);
    const shorter = await posthorn.call('POST', '/v1/events/batch', { events: events.slice(0, 1) }, key);
    expect([longer.status, shorter.status]).toEqual([409, 409]);
  });
});

describe('a time', () => {
  it('that lies after the year 9999 in UTC is refused, since RFC 3339 cannot write it', async () => {
    const occurredAt = '9999-12-31T23:59:59-23:59';
    const { status } = await posthorn.call('POST', '/v1/events', { type: 'late', data: 1, occurredAt });
    expect(status).toBe(400);
  });
});

describe('a receiver', () => {
  it('that answers with ten thousands of tiny headers costs no more than a few ms', async () => {
    const sockets = new Set<Socket>();
    const flood = `HTTP/1.1 200 OK\r\n${'a:\r\n'.repeat(100_000)}\r\n`;
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(flood));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const { client } = await ownProcess();
    const { id } = await client.webhook(`http://127.0.0.1:${port}/`, ['flood']);
    const before = performance.now();
    const { body } = await client.call('POST', `/v1/webhooks/${id}/test`);
    const elapsedMs = performance.now() - before;
    expect(body.failure).toBe('bad_response');
    expect(elapsedMs).toBeLessThan(150);
  });

  it('that asked for an hour is left alone over a restart too', { timeout: 30_000 }, async () => {
    const receiver = await startReceiver();
    receiver.answer('/busy', (_, response) => response.writeHead(429, { 'retry-after': '3600' }).end());
    const own = dataDir();
    let running = await startServer(own.path);
    onTestFinished(async () => {
      await running.stop();
      await receiver.close();
      own.remove();
    });
    const { id } = await running.webhook(receiver.url('/busy'), ['busy']);
    await running.event('busy', 0);
    await running.until('/v1/deliveries?type=busy', (body) => body.deliveries[0]?.attempts === 1);
    await Promise.all(Array.from({ length: 20 }, (_, n) => running.event('busy', n)));
    await running.stop();
    running = await startServer(own.path);
    // One that is sent after all the others would have been: the marker that the backlog was looked through.
    await running.webhook(receiver.url('/marker'), ['marker']);
    await running.event('marker', 1);
    await receiver.waitForCount(1, '/marker');
    await running.until(`/v1/deliveries?webhookId=${id}&status=sending`, (body) => body.deliveries.length === 0);
    expect(receiver.requests.filter(({ path }) => path === '/busy')).toHaveLength(1);
  });
});

describe('a wire format', () => {
  it('cannot multiply the payload: a body holds it once', async () => {
    const { status } = await posthorn.call('POST', '/v1/webhooks', {
      url: 'http://127.0.0.1:9/',
      events: ['never'],
      wireFormat: {
        body: { all: Array(190).fill('{event.data}') },
        signatures: [{ header: 'X-Sig', algorithm: 'hmac-sha256', encoding: 'hex', signed: '{body}' }],
      },
    });
    expect(status).toBe(400);
  });
});

describe('a server for development', () => {
  it('answers no request that came by another host’s name: a page in a browser could rebind its own to it', async () => {
    const { port } = new URL(posthorn.base);
    const status = await new Promise<number | undefined>((resolve) => {
      request(
        {
          port,
          host: '127.0.0.1',
          path: '/v1/webhooks',
          headers: { host: 'evil.example', authorization: 'Bearer dev-api-key-local' },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      ).end();
    });
    expect([400, 403, 421]).toContain(status);
  });
});
