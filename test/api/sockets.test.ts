import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATOR_KEY, startApi, type Api } from './server.ts';

let api: Api;
beforeAll(async () => {
  api = await startApi({ limits: { headersTimeoutMs: 400, requestTimeoutMs: 600 } });
});
afterAll(() => api.stop());

/** Opens a connection and lets `write` use it; resolves to all that came back when it is closed. */
function talk(write: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(api.port, '127.0.0.1', () => write(socket));
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

/** Status, headers and problem of an answer in raw HTTP. */
function problemIn(text: string) {
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const headers = Object.fromEntries(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => line.toLowerCase().split(': ')),
  );
  return { status: Number(head.split(' ')[1]), headers, body: JSON.parse(body) as Record<string, unknown> };
}

const authorized = `Authorization: Bearer ${OPERATOR_KEY}\r\n`;
const requestTo = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\n${authorized}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

async function isWell(): Promise<void> {
  expect((await api.call('POST', '/v1/events', { body: { type: 'a', data: 1 } })).status).toBe(202);
}

describe('on a bare socket', () => {
  it.each([
    ['garbage', '\u0000\u0001\u0002\r\n\r\n'],
    ['another protocol', 'EHLO example.com\r\n'],
    ['a header without a name', 'GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n'],
    ['two lengths', 'POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    [
      'a length and chunks',
      'POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a length that is no number', 'POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n'],
    [
      'a chunk that is none',
      `POST /v1/events HTTP/1.1\r\nHost: x\r\n${authorized}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    ],
  ])('%s gets a 400 as every other error', async (_, bytes) => {
    const { status, headers, body } = problemIn(await talk((socket) => socket.write(bytes)));
    expect(status).toBe(400);
    expect(headers).toMatchObject({ 'content-type': 'application/problem+json', connection: 'close' });
    expect(body).toMatchObject({ code: 'BAD_REQUEST', status: 400 });
    expect(headers['x-request-id']).toBe(String(body.requestId).toLowerCase());
    await isWell();
  });

  it('10 MB of headers get a 431, which arrives', async () => {
    const text = await talk((socket) => {
      // Reads nothing before all is written, as many clients do: a reset on the way would lose the answer.
      socket.pause();
      const line = Buffer.from(`x-filler: ${'x'.repeat(8000)}\r\n`);
      let left = 1250;
      function writeOn(): void {
        while (left-- > 0) if (!socket.write(line)) return void socket.once('drain', writeOn);
        socket.resume();
      }
      socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n');
      writeOn();
    });
    expect(problemIn(text)).toMatchObject({ status: 431, body: { code: 'HEADERS_TOO_LARGE' } });
    await isWell();
  });

  it.each([
    ['headers that do not end', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: '],
    ['a body that does not come', requestTo('/v1/events', 100)],
    ['a body that stops half-way', `${requestTo('/v1/events', 100)}{"type":`],
    ['a body that stops half-way, on another route', `${requestTo('/v1/webhooks', 100)}{"url":`],
  ])('%s get a 408 when their time is up', async (_, bytes) => {
    const { status, body } = problemIn(await talk((socket) => socket.write(bytes)));
    expect([status, body.code]).toEqual([408, 'REQUEST_TIMEOUT']);
    await isWell();
  });

  it('a connection that says nothing is closed, and one that breaks off half-way hurts nobody', async () => {
    expect(await talk((socket) => socket.end(`${requestTo('/v1/events', 100)}{"ty`))).not.toContain('202');
    await talk((socket) => {
      socket.write(`${requestTo('/v1/webhooks', 100)}{"ur`);
      setImmediate(() => socket.resetAndDestroy());
    });
    await isWell();
    expect(api.log.filter(({ msg }) => msg === 'request.failed')).toEqual([]);
  });

  it('a body that was refused for its size leaves the connection fit for the next request', async () => {
    const size = 300_000;
    const event = '{"type":"a","data":1}';
    const text = await talk((socket) => {
      socket.write(requestTo('/v1/events', size));
      socket.write(Buffer.alloc(size, ' '));
      socket.write(requestTo('/v1/events', event.length).replace('Host', 'Connection: close\r\nHost') + event);
    });
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 202']);
  });

  it('Expect: 100-continue is answered before the body is sent', async () => {
    const event = '{"type":"a","data":1}';
    const text = await talk((socket) => {
      socket.write(
        requestTo('/v1/events', event.length).replace('Host', 'Connection: close\r\nExpect: 100-continue\r\nHost'),
      );
      socket.once('data', () => socket.write(event));
    });
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 100', 'HTTP/1.1 202']);
  });

  it('requests sent ahead are answered in their order', async () => {
    const events = [1, 2, 3].map((n) => `{"type":"a","data":${n},"id":"ahead-${n}"}`);
    const text = await talk((socket) => {
      const last = requestTo('/v1/events', events[2]!.length).replace('Host', 'Connection: close\r\nHost') + events[2]!;
      socket.write(
        events
          .slice(0, 2)
          .map((event) => requestTo('/v1/events', event.length) + event)
          .join('') + last,
      );
    });
    expect(text.match(/ahead-\d/g)).toEqual(['ahead-1', 'ahead-2', 'ahead-3']);
  });
});
