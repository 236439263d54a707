// How many POSTs a second a process that does nothing else sends to the bench's receiver: prepared bytes on plain sockets.
import { connect } from 'node:net';
import { Framer } from '../framing.ts';
import { answer } from '../rpc.ts';

export interface CeilingReport {
  perSecond: number;
  /** CPU of the measured process. */
  cpuUsPerDelivery: number;
}

interface Plan {
  url: string;
  connections: number;
  durationMs: number;
  bodyBytes: number;
}

/** A request with as many headers as a signed delivery has. */
function requestOf({ url, bodyBytes }: Plan): Buffer {
  const { host, pathname } = new URL(url);
  const head = [
    `POST ${pathname} HTTP/1.1`,
    `host: ${host}`,
    'connection: keep-alive',
    'content-type: application/json',
    'webhook-id: evt_01K00000000000000000000000',
    'webhook-timestamp: 1700000000',
    `webhook-signature: v1,${'A'.repeat(43)}=`,
    'user-agent: bench',
    `content-length: ${bodyBytes}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${'x'.repeat(bodyBytes)}`, 'latin1');
}

async function run(plan: Plan): Promise<CeilingReport> {
  const request = requestOf(plan);
  const port = Number(new URL(plan.url).port);
  let done = 0;
  let ended = false;
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  setTimeout(() => (ended = true), plan.durationMs);

  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const framer = new Framer(() => {
        done++;
        if (ended) socket.end(resolve);
        else socket.write(request);
      });
      const callback = (length: number, bytes: Uint8Array): boolean => {
        framer.push((bytes as Buffer).subarray(0, length));
        return true;
      };
      const onread = { buffer: Buffer.alloc(4096), callback };
      const socket = connect({ host: '127.0.0.1', port, noDelay: true, onread }, () => socket.write(request));
      socket.on('error', reject);
    });
  await Promise.all(Array.from({ length: plan.connections }, one));

  const elapsedMs = performance.now() - startedAt;
  const cpu = process.cpuUsage(cpuBefore);
  return { perSecond: done / (elapsedMs / 1000), cpuUsPerDelivery: (cpu.user + cpu.system) / done };
}

answer({ run });
