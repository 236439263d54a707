import { createServer, request } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { drive, startBench } from '../../bench/drive.ts';
import type { Bench } from '../../bench/drive.ts';
import type { LoadPlan } from '../../bench/request.ts';

/** A sender whose faults are known: what it does with an event is decided by the event's number. */
interface Faults {
  copies?: (sequence: number) => number;
  status?: (sequence: number) => number;
  delayMs?: number;
}

let bench: Bench;
let server: Server;

beforeEach(async () => {
  bench = await startBench();
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await bench.stop();
});

async function startSender(
  urls: string[],
  { copies = () => 1, status = () => 202, delayMs = 0 }: Faults,
): Promise<number> {
  server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const body = Buffer.concat(chunks);
      const sequence = Number(/"mark":"(\d{10})/.exec(body.toString())?.[1]);
      setTimeout(() => response.writeHead(status(sequence), { 'content-length': 0 }).end(), delayMs);
      for (let i = 0; i < copies(sequence); i++) urls.forEach((url) => deliver(url, body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

function deliver(url: string, body: Buffer): void {
  request(url, { method: 'POST', headers: { 'content-length': body.length } }, (answer) => answer.resume()).end(body);
}

function plan(port: number, more: Partial<LoadPlan> = {}): LoadPlan {
  const always = { apiKey: 'k'.repeat(16), types: ['bench.t0', 'bench.t1'], connections: 4, dataBytes: 300 };
  return { port, mode: 'closed', durationMs: 10_000, events: 40, ...always, ...more };
}

describe('a driven load', () => {
  it('counts what arrived at every endpoint, nothing lost and nothing doubled by a faultless sender', async () => {
    const port = await startSender([bench.hookUrl(0), bench.hookUrl(9)], {});
    const measured = await drive(bench, plan(port), { fanOut: 2, senderPid: process.pid });
    expect(measured.load).toMatchObject({ sent: 40, accepted: 40, broken: 0, statuses: { 202: 40 } });
    expect(measured).toMatchObject({ expected: 80, lost: 0, doubled: 0 });
    expect(measured.receiver).toMatchObject({ received: 80, distinct: 80 });
    expect(measured.receiver.latency.count).toBe(80);
    expect(measured.receiver.perSecond.reduce((a, b) => a + b)).toBe(80);
  });

  it('sees deliveries that were sent twice', async () => {
    const port = await startSender([bench.hookUrl(0)], { copies: (sequence) => (sequence % 10 === 3 ? 2 : 1) });
    const measured = await drive(bench, plan(port), { fanOut: 1, senderPid: process.pid });
    expect(measured).toMatchObject({ lost: 0, doubled: 4 });
  });

  it('sees an acknowledged event that never arrived, also when a refused one was delivered in its place', async () => {
    const port = await startSender([bench.hookUrl(0)], {
      copies: (sequence) => (sequence === 7 ? 0 : 1),
      status: (sequence) => (sequence === 8 ? 503 : 202),
    });
    const measured = await drive(bench, plan(port), { fanOut: 1, senderPid: process.pid, stalledMs: 300 });
    expect(measured.load).toMatchObject({ accepted: 39, refused: [8] });
    expect(measured).toMatchObject({ expected: 39, lost: 1, doubled: 0 });
  });

  it('charges a stalling sender for every event that was due meanwhile', async () => {
    const port = await startSender([bench.hookUrl(0)], { delayMs: 50 });
    // One connection and an answer each 50 ms, but an event due every 10 ms: the last one waits for all before it.
    const load = plan(port, { mode: 'open', ratePerSecond: 100, connections: 1, events: 20 });
    const measured = await drive(bench, load, { fanOut: 1, senderPid: process.pid });
    expect(measured.load).toMatchObject({ sent: 20, accepted: 20 });
    expect(measured.load.ack.max).toBeGreaterThan(20 * 40);
    expect(measured.receiver.latency.max).toBeGreaterThan(19 * 40 - 50);
  });
});
