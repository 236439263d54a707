import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';
import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Exchange, Sender, SenderOptions } from '../../src/transport/transport.ts';
import { makeCertificates } from '../transport/certificates.ts';
import type { Certificates } from '../transport/certificates.ts';
import { receive, response } from '../transport/receiver.ts';
import type { Answer, Receiver } from '../transport/receiver.ts';
import { makeSender, send } from '../transport/sending.ts';

let certificates: Certificates;
beforeAll(() => void (certificates = makeCertificates()));

const whole = response('hello', 'X-A: b\r\n');
const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n';
const hello = { statusCode: 200, reason: null, responseBody: 'hello' };
/** More than one write, less than the kernel may hold. */
const large = Buffer.alloc(1024 * 1024, 0x20);

async function closed(receiver: Receiver): Promise<void> {
  await Promise.all([...receiver.sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
}

describe.each(['http', 'https'])('a receiver over %s', (scheme) => {
  const isSecure = scheme === 'https';
  const listen = (answer: Answer, onSocket?: (socket: Socket) => void): Promise<Receiver> =>
    receive(answer, { ...(isSecure && { tls: certificates.good }), ...(onSocket && { onSocket }) });
  const sending = (options: Partial<SenderOptions> = {}): Sender =>
    makeSender({ ...(isSecure && { ca: certificates.ca }), ...options });

  it.each([
    ['length', whole],
    ['chunks', chunked],
  ])('may drip its answer byte by byte (%s), on a fresh connection and on one used again', async (_by, text) => {
    const receiver = await listen((socket) => {
      void (async () => {
        for (const byte of text) {
          socket.write(byte);
          await turn();
        }
      })();
    });
    const sender = sending();
    for (let times = 0; times < 3; times++) expect(await send(sender, receiver.url())).toMatchObject(hello);
    expect(receiver.connections).toBe(1);
  });

  it.each([
    ['closes', (socket: Socket, text: string) => void socket.end(text)],
    ['resets', (socket: Socket, text: string) => void socket.write(text, () => socket.destroy())],
  ])('that %s at any byte of a second answer gives a reset, and the next answer is whole', async (_does, cutOff) => {
    let cut = 0;
    const receiver = await listen((socket, { number }) => {
      if (number === 1) socket.write(whole);
      else cutOff(socket, chunked.slice(0, cut));
    });
    const sender = sending();
    for (cut = 0; cut < chunked.length; cut += isSecure ? 5 : 1) {
      expect(await send(sender, receiver.url()), `before ${cut}`).toMatchObject(hello);
      const exchange = await send(sender, receiver.url());
      expect({ cut, reason: exchange.reason, connectMs: exchange.connectMs }).toEqual({
        cut,
        reason: 'reset',
        connectMs: null,
      });
    }
    expect(sender.inFlight()).toBe(0);
  });

  it('that ends its side behind an answer, unannounced, is connected to anew', async () => {
    const receiver = await listen((socket) => void socket.end(whole));
    const sender = sending();
    for (let times = 1; times <= 5; times++) {
      expect(await send(sender, receiver.url())).toMatchObject(hello);
      await closed(receiver);
      expect(receiver.connections).toBe(times);
    }
  });

  it('that ends its side before an answer gives a reset', async () => {
    const receiver = await listen(
      () => undefined,
      (socket) => void socket.end(),
    );
    expect(await send(sending(), receiver.url())).toMatchObject({ statusCode: null, reason: 'reset' });
  });

  it('may refuse 1 MiB before it has read it, and close: its answer counts', async () => {
    const refusal = response('too large').replace('200 OK', '413 Content Too Large');
    const receiver = await listen(
      () => undefined,
      (socket) => {
        socket.removeAllListeners('data');
        socket.once('data', () => {
          socket.pause();
          socket.write(refusal, () => socket.destroy());
        });
      },
    );
    const sender = sending();
    for (let times = 1; times <= 30; times++) {
      const exchange = await send(sender, receiver.url(), { body: large });
      expect(exchange).toMatchObject({ statusCode: 413, reason: null, responseBody: 'too large' });
      expect(receiver.connections).toBe(times);
    }
  });

  it('may refuse 16 MiB and go on: the half-written request costs the connection', async () => {
    const receiver = await listen(
      () => undefined,
      (socket) => {
        socket.removeAllListeners('data');
        socket.once('data', () => {
          socket.pause();
          socket.write(whole);
        });
      },
    );
    const sender = sending();
    expect(await send(sender, receiver.url(), { body: Buffer.alloc(16 * 1024 * 1024) })).toMatchObject(hello);
    for (const socket of receiver.sockets) socket.resume(); // else it never sees the end
    await closed(receiver);
    expect(await send(sender, receiver.url())).toMatchObject(hello);
    expect(receiver.connections).toBe(2);
  });

  it('that never reads 1 MiB is given up on in time', async () => {
    const receiver = await listen(
      () => undefined,
      (socket) => void socket.removeAllListeners('data').pause(),
    );
    const sender = sending();
    const exchange = await send(sender, receiver.url(), { body: large, timeoutMs: 300 });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'timeout', firstByteMs: null });
    expect(exchange.totalMs).toBeLessThan(2_500);
    for (const socket of receiver.sockets) socket.resume();
    await closed(receiver);
  });

  it('that talks unasked while a connection waits loses it', async () => {
    const receiver = await listen((socket) => void socket.write(whole));
    const sender = sending();
    for (const unasked of [response('unasked'), 'x', '\r\n', 'HTTP/1.1 408 Request Timeout\r\n\r\n']) {
      expect(await send(sender, receiver.url())).toMatchObject(hello);
      const [socket] = receiver.sockets;
      socket!.write(unasked);
      await once(socket!, 'close');
    }
    expect(await send(sender, receiver.url())).toMatchObject(hello);
    expect(receiver.connections).toBe(5);
  });

  it.each(['204 No Content', '304 Not Modified'])('that sends a body with %s loses the connection', async (status) => {
    const receiver = await listen(
      (socket) => void socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\nhello`),
    );
    const sender = sending();
    for (let times = 1; times <= 3; times++) {
      const exchange = await send(sender, receiver.url());
      expect(exchange).toMatchObject({ statusCode: Number(status.slice(0, 3)), reason: null, responseBody: null });
      expect(receiver.connections).toBe(times);
    }
  });

  it('that sends 128 KiB in one answer that is no body is cut off, and 127 KiB are taken', async () => {
    const filler = `HTTP/1.1 103 Hints\r\nX-A: ${'a'.repeat(15_800)}\r\n\r\n`.repeat(8);
    let more = '';
    const receiver = await listen((socket) => void socket.write(filler + more + whole));
    const sender = sending();
    expect(await send(sender, receiver.url())).toMatchObject(hello);
    more = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${`X-A: ${'a'.repeat(4_000)}\r\n`.repeat(40)}`;
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, reason: 'bad_response' });
    await closed(receiver);
  });

  it('that sends a body of 64 KiB at once has the first 16 KiB kept', async () => {
    const receiver = await listen((socket) => void socket.write(response('0123456789abcdef'.repeat(4_096))));
    const exchange = await send(sending(), receiver.url());
    expect(exchange).toMatchObject({ statusCode: 200, reason: null, responseTruncated: true });
    expect(exchange.responseBody).toBe('0123456789abcdef'.repeat(1_024));
    await closed(receiver);
  });

  it.each([
    ['timeout=0', 3],
    ['timeout=1', 3],
    ['timeout=2', 3],
    ['timeout=999999999', 1],
    ['timeout=99999999999999999999', 1],
    ['timeout=-5', 1],
    ['timeout=abc, max=0', 1],
    ['timeout="7"', 1],
  ])('that says "Keep-Alive: %s" is connected to %i times for 3 requests', async (hint, connections) => {
    const receiver = await listen((socket) => void socket.write(response('hello', `Keep-Alive: ${hint}\r\n`)));
    const sender = sending();
    for (let times = 1; times <= 3; times++) expect(await send(sender, receiver.url())).toMatchObject(hello);
    expect(receiver.connections).toBe(connections);
  });

  it('may answer many at once on many connections, each its own', async () => {
    const waiting: (() => void)[] = [];
    const receiver = await listen((socket, { head }) => {
      waiting.push(() => socket.write(response(/^POST \/(\d+)/.exec(head)![1]!)));
      if (waiting.length === 50) for (const answer of waiting.splice(0).reverse()) answer();
    });
    const sender = sending();
    for (let round = 0; round < 4; round++) {
      const paths = Array.from({ length: 50 }, (_, i) => `${round * 50 + i}`);
      const exchanges = await Promise.all(paths.map((path) => send(sender, receiver.url(`/${path}`))));
      expect(exchanges.map(({ responseBody }) => responseBody)).toEqual(paths);
    }
    expect(receiver.connections).toBe(50);
  });

  it('is given up on at any moment, and every answer that is taken belongs to its request', async () => {
    const receiver = await listen((socket, { head }) => {
      const id = /^POST \/(\d+)/.exec(head)![1]!;
      setTimeout(() => socket.write(response(id)), Number(id) % 60);
    });
    const sender = sending();
    const ids = Array.from({ length: 300 }, (_, i) => i);
    const exchanges = await Promise.all(
      ids.map(async (id) => {
        await new Promise((resolve) => setTimeout(resolve, (id * 7) % 200));
        return send(sender, receiver.url(`/${id}`), { timeoutMs: id % 4 === 0 ? 5_000 : (id * 13) % 60 });
      }),
    );
    const answered = exchanges.filter(({ reason }) => reason === null);
    expect(exchanges.every(({ reason, responseBody }, id) => reason !== null || responseBody === `${id}`)).toBe(true);
    const reasons = new Set(exchanges.map(({ reason }) => reason));
    reasons.delete(null);
    for (const reason of reasons) expect(reason).toMatch(/^(?:dns_|connect_|tls_)?timeout$/);
    expect(answered.length).toBeGreaterThan(0);
    expect(answered.length).toBeLessThan(300);
    expect(sender.inFlight()).toBe(0);
  });
});

