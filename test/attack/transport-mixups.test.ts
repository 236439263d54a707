import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import tls from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSender } from '../../src/transport/transport.ts';
import type { Exchange } from '../../src/transport/transport.ts';
import { makeCertificates } from '../transport/certificates.ts';
import { development } from '../transport/policies.ts';

const count = Number(process.env.EXCHANGES ?? 2_500);
const concurrency = 64;

/** Numbers that look random and are the same at every run (mulberry32). */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = makeRandom(20261121);

function pick<T>(list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

function sized(body: string, more = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
}

const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

/** What a receiver does with a request; `id` is the request's own. */
type Manner = (socket: Socket, id: string) => void;

const good: Manner[] = [
  (socket, id) => socket.write(sized(id)),
  (socket, id) => socket.write(`${chunkedHead}${id.length.toString(16)}\r\n${id}\r\n0\r\n\r\n`),
  (socket, id) => void setTimeout(() => socket.write(sized(id)), random() * 3),
  (socket, id) => {
    const text = `HTTP/1.1 103 Hints\r\n\r\n${sized(id, 'Keep-Alive: timeout=5\r\n')}`;
    const cut = Math.floor(random() * text.length);
    socket.write(text.slice(0, cut));
    setImmediate(() => socket.write(text.slice(cut)));
  },
  (socket) => socket.write('HTTP/1.1 204 No Content\r\n\r\n'),
];

const bad: Manner[] = [
  (socket, id) => socket.write(sized(id) + sized(`${id}0`)), // another answer in the same piece
  (socket, id) => socket.write(sized(id) + 'x'),
  (socket, id) => {
    // An answer that nobody asked for, a moment later. Where it crosses the next request, no client can tell; from then on
    // this receiver is one answer ahead.
    socket.write(sized(id));
    socket.removeAllListeners('data').on('data', () => socket.end(sized('stray')));
    setImmediate(() => socket.write(sized('stray')));
  },
  (socket, id) => socket.end(sized(id)), // closes without a word
  (socket, id) => socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${id}`),
  (socket, id) => void socket.write(sized(id), () => socket.destroy()),
  (socket, id) => void socket.write(sized(id), () => setTimeout(() => socket.destroy(), random() * 3)),
  (socket) => socket.destroy(),
  (socket, id) => socket.end(sized(id).slice(0, Math.floor(random() * 40))),
  (socket, id) => socket.write(sized(id).slice(0, -1)), // never whole
  () => {}, // silent
  (socket, id) => socket.write('HTTP/1.1 103 Hints\r\n\r\n'.repeat(9) + sized(id)),
  (socket, id) => socket.write(`${chunkedHead}1\r\n${id}\r\n0\r\n\r\n`),
  (socket, id) => socket.write(`garbage${sized(id)}`),
  (socket, id) => socket.write(sized(id, 'Keep-Alive: timeout=0\r\n')),
  (socket, id) => socket.write(sized(id + ' '.repeat(20_000))),
];

/** Answers each request in a manner of its own, some before the body has come. */
function misbehave(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  let text = '';
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
    const headEnds = text.indexOf('\r\n\r\n');
    if (headEnds === -1) return;
    const length = Number(/content-length: (\d+)/.exec(text)![1]);
    if (text.length < headEnds + 4 + length && length < 100_000) return;
    const id = /X-Id: (\d+)/.exec(text)![1]!;
    if (text.length < headEnds + 4 + length) {
      socket.removeAllListeners('data'); // enough seen of a large one
      socket.end(`HTTP/1.1 413 Too Large\r\nContent-Length: ${id.length}\r\n\r\n${id}`);
      return;
    }
    text = text.slice(headEnds + 4 + length);
    (random() < 0.7 ? pick(good) : pick(bad))(socket, id);
  });
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

describe.each(['http', 'https'])('thousands of exchanges over %s with receivers that misbehave', (scheme) => {
  it('each get their own answer or none, once, and leave nothing behind', { timeout: 60_000 }, async () => {
    const certificates = scheme === 'https' ? makeCertificates() : null;
    const sockets = new Set<Socket>();
    const accept = (socket: Socket): void => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      misbehave(socket);
    };
    const server = certificates === null ? createServer(accept) : tls.createServer(certificates.good, accept);
    server.on('tlsClientError', () => {});
    const port = await listen(server);
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const sender = createSender({ policy: development, ...(certificates && { ca: certificates.ca }) });
    const small = Buffer.from('{"a":1}');
    const large = Buffer.alloc(200_000, 0x20);
    const outcomes = new Map<string, number>();
    const wrong: unknown[] = [];
    const calls = new Uint8Array(count);
    let next = 0;
    let open = 0;

    function judge(id: string, exchange: Exchange): void {
      const { statusCode, reason, responseBody, responseTruncated } = exchange;
      const own = responseTruncated ? responseBody?.trim() : responseBody;
      const isOwn = statusCode === 204 ? own === null : own === id || own === 'stray';
      if (reason === null && !isOwn) wrong.push({ id, ...exchange });
      const key = `${statusCode} ${reason}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    }

    await new Promise<void>((resolve) => {
      const start = (): void => {
        const index = next++;
        const id = String(1_000_000 + index);
        let isInside = true;
        open++;
        sender.send(
          {
            url: `${scheme}://127.0.0.1:${port}/${index % 7}`,
            headers: ['X-Id', id],
            body: random() < 0.01 ? large : small,
            timeoutMs: random() < 0.1 ? random() * 50 : 400,
          },
          (exchange) => {
            if (isInside) wrong.push(`${id} was done within send`);
            calls[index]!++;
            judge(id, exchange);
            open--;
            if (next < count) start();
            else if (open === 0) resolve();
          },
        );
        isInside = false;
      };
      for (let i = 0; i < concurrency; i++) start();
    });

    expect(wrong).toEqual([]);
    expect(sender.inFlight()).toBe(0);
    await sender.close(0);
    expect(calls.every((times) => times === 1)).toBe(true);
    // Else the property says nothing.
    expect(outcomes.get('200 null')).toBeGreaterThan(count / 3);
    for (const key of ['204 null', 'null reset', 'null timeout', '200 timeout', 'null bad_response']) {
      expect(outcomes.get(key), key).toBeGreaterThan(0);
    }
    await Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
    if (process.env.EXCHANGES !== undefined) console.log(outcomes);
  });
});
