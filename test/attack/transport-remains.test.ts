import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Exchange, Sender } from '../../src/transport/transport.ts';
import { makeCertificates } from '../transport/certificates.ts';
import type { Certificates } from '../transport/certificates.ts';
import { ok, receive } from '../transport/receiver.ts';
import { makeSender, send } from '../transport/sending.ts';

let certificates: Certificates;
let collect: () => void;

beforeAll(() => {
  certificates = makeCertificates();
  setFlagsFromString('--expose-gc');
  collect = runInNewContext('gc') as () => void;
});

/** Sends a body that only the sender knows when this returns, and waits for the answer. */
async function sendAndForget(sender: Sender, url: string, timeoutMs: number): Promise<WeakRef<Buffer>> {
  const body = Buffer.alloc(20_000);
  const ref = new WeakRef(body);
  const exchange = await new Promise<Exchange>((resolve) =>
    sender.send({ url, headers: [], body, timeoutMs }, resolve),
  );
  expect(exchange.reason).toBeNull();
  return ref;
}

async function kept(refs: readonly WeakRef<Buffer>[]): Promise<number> {
  let left = refs.length;
  for (let times = 0; times < 20 && left > 0; times++) {
    await turn();
    collect();
    left = refs.filter((ref) => ref.deref() !== undefined).length;
  }
  return left;
}

describe.each(['http', 'https'])('a connection over %s that waits', (scheme) => {
  it('keeps no exchange it carried, neither the first nor the last, nor those beside them', async () => {
    const receiver = await receive(ok, scheme === 'https' ? { tls: certificates.good } : {});
    const sender = makeSender({ ca: certificates.ca });
    const refs: WeakRef<Buffer>[] = [];
    for (let round = 0; round < 3; round++) {
      const all = Array.from({ length: 20 }, () => sendAndForget(sender, receiver.url(), 5_000));
      refs.push(...(await Promise.all(all)));
    }
    expect(await kept(refs)).toBe(0);
    expect(receiver.connections).toBe(20);
    expect(receiver.sockets.size).toBe(20);
  });
});

describe('a process whose sender is not closed', () => {
  it('ends while connections wait', async () => {
    const receiver = await receive((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 0\r\n\r\n');
    });
    const script = `
      import { createSender } from ${JSON.stringify(new URL('../../src/transport/transport.ts', import.meta.url).href)};
      const policy = { allowHttp: true, allowLoopback: true, allowCidrs: [], allowPorts: [], allowAnyPort: true };
      const request = { url: process.argv.at(-1), headers: [], body: Buffer.from('{}'), timeoutMs: 60_000 };
      createSender({ policy }).send(request, ({ statusCode }) => process.send(statusCode));
    `;
    const child = fork('', [receiver.url()], { execArgv: ['--input-type=module-typescript', '--eval', script] });
    onTestFinished(() => void child.kill());
    const answered = once(child, 'message');
    const ended = once(child, 'exit');
    const [statusCode] = (await answered) as [number];
    const answeredAt = performance.now();
    expect(statusCode).toBe(200);
    expect(await ended).toEqual([0, null]);
    expect(performance.now() - answeredAt).toBeLessThan(3_000); // they would wait for 30 s
  });
});

