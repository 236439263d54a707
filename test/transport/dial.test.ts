import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { dial, inOrder } from '../../src/transport/dial.ts';
import type { Dialled } from '../../src/transport/dial.ts';
import { ok, receive } from './receiver.ts';
import { makeSender, send } from './sending.ts';

const everything = (): boolean => true;

function dialled(addresses: string[], port: number, allows = everything): Promise<Dialled> {
  return new Promise((resolve) => dial(addresses, port, allows, resolve));
}

/** A port on `host` whose accept queue is full: a process that listens and then never accepts. Its SYNs go unanswered. */
async function blackHole(host: string, port = 0): Promise<number> {
  const source = `
    const server = require('node:net').createServer();
    server.listen({ host: ${JSON.stringify(host)}, port: ${port}, backlog: 1 }, () => {
      process.send(server.address().port, () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
    });`;
  const child = fork('-e', [source], { execArgv: [], stdio: 'ignore' });
  const [listening] = (await once(child, 'message')) as [number];
  const fillers = Array.from({ length: 6 }, () => connect(listening, host).on('error', () => {}));
  onTestFinished(async () => {
    fillers.forEach((socket) => socket.destroy());
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await Promise.all(fillers.slice(0, 2).map((socket) => once(socket, 'connect')));
  return listening;
}

describe('dialling', () => {
  it('names a refused connection and where', async () => {
    const exchange = await send(makeSender(), 'http://127.0.0.1:1/');
    expect(exchange).toMatchObject({ statusCode: null, reason: 'connect_refused', remoteAddress: null });
    expect(exchange.detail).toBe('ECONNREFUSED 127.0.0.1:1');
    expect(exchange.firstByteMs).toBeNull();
  });

  it('goes on to the next address when one refuses', async () => {
    const receiver = await receive(ok, { host: '127.0.0.3' });
    const outcome = await dialled(['127.0.0.1', '127.0.0.2', '127.0.0.3'], receiver.port);
    expect(outcome).toMatchObject({ address: '127.0.0.3' });
    if ('socket' in outcome) {
      outcome.socket.destroy();
    }
  });

  it('tells of every address when none answers', async () => {
    const outcome = await dialled(['127.0.0.1', '127.0.0.2'], 1);
    expect(outcome).toEqual({
      reason: 'connect_refused',
      detail: 'ECONNREFUSED 127.0.0.1:1, ECONNREFUSED 127.0.0.2:1',
    });
  });

  it('tries no more than six addresses', async () => {
    const addresses = Array.from({ length: 10 }, (_, index) => `127.0.0.${index + 1}`);
    const outcome = await dialled(addresses, 1);
    expect('detail' in outcome && outcome.detail.split(', ').length).toBe(6);
  });

  it('takes IPv4 before IPv6, and before both the address that answered last', () => {
    const answer = ['2600::1', '1.1.1.1', '2600::2', '1.0.0.1'];
    expect(inOrder(answer, null)).toEqual(['1.1.1.1', '1.0.0.1', '2600::1', '2600::2']);
    expect(inOrder(answer, '2600::2')).toEqual(['2600::2', '1.1.1.1', '1.0.0.1', '2600::1']);
    expect(inOrder(answer, '9.9.9.9')).toEqual(['1.1.1.1', '1.0.0.1', '2600::1', '2600::2']);
  });

  it('goes back first to the address that answered last', async () => {
    const close = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
    const { port } = await receive((socket) => socket.end(close), { host: '127.0.0.2' });
    const resolver = { resolve: () => Promise.resolve(['127.0.0.1', '127.0.0.2']), close: () => {} };
    const sender = makeSender({ resolver });
    const url = `http://hooks.example.com:${port}/`;
    expect(await send(sender, url)).toMatchObject({ statusCode: 200, remoteAddress: '127.0.0.2' });
    await receive(ok, { port });
    expect(await send(sender, url)).toMatchObject({ statusCode: 200, remoteAddress: '127.0.0.2' });
    expect(await send(makeSender({ resolver }), url)).toMatchObject({ statusCode: 200, remoteAddress: '127.0.0.1' });
  });

  it('gives up on an address that never answers at the deadline', async () => {
    const port = await blackHole('127.0.0.1');
    const exchange = await send(makeSender(), `http://127.0.0.1:${port}/`, { timeoutMs: 200 });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'connect_timeout', remoteAddress: null, tlsMs: null });
    expect(exchange.connectMs).toBeGreaterThanOrEqual(190);
    expect(exchange.totalMs).toBeLessThan(2_500);
  });

  it('does not wait for a silent address when another one answers', async () => {
    const port = await blackHole('127.0.0.1');
    await receive(ok, { host: '127.0.0.2', port });
    const start = performance.now();
    const outcome = await dialled(['127.0.0.1', '127.0.0.2'], port);
    expect(outcome).toMatchObject({ address: '127.0.0.2' });
    expect(performance.now() - start).toBeLessThan(5_000);
    if ('socket' in outcome) {
      outcome.socket.destroy();
    }
  });

  it('looks again at the address it reached and writes nothing to a forbidden one', async () => {
    const receiver = await receive(ok);
    const outcome = await dialled(['127.0.0.1'], receiver.port, () => false);
    expect(outcome).toMatchObject({ reason: 'blocked_destination' });
    await Promise.all([...receiver.sockets].map((socket) => once(socket, 'close')));
    expect(receiver.bytes).toBe(0);
  });

  it('calls nobody back after it was given up', async () => {
    const receiver = await receive(ok);
    let calls = 0;
    const giveUp = dial(['127.0.0.1'], receiver.port, everything, () => (calls += 1));
    giveUp();
    const after = await dialled(['127.0.0.1'], receiver.port);
    expect(after).toMatchObject({ address: '127.0.0.1' });
    expect(calls).toBe(0);
    if ('socket' in after) {
      after.socket.destroy();
    }
  });
});
