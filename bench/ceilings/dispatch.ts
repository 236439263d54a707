// How many POSTs a second a process that does nothing else sends through undici to the bench's receiver.
import { Pool } from 'undici';
import type { Dispatcher } from 'undici';
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

async function run(plan: Plan): Promise<CeilingReport> {
  const { origin, pathname } = new URL(plan.url);
  const pool = new Pool(origin, { connections: plan.connections, pipelining: 1 });
  const request: Dispatcher.DispatchOptions = {
    path: pathname,
    method: 'POST',
    // As many headers as a signed delivery has.
    headers: {
      'content-type': 'application/json',
      'webhook-id': 'evt_01K00000000000000000000000',
      'webhook-timestamp': '1700000000',
      'webhook-signature': `v1,${'A'.repeat(43)}=`,
      'user-agent': 'bench',
    },
    body: Buffer.alloc(plan.bodyBytes, 'x'),
  };
  let done = 0;
  let underWay = 0;
  let ended = false;
  let finish: () => void = () => {};
  let fail: (error: Error) => void = () => {};
  const finished = new Promise<void>((resolve, reject) => ((finish = resolve), (fail = reject)));

  class Handler implements Dispatcher.DispatchHandler {
    onRequestStart(): void {}
    onResponseStart(): void {}
    onResponseData(): void {}
    onResponseEnd(): void {
      done++;
      underWay--;
      if (!ended) send();
      else if (underWay === 0) finish();
    }
    onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
      fail(error);
    }
  }
  function send(): void {
    underWay++;
    pool.dispatch(request, new Handler());
  }

  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  for (let i = 0; i < plan.connections; i++) send();
  setTimeout(() => (ended = true), plan.durationMs);
  await finished;
  const elapsedMs = performance.now() - startedAt;
  const cpu = process.cpuUsage(cpuBefore);
  await pool.close();
  return { perSecond: done / (elapsedMs / 1000), cpuUsPerDelivery: (cpu.user + cpu.system) / done };
}

answer({ run });