describe('more connections than may wait', () => {
  it('are closed down to the limit, and the others are used again', async () => {
    const waiting: (() => void)[] = [];
    const count = 1_030;
    const receiver = await receive((socket) => {
      waiting.push(() => ok(socket, { head: '', body: '', number: 0 }));
      if (waiting.length === count) for (const answer of waiting.splice(0)) answer();
    });
    const sender = makeSender();
    const all = (): Promise<Exchange[]> =>
      Promise.all(Array.from({ length: count }, () => send(sender, receiver.url(), { timeoutMs: 15_000 })));
    expect((await all()).every(({ statusCode }) => statusCode === 200)).toBe(true);
    const again = await all();
    expect(again.filter(({ connectMs }) => connectMs === null)).toHaveLength(1_024);
    expect(again.every(({ statusCode }) => statusCode === 200)).toBe(true);
    await sender.close(0);
    await Promise.all([...receiver.sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
    expect(sender.inFlight()).toBe(0);
  });
});

describe('a deadline that strikes between the choice of a connection and its use', () => {
  it('is a timeout, and nothing was written', async () => {
    const receiver = await receive(ok);
    const sender = makeSender();
    await send(sender, receiver.url('/first'));
    const struck = send(sender, receiver.url('/never'), { timeoutMs: 1 });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 120);
    expect(await struck).toMatchObject({ statusCode: null, reason: 'timeout', firstByteMs: null });
    expect(await send(sender, receiver.url('/last'))).toMatchObject({ statusCode: 200, reason: null });
    expect(receiver.requests.map(({ head }) => head.split(' ')[1])).toEqual(['/first', '/last']);
    expect(sender.inFlight()).toBe(0);
  });
});

describe('a sender closed in the middle of everything', () => {
  it('calls back each exchange once, resolves, and leaves no connection', async () => {
    const receiver = await receive((socket, { head }) => {
      if (!head.includes('/silent')) ok(socket, { head, body: '', number: 0 });
    });
    for (let round = 0; round < 20; round++) {
      const sender = makeSender();
      const reasons: (string | null)[] = [];
      const begin = (path: string, then: () => void = () => undefined): void => {
        const request = { url: receiver.url(path), headers: [], body: Buffer.alloc(8), timeoutMs: 5_000 };
        sender.send(request, ({ reason }) => {
          reasons.push(reason);
          then();
        });
      };
      for (let i = 0; i < 5; i++) await send(sender, receiver.url());
      for (let i = 0; i < 5; i++) begin('/fast', () => begin('/fast', () => begin('/fast')));
      for (let i = 0; i < 5; i++) begin('/silent', () => begin('/fast'));
      for (let turns = 0; turns < round; turns++) await turn();
      await Promise.all([sender.close(round % 3), sender.close(0)]);
      await turn();
      expect(reasons).toHaveLength(5 * 3 + 5 * 2);
      expect(reasons.filter((reason) => reason !== null && reason !== 'cancelled')).toEqual([]);
      expect(sender.inFlight()).toBe(0);
    }
    await Promise.all([...receiver.sockets].map((socket) => new Promise((resolve) => socket.on('close', resolve))));
  });
});

describe('bytes that nobody asked for', () => {
  it('do not pass for an answer where they came in while the process was busy', async () => {
    const script = `
      import { createServer } from 'node:net';
      const answer = (body) => 'HTTP/1.1 200 OK\\r\\nContent-Length: ' + body.length + '\\r\\n\\r\\n' + body;
      const server = createServer({ noDelay: true }, (socket) => {
        socket.on('error', () => {});
        socket.on('data', () => {
          socket.write(answer('asked'));
          setTimeout(() => socket.write(answer('unasked')), 2);
        });
      });
      server.listen(0, '127.0.0.1', () => process.send(server.address().port));
    `;
    const child = fork('', [], { execArgv: ['--input-type=module', '--eval', script] });
    onTestFinished(() => void child.kill());
    const [port] = (await once(child, 'message')) as [number];
    const sender = makeSender();
    const request = { url: `http://127.0.0.1:${port}/`, headers: [], body: Buffer.from('{}'), timeoutMs: 5_000 };
    const bodies = await new Promise<(string | null)[]>((resolve) => {
      const seen: (string | null)[] = [];
      const again = (): void =>
        sender.send(request, ({ responseBody }) => {
          seen.push(responseBody);
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30); // the server speaks meanwhile
          if (seen.length < 5) again();
          else resolve(seen);
        });
      again();
    });
    expect(bodies).toEqual(new Array(5).fill('asked'));
  });
});
