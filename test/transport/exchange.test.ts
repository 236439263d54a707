import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ok, receive, response } from './receiver.ts';
import type { Answer } from './receiver.ts';
import { makeSender, send } from './sending.ts';

/** Sends one request to a receiver that answers so. */
async function exchangeWith(answer: Answer, timeoutMs = 5_000): Promise<Awaited<ReturnType<typeof send>>> {
  const receiver = await receive(answer);
  return send(makeSender(), receiver.url(), { timeoutMs });
}

/** Writes the text piece by piece for ever, each when the last has left, until the socket is gone. */
function flood(piece: string): Answer {
  return (socket) => {
    const write = (): void => {
      if (!socket.destroyed) {
        socket.write(piece, () => setImmediate(write));
      }
    };
    write();
  };
}

/** Writes one byte of `a` every 20 ms until the socket is gone. */
function drip(head: string): Answer {
  return (socket) => {
    socket.write(head);
    const timer = setInterval(() => socket.write('a'), 20);
    socket.on('close', () => clearInterval(timer));
  };
}

describe('the request', () => {
  it('reaches the wire byte for byte, header names in their letter case', async () => {
    const receiver = await receive(ok);
    const headers = ['X-Webhook-Event-ID', 'evt_1', 'x-lower', 'a', 'X-GRANTEX-Signature', 'sha256=00', 'X-Empty', ''];
    await send(makeSender(), receiver.url('/in?a=%20&b'), { headers, body: Buffer.from('{"text":"ü"}') });
    expect(receiver.requests[0]?.head.split('\r\n')).toEqual([
      'POST /in?a=%20&b HTTP/1.1',
      `host: 127.0.0.1:${receiver.port}`,
      'connection: keep-alive',
      'X-Webhook-Event-ID: evt_1',
      'x-lower: a',
      'X-GRANTEX-Signature: sha256=00',
      'X-Empty: ',
      'accept-encoding: identity',
      'content-length: 13',
    ]);
    expect(Buffer.from(receiver.requests[0]?.body ?? '', 'latin1').toString()).toBe('{"text":"ü"}');
  });

  it('goes out with an empty body and with one of 256 KiB', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    for (const size of [0, 256 * 1024]) {
      expect(await send(sender, receiver.url(), { body: Buffer.alloc(size, 'x') })).toMatchObject({ statusCode: 200 });
      expect(receiver.requests.at(-1)?.body.length).toBe(size);
    }
  });
});

