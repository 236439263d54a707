import { once } from 'node:events';
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Connection } from '../../src/transport/connection.ts';
import { RunningExchange } from '../../src/transport/running-exchange.ts';
import type { Exchange } from '../../src/transport/transport.ts';
import { createGuard } from '../../src/transport/url.ts';
import { development } from './policies.ts';
import { ok, receive, response } from './receiver.ts';
import { makeSender, send } from './sending.ts';

afterEach(() => vi.useRealTimers());

describe('connections', () => {
  it('are used again, with the phases that did not occur left out', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    await send(sender, receiver.url());
    const second = await send(sender, receiver.url('/other'));
    expect(second).toMatchObject({
      statusCode: 200,
      dnsMs: null,
      connectMs: null,
      tlsMs: null,
      remoteAddress: '127.0.0.1',
    });
    expect(second.firstByteMs).toBeGreaterThan(0);
    expect(receiver.connections).toBe(1);
  });

  it('carry one exchange at a time', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    const all = await Promise.all(Array.from({ length: 5 }, () => send(sender, receiver.url())));
    expect(all.map((exchange) => exchange.statusCode)).toEqual([200, 200, 200, 200, 200]);
    expect(receiver.connections).toBe(5);
    expect(receiver.requests.every((request) => request.number === 1)).toBe(true);
  });

  it('are used again from within the callback of the exchange before', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    const request = { url: receiver.url(), headers: [], body: Buffer.alloc(0), timeoutMs: 5_000 };
    const statuses = await new Promise<(number | null)[]>((resolve) => {
      const seen: (number | null)[] = [];
      const again = (): void =>
        sender.send(request, (exchange) => {
          seen.push(exchange.statusCode);
          if (seen.length === 10) {
            resolve(seen);
          } else {
            again();
          }
        });
      again();
    });
    expect(statuses).toEqual(new Array(10).fill(200));
    expect(receiver.connections).toBe(1);
  });

  it.each<[string, string]>([
    ['says close', response('ok', 'Connection: close\r\n')],
    ['speaks HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ])('are replaced without a failure when the server %s', async (_title, text) => {
    const receiver = await receive((socket) => void socket.end(text));
    const sender = makeSender();
    const request = { url: receiver.url(), headers: [], body: Buffer.from('{}'), timeoutMs: 5_000 };
    const reasons = await new Promise<(string | null)[]>((resolve) => {
      const seen: (string | null)[] = [];
      const again = (): void =>
        sender.send(request, (exchange) => {
          seen.push(exchange.reason);
          if (seen.length === 5) {
            resolve(seen);
          } else {
            again();
          }
        });
      again();
    });
    expect(reasons).toEqual([null, null, null, null, null]);
    expect(receiver.connections).toBe(5);
  });

  it('are replaced without a failure when the server closed an idle one', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    await send(sender, receiver.url());
    const [socket] = receiver.sockets;
    socket?.end();
    if (socket !== undefined) {
      await once(socket, 'close');
    }
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, reason: null });
    expect(receiver.connections).toBe(2);
  });

  it('give a reset when the server closes one just as it is used again', async () => {
    const receiver = await receive((socket, request) => {
      if (request.number === 1) {
        socket.write(response('ok'));
      } else {
        socket.resetAndDestroy();
      }
    });
    const sender = makeSender();
    await send(sender, receiver.url());
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: null, reason: 'reset', connectMs: null });
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, reason: null });
  });

  it('with bytes that nobody asked for are not used again', async () => {
    const receiver = await receive((socket) => void socket.write(response('ok') + response('smuggled')));
    const sender = makeSender();
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, responseBody: 'ok' });
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, responseBody: 'ok' });
    expect(receiver.connections).toBe(2);
  });

  it('are closed once idle for too long', async () => {
    const receiver = await receive(ok);
    const sender = makeSender({ maxIdleMs: 50 });
    await send(sender, receiver.url());
    await Promise.all([...receiver.sockets].map((socket) => once(socket, 'close')));
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200 });
    expect(receiver.connections).toBe(2);
  });

  it('are closed before the server closes them, when it says for how long it keeps them', async () => {
    const receiver = await receive((socket) => void socket.write(response('ok', 'Keep-Alive: timeout=1\r\n')));
    const sender = makeSender();
    await send(sender, receiver.url());
    await send(sender, receiver.url());
    expect(receiver.connections).toBe(2);
  });

  it('are closed at our own limit when the server would keep them for longer', async () => {
    const receiver = await receive((socket) => void socket.write(response('ok', 'Keep-Alive: timeout=600\r\n')));
    const sender = makeSender({ maxIdleMs: 50 });
    await send(sender, receiver.url());
    await Promise.all([...receiver.sockets].map((socket) => once(socket, 'close')));
    expect(receiver.sockets.size).toBe(0);
  });

  it('are closed from the longest idle on when too many wait', async () => {
    const receivers = await Promise.all([receive(ok), receive(ok), receive(ok)]);
    const [first, second, third] = receivers;
    const sender = makeSender({ maxIdleConnections: 2 });
    await send(sender, first.url());
    const [oldest] = first.sockets;
    await send(sender, second.url());
    const closed = oldest === undefined ? Promise.reject(new Error('no socket')) : once(oldest, 'close');
    await send(sender, third.url());
    await closed;
    await Promise.all([send(sender, second.url()), send(sender, third.url())]);
    expect(receivers.map((receiver) => receiver.connections)).toEqual([1, 1, 1]);
  });

  it('older than five minutes are replaced, so that a change of DNS is followed', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const receiver = await receive((socket) => void socket.write(response('ok', 'Keep-Alive: timeout=900\r\n')));
    const sender = makeSender({ maxIdleMs: 15 * 60_000 });
    await send(sender, receiver.url());
    vi.advanceTimersByTime(4 * 60_000);
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200, connectMs: null });
    vi.advanceTimersByTime(61_000);
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200 });
    expect(receiver.connections).toBe(2);
  });
});