describe('a TLS receiver', () => {
  /** A server whose sockets below TLS are at hand. */
  async function listenBelow(
    options: tls.TlsOptions,
    onSecure: (secure: tls.TLSSocket, plain: Socket) => void,
  ): Promise<string> {
    const open = new Set<Socket>();
    const server = createServer((plain) => {
      open.add(plain);
      plain.on('error', () => undefined);
      const context = tls.createSecureContext({ ...certificates.good, ...options });
      const secure = new tls.TLSSocket(plain, { ...options, isServer: true, secureContext: context });
      secure.on('error', () => plain.destroy());
      secure.once('data', () => onSecure(secure, plain));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }
  const exchangeWith = async (
    onSecure: (secure: tls.TLSSocket, plain: Socket) => void,
    options: tls.TlsOptions = {},
  ): Promise<Exchange> => {
    const url = await listenBelow(options, onSecure);
    const sender = makeSender({ ca: certificates.ca });
    const exchange = await send(sender, url, { timeoutMs: 2_000 });
    await sender.close(0);
    return exchange;
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('that breaks %s behind the handshake gives a reset', async (version) => {
    const bounds = { minVersion: version, maxVersion: version };
    const broken = await exchangeWith((_secure, plain) => void plain.write('no record at all'), bounds);
    expect(broken).toMatchObject({ statusCode: null, reason: 'reset' });
    const alert = await exchangeWith((_secure, plain) => {
      plain.write(Buffer.from([0x15, 3, 3, 0, 2, 2, 40])); // a plain alert where an encrypted record belongs
    }, bounds);
    expect(alert).toMatchObject({ statusCode: null, reason: 'reset' });
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('that breaks %s behind a whole answer harms nothing', async (version) => {
    const exchange = await exchangeWith(
      (secure, plain) => void secure.write(whole, () => plain.write('no record at all')),
      { minVersion: version, maxVersion: version },
    );
    expect(exchange).toMatchObject(hello);
  });

  it('that ends TCP without an end of TLS in the middle gives a reset', async () => {
    const exchange = await exchangeWith((secure, plain) => void secure.write(whole.slice(0, -1), () => plain.end()));
    expect(exchange).toMatchObject({ statusCode: 200, reason: 'reset', responseBody: 'hell' });
  });

  it('that asks for another handshake gets one, and its answer counts', async () => {
    const exchange = await exchangeWith(
      (secure) => void secure.renegotiate({}, (error) => void (error === null && secure.write(whole))),
      { maxVersion: 'TLSv1.2' },
    );
    expect(exchange).toMatchObject(hello);
  });

  it('that demands a certificate of the client gives a named failure', async () => {
    const receiver = await receive((socket) => void socket.write(whole), {
      tls: { ...certificates.good, requestCert: true, rejectUnauthorized: true, ca: certificates.ca },
    });
    const exchange = await send(makeSender({ ca: certificates.ca }), receiver.url());
    expect(exchange).toMatchObject({ statusCode: null, reason: 'reset' });
  });

  it('that speaks before the handshake, or speaks no TLS, is named', async () => {
    const plain = await receive(() => undefined, { onSocket: (socket) => void socket.write(whole) });
    const url = plain.url().replace('http:', 'https:');
    expect(await send(makeSender(), url)).toMatchObject({ statusCode: null, reason: 'tls_failed' });
    const silent = await receive(() => undefined);
    const late = await send(makeSender(), silent.url().replace('http:', 'https:'), { timeoutMs: 100 });
    expect(late).toMatchObject({ statusCode: null, reason: 'tls_timeout' });
    await closed(silent);
  });
});