describe('the response', () => {
  it.each([200, 201, 204, 400, 404, 410, 418, 429, 500, 503, 599])('is an outcome with status %i', async (status) => {
    const exchange = await exchangeWith((socket) => {
      socket.write(
        `HTTP/1.1 ${status} Whatever\r\nContent-Length: 0\r\nRetry-After: 120\r\nX-Two: a\r\nX-Two: b\r\n\r\n`,
      );
    });
    expect(exchange).toMatchObject({ statusCode: status, reason: null, detail: null, retryAfter: '120' });
    expect(exchange.responseHeaders).toEqual(['Content-Length', '0', 'Retry-After', '120', 'X-Two', 'a', 'X-Two', 'b']);
    expect(exchange.responseBody).toBeNull();
  });

  it('is timed by phase on a fresh connection', async () => {
    const exchange = await exchangeWith(ok);
    const { dnsMs, connectMs, tlsMs, firstByteMs, totalMs, startedAt } = exchange;
    expect({ dnsMs, tlsMs }).toEqual({ dnsMs: null, tlsMs: null });
    expect(connectMs).toBeGreaterThan(0);
    expect(firstByteMs).toBeGreaterThan(0);
    expect(totalMs).toBeGreaterThanOrEqual((connectMs ?? 0) + (firstByteMs ?? 0));
    expect(Math.abs(Date.now() - startedAt)).toBeLessThan(5_000);
  });

  it('is kept with the text of its body, broken UTF-8 replaced', async () => {
    const exchange = await exchangeWith((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
      socket.write(Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0xe2]));
    });
    expect(exchange.responseBody).toBe('a\ufffdé\ufffd');
  });

  it('is put together from chunks and pieces', async () => {
    const exchange = await exchangeWith((socket) => {
      const pieces = [
        'HTTP/1.1 200 OK\r\nTransfer-Enc',
        'oding: chunked\r\n\r\n3\r',
        '\nabc\r\n',
        '2;x=y\r\nde\r\n',
        '0\r\n',
        '\r\n',
      ];
      const write = (): void => {
        const piece = pieces.shift();
        if (piece !== undefined) {
          socket.write(piece, () => setImmediate(write));
        }
      };
      write();
    });
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, responseBody: 'abcde', responseTruncated: false });
  });

  it('may end with the connection', async () => {
    const exchange = await exchangeWith((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nto the end'));
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, responseBody: 'to the end' });
  });

  it('may come after early hints', async () => {
    const exchange = await exchangeWith((socket) => {
      socket.write(`HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${response('later')}`);
    });
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, responseBody: 'later' });
  });

  it('is never inflated', async () => {
    const zipped = gzipSync('a'.repeat(10_000_000));
    const exchange = await exchangeWith((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${zipped.length}\r\n\r\n`);
      socket.write(zipped);
    });
    expect(exchange).toMatchObject({ statusCode: 200, reason: null });
    expect(exchange.responseBody?.length).toBeLessThanOrEqual(16 * 1024);
  });

  it('keeps whole headers up to 8 KiB', async () => {
    const lines = Array.from({ length: 12 }, (_, index) => `X-Header-${index + 10}: ${'v'.repeat(989)}\r\n`);
    const exchange = await exchangeWith((socket) => void socket.write(response('ok', lines.join(''))));
    expect(exchange).toMatchObject({ statusCode: 200, reason: null });
    const kept = exchange.responseHeaders ?? [];
    expect(kept.join('').length).toBeGreaterThan(7 * 1024);
    expect(kept.join('').length).toBeLessThanOrEqual(8 * 1024);
    expect(kept.length % 2).toBe(0);
  });
});

describe('a body without end', () => {
  it('is cut at 16 KiB, complete as an outcome, and the socket is destroyed', async () => {
    const receiver = await receive((socket, request) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      flood(`400\r\n${'x'.repeat(1024)}\r\n`)(socket, request);
    });
    const exchange = await send(makeSender(), receiver.url());
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, responseTruncated: true });
    expect(exchange.responseBody).toBe('x'.repeat(16 * 1024));
    await Promise.all([...receiver.sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
  });

  it('of exactly 16 KiB is kept whole and the connection is used again', async () => {
    const receiver = await receive((socket) => void socket.write(response('y'.repeat(16 * 1024))));
    const sender = makeSender();
    for (const path of ['/first', '/second']) {
      const exchange = await send(sender, receiver.url(path));
      expect(exchange).toMatchObject({ statusCode: 200, reason: null, responseTruncated: false });
      expect(exchange.responseBody?.length).toBe(16 * 1024);
    }
    expect(receiver.connections).toBe(1);
  });
});

describe('a receiver that misbehaves', () => {
  it('cannot stretch the deadline by dripping its body', async () => {
    const exchange = await exchangeWith(drip('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'), 200);
    expect(exchange).toMatchObject({ statusCode: 200, reason: 'timeout' });
    expect(exchange.responseBody).toMatch(/^a+$/);
    expect(exchange.totalMs).toBeGreaterThanOrEqual(200);
    expect(exchange.totalMs).toBeLessThan(2_500);
  });

  it('cannot stretch the deadline by dripping its head', async () => {
    const exchange = await exchangeWith(drip('HTTP/1.1 200 OK\r\nX-Slow: '), 200);
    expect(exchange).toMatchObject({ statusCode: null, reason: 'timeout' });
    expect(exchange.totalMs).toBeLessThan(2_500);
  });

  it('times out when it never answers', async () => {
    const receiver = await receive(() => {});
    const exchange = await send(makeSender(), receiver.url(), { timeoutMs: 100 });
    expect(exchange).toMatchObject({
      statusCode: null,
      reason: 'timeout',
      remoteAddress: '127.0.0.1',
      firstByteMs: null,
    });
    expect(exchange.detail).toBe('no complete response within 100 ms; stopped in phase exchange');
    await Promise.all([...receiver.sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
  });

  it.each<[string, string]>([
    ['2 MB of headers', `HTTP/1.1 200 OK\r\n${`X-Filler: ${'f'.repeat(1000)}\r\n`.repeat(2000)}\r\n`],
    ['one header of 17 KiB', `HTTP/1.1 200 OK\r\nX-Filler: ${'f'.repeat(17 * 1024)}\r\nContent-Length: 0\r\n\r\n`],
    ['garbage', '\u0000\u0001\u0002 this is not HTTP at all\r\n\r\n'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n'],
    ['a status that is no number', 'HTTP/1.1 abc OK\r\n\r\n'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a chunk size that is no number', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['a header without a name', 'HTTP/1.1 200 OK\r\n: x\r\n\r\n'],
    [
      'an upgrade nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
    ],
    ['a 100 nobody asked for', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('is named a bad response when it sends %s', async (_title, text) => {
    const exchange = await exchangeWith((socket) => void socket.write(text, 'latin1'));
    expect(exchange.reason).toBe('bad_response');
    expect(exchange.detail).not.toBe('');
    expect(exchange.totalMs).toBeLessThan(4_000);
  });

  it.each(['102 Processing', '103 Early Hints', '199 Odd'])('is cut off when it floods with %s', async (line) => {
    const exchange = await exchangeWith(flood(`HTTP/1.1 ${line}\r\nX-A: b\r\n\r\n`));
    expect(exchange).toMatchObject({ statusCode: null, reason: 'bad_response' });
    expect(exchange.detail).toContain('1xx');
  });

  it('is a reset, whatever the byte at which it closes', async () => {
    const whole = response('hello', 'X-A: b\r\n');
    const headEnds = whole.indexOf('\r\n\r\n') + 4;
    const sender = makeSender();
    let cut = 0;
    const receiver = await receive((socket) => void socket.end(whole.slice(0, cut)));
    for (cut = 0; cut < whole.length; cut += 1) {
      const exchange = await send(sender, receiver.url());
      expect({ cut, reason: exchange.reason, status: exchange.statusCode }).toEqual({
        cut,
        reason: 'reset',
        status: cut < headEnds ? null : 200,
      });
    }
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, reason: null, responseBody: 'hello' });
  });

  it('is a reset when it announces the end of the connection and a longer body than it sends', async () => {
    const text = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhel';
    const exchange = await exchangeWith((socket) => socket.end(text));
    expect(exchange).toMatchObject({ statusCode: 200, reason: 'reset', responseBody: 'hel' });
  });

  it('is a reset, whatever the byte at which it resets', async () => {
    const whole = response('hello');
    const sender = makeSender();
    let cut = 0;
    const receiver = await receive((socket) => {
      socket.write(whole.slice(0, cut), () => socket.resetAndDestroy());
    });
    for (cut = 0; cut < whole.length; cut += 1) {
      expect({ cut, reason: (await send(sender, receiver.url())).reason }).toEqual({ cut, reason: 'reset' });
    }
  });

  it('is a reset when it closes at once after accepting', async () => {
    const receiver = await receive(ok, { onSocket: (socket) => socket.destroy() });
    const exchange = await send(makeSender(), receiver.url());
    expect(['reset', 'connect_reset']).toContain(exchange.reason);
  });

  it('does not make another exchange of the same sender fail or wait', async () => {
    const sender = makeSender();
    const bad = await receive(flood('\u0000garbage'));
    const slow = await receive(() => {});
    const good = await receive(ok);
    const slowOne = send(sender, slow.url(), { timeoutMs: 300 });
    const badOne = send(sender, bad.url());
    expect(await send(sender, good.url())).toMatchObject({ statusCode: 200, reason: null });
    expect((await badOne).reason).toBe('bad_response');
    expect((await slowOne).reason).toBe('timeout');
  });
});
