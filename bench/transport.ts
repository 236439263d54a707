/**
 * How many exchanges a second the guarded sender makes, and what CPU each costs this process, beside a bare undici
 * dispatch loop as the ceiling. The receiver is a raw `net` server in a process of its own, keep-alive, minimal parse.
 *
 *   node bench/transport.ts [seconds = 5] [concurrency = 64] [--json]
 */
import { fork } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Agent } from 'undici';
import { createSender } from '../src/transport/transport.ts';

interface Row {
  name: string;
  perSecond: number;
  cpuMicros: number;
  p50Ms: number;
  p99Ms: number;
  failures: number;
}

/** Starts one exchange and calls back with whether it went well. */
type Exchanger = (done: (ok: boolean) => void) => void;

const headers = [
  ['Content-Type', 'application/json'],
  ['User-Agent', 'Posthorn/bench'],
  ['webhook-id', 'evt_01JXYZ0000000000000000000'],
  ['webhook-timestamp', '1767225600'],
  ['webhook-signature', 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='],
].flat();
const body = Buffer.from(JSON.stringify({ type: 'grant.created', data: { text: 'x'.repeat(260) } }));

function receive(): void {
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok');
  const server = createServer({ noDelay: true }, (socket: Socket) => {
    let missing = 0;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      if (missing > 0) {
        missing -= chunk.length;
      } else {
        const head = chunk.indexOf('\r\n\r\n');
        const length = /content-length: (\d+)/.exec(chunk.toString('latin1', Math.max(0, head - 40), head))?.[1];
        missing = Number(length) - (chunk.length - head - 4);
      }
      if (missing <= 0) {
        missing = 0;
        socket.write(answer);
      }
    });
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
}

/** Keeps `concurrency` exchanges under way for the given time, after a second of warming up. */
function measure(name: string, exchange: Exchanger, seconds: number, concurrency: number): Promise<Row> {
  return new Promise((resolve) => {
    const latencies: number[] = [];
    let failures = 0;
    let underWay = 0;
    let counting = false;
    let stopped = false;
    let cpu = process.cpuUsage();
    let start = 0;

    function finish(): void {
      latencies.sort((a, b) => a - b);
      const elapsedMs = performance.now() - start;
      const used = process.cpuUsage(cpu);
      const at = (share: number): number => Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(2));
      resolve({
        name,
        perSecond: Math.round((latencies.length / elapsedMs) * 1000),
        cpuMicros: Number(((used.user + used.system) / latencies.length).toFixed(1)),
        p50Ms: at(0.5),
        p99Ms: at(0.99),
        failures,
      });
    }

    function next(): void {
      const began = performance.now();
      underWay += 1;
      exchange((ok) => {
        underWay -= 1;
        if (counting) {
          latencies.push(performance.now() - began);
          failures += ok ? 0 : 1;
        }
        if (!stopped) {
          next();
        } else if (underWay === 0) {
          finish();
        }
      });
    }

    for (let index = 0; index < concurrency; index += 1) {
      next();
    }
    setTimeout(() => {
      counting = true;
      cpu = process.cpuUsage();
      start = performance.now();
    }, 1000);
    setTimeout(() => (stopped = true), 1000 + seconds * 1000);
  });
}

async function main(): Promise<void> {
  const [seconds = 5, concurrency = 64] = process.argv
    .slice(2)
    .filter((argument) => /^\d+$/.test(argument))
    .map(Number);
  const receiver = fork(fileURLToPath(import.meta.url), ['receiver']);
  const port = await new Promise<number>((resolve) => receiver.once('message', (message) => resolve(Number(message))));
  const origin = `http://127.0.0.1:${port}`;
  const rows: Row[] = [];

  const agent = new Agent({ connections: concurrency, headersTimeout: 0, bodyTimeout: 0 });
  const bare: Exchanger = (done) => {
    let status = 0;
    agent.dispatch(
      { origin, path: '/hook', method: 'POST', headers, body },
      {
        onRequestStart: () => {},
        onResponseStart: (_controller, statusCode) => void (status = statusCode),
        onResponseData: () => {},
        onResponseEnd: () => done(status === 200),
        onResponseError: () => done(false),
      },
    );
  };
  rows.push(await measure('bare undici dispatch', bare, seconds, concurrency));
  await agent.destroy();

  const sender = createSender({
    policy: { allowHttp: true, allowLoopback: true, allowCidrs: [], allowPorts: [], allowAnyPort: true },
  });
  const guarded: Exchanger = (done) => {
    const request = { url: `${origin}/hook`, headers, body, timeoutMs: 10_000 };
    sender.send(request, (outcome) => done(outcome.statusCode === 200 && outcome.reason === null));
  };
  rows.push(await measure('guarded sender', guarded, seconds, concurrency));
  await sender.close(0);
  receiver.kill();

  if (process.argv.includes('--json')) {
    console.log(JSON.stringify({ seconds, concurrency, rows }));
  } else {
    console.table(rows);
  }
}

if (process.argv[2] === 'receiver') {
  receive();
} else {
  await main();
}