describe('a socket that died before its first exchange', () => {
  it('is a reset, and is forgotten', async () => {
    const socket = new Socket();
    socket.destroy();
    let forgotten = false;
    const origin = { url: 'http://127.0.0.1:1', idle: [], preferredAddress: null, trust: 0 };
    const judgement = createGuard(development).judge(origin.url);
    if (!judgement.ok) throw new Error(judgement.message);
    const { destination } = judgement;
    const connection = new Connection(origin, socket, '127.0.0.1', () => void (forgotten = true));
    const exchange = await new Promise<Exchange>((resolve) => {
      const request = { url: 'http://127.0.0.1:1/', headers: [], body: Buffer.alloc(0), timeoutMs: 1_000 };
      const exchange = new RunningExchange(request, resolve, { settled: () => {} }, performance.now());
      exchange.target = { destination, opening: 'POST / HTTP/1.1\r\n', origin };
      connection.carry(exchange);
    });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'reset' });
    expect(forgotten).toBe(true);
  });
});

describe('closing', () => {
  it('waits for exchanges under way and takes no more', async () => {
    let answer: () => void = () => {};
    const receiver = await receive((socket) => {
      answer = () => void socket.write(response('late'));
      asked();
    });
    let asked: () => void = () => {};
    const wasAsked = new Promise<void>((resolve) => (asked = resolve));
    const sender = makeSender();
    const running = send(sender, receiver.url());
    await wasAsked;
    const closed = sender.close(5_000);
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: null, reason: 'cancelled' });
    answer();
    expect(await running).toMatchObject({ statusCode: 200, responseBody: 'late' });
    await closed;
    expect(sender.inFlight()).toBe(0);
    expect(receiver.connections).toBe(1);
  });

  it('cancels what is not done within the grace and leaves no socket', async () => {
    const receiver = await receive(() => {});
    const sender = makeSender();
    const running = [send(sender, receiver.url()), send(sender, receiver.url()), send(sender, 'http://127.0.0.1:1/')];
    expect(sender.inFlight()).toBe(3);
    await sender.close(100);
    const reasons = (await Promise.all(running)).map((exchange) => exchange.reason);
    expect(reasons).toEqual(['cancelled', 'cancelled', 'connect_refused']);
    await Promise.all([...receiver.sockets].map((socket) => once(socket, 'close')));
  });

  it('may be asked for twice, and of a sender that never sent', async () => {
    const sender = makeSender();
    await Promise.all([sender.close(0), sender.close(10)]);
    await sender.close(0);
    expect(sender.inFlight()).toBe(0);
  });

  it('lets the process end: nothing is left that keeps it alive', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    await send(sender, receiver.url());
    await sender.close(0);
    const resources = process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap');
    await Promise.all([...receiver.sockets].map((socket) => once(socket, 'close')));
    expect(resources.length).toBeLessThanOrEqual(1);
  });
});

describe('send', () => {
  it.each(['http://127.0.0.1:1/', 'http://10.0.0.1/', 'nonsense'])('calls back once, and later (%s)', async (url) => {
    const sender = makeSender();
    let calls = 0;
    const first = new Promise<void>((resolve) => {
      sender.send({ url, headers: [], body: Buffer.alloc(0), timeoutMs: 1_000 }, () => {
        calls += 1;
        resolve();
      });
    });
    expect(calls).toBe(0);
    await first;
    await sender.close(0);
    expect(calls).toBe(1);
  });

  it('calls back later also for headers that may not be sent, on a waiting connection', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    await send(sender, receiver.url());
    let calls = 0;
    const called = new Promise<void>((resolve) => {
      const request = { url: receiver.url(), headers: ['X-A', 'b\nc'], body: Buffer.alloc(0), timeoutMs: 1_000 };
      sender.send(request, () => {
        calls += 1;
        resolve();
      });
    });
    expect(calls).toBe(0);
    await called;
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200 });
  });

  it('does not let a fault in the callback pass unseen, and goes on', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    const faults: unknown[] = [];
    const enqueue = queueMicrotask;
    vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((callback) => {
      enqueue(() => {
        try {
          callback();
        } catch (error) {
          faults.push(error);
        }
      });
    });
    onTestFinished(() => void vi.restoreAllMocks());
    const request = { url: receiver.url(), headers: [], body: Buffer.alloc(0), timeoutMs: 5_000 };
    sender.send(request, () => {
      throw new Error('fault in the callback');
    });
    await vi.waitUntil(() => faults.length > 0);
    expect(faults).toEqual([new Error('fault in the callback')]);
    expect(await send(sender, receiver.url())).toMatchObject({ statusCode: 200 });
    expect(sender.inFlight()).toBe(0);
  });

  it('takes a deadline that is already over', async () => {
    const receiver = await receive(() => {});
    expect(await send(makeSender(), receiver.url(), { timeoutMs: 0 })).toMatchObject({ statusCode: null });
    expect(await send(makeSender(), receiver.url(), { timeoutMs: -5 })).toMatchObject({ statusCode: null });
  });
});
