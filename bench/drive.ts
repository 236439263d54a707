import type { LoadReport } from './load.ts';
import { cpuUsOf, memoryOf } from './procfs.ts';
import { end, track } from './processes.ts';
import type { ReceiverReport } from './receiver.ts';
import type { LoadPlan } from './request.ts';
import { startPeer } from './rpc.ts';
import type { Peer } from './rpc.ts';

const POLL_MS = 50;
const STALLED_MS = 12_000;

/** A load of this length goes before what is measured: a sender's first seconds are those of its compiler. */
export const WARM_UP_MS = 3_000;

/** The two ends of every measurement, each a process of its own. */
export interface Bench {
  receiver: Peer;
  load: Peer;
  /** `http://127.0.0.1:PORT/hook/N` of the receiver, N from 0 to 9. */
  hookUrl(number: number): string;
  stop(): Promise<void>;
}

export async function startBench(): Promise<Bench> {
  const receiver = startPeer('receiver.ts');
  const load = startPeer('load.ts');
  for (const peer of [receiver, load]) track(peer.child);
  const { port } = await receiver.ask<{ port: number }>('listen');
  return {
    receiver,
    load,
    hookUrl: (number) => `http://127.0.0.1:${port}/hook/${number}`,
    stop: async () => void (await Promise.all([end(receiver.child), end(load.child)])),
  };
}

export interface Measurement {
  load: LoadReport;
  receiver: ReceiverReport;
  expected: number;
  /** Acknowledged, and not arrived by the end of the drain. */
  lost: number;
  doubled: number;
  /** All that arrived, over the time from the first event's sending to the last arrival: the drain counts. */
  deliveriesPerSecond: number;
  drainMs: number;
  /** The sender's process. Null where the platform does not tell. */
  rssPeakBytes: number | null;
  rssMeanBytes: number | null;
  cpuUsPerDelivery: { sender: number | null; receiver: number | null; load: number | null };
}

export interface DriveOptions {
  /** Every event goes to so many endpoints. */
  fanOut: number;
  /** The sender's process, whose memory is watched. */
  senderPid: number;
  /** Processes that work for it: their CPU, and that of their children, is counted with its own. */
  otherPids?: readonly number[];
  /** Without one more arrival for so long, the rest is lost; default longer than the first retry's wait of 5 s ± 20 %. */
  stalledMs?: number;
}

/** Puts one load on a sender and waits until everything acknowledged has arrived, or nothing comes any more. */
export async function drive(bench: Bench, plan: LoadPlan, options: DriveOptions): Promise<Measurement> {
  await bench.receiver.ask('reset');
  const senderPids = [options.senderPid, ...(options.otherPids ?? [])];
  const senderCpu = (): number | null => sum(senderPids.map((pid) => cpuUsOf(pid, { tree: true })));
  const before = { sender: senderCpu(), receiver: cpuUsOf(bench.receiver.pid), load: cpuUsOf(bench.load.pid) };
  const samples: number[] = [];
  const sampler = setInterval(() => {
    const memory = memoryOf(options.senderPid);
    if (memory !== null) samples.push(memory.rss);
  }, 500);
  try {
    const load = await bench.load.ask<LoadReport>('run', plan);
    const expected = load.accepted * options.fanOut;
    await bench.receiver.ask('refuse', { sequences: load.refused });
    await drained(bench.receiver, expected, options.stalledMs);
    const receiver = await bench.receiver.ask<ReceiverReport>('report');
    const after = { sender: senderCpu(), receiver: cpuUsOf(bench.receiver.pid), load: cpuUsOf(bench.load.pid) };
    const per = (name: keyof typeof before): number | null =>
      before[name] === null || after[name] === null
        ? null
        : (after[name] - before[name]) / Math.max(1, receiver.received);
    const lastAtUs = receiver.lastAtUs ?? load.lastAtUs;
    return {
      load,
      receiver,
      expected,
      lost: Math.max(0, expected - (receiver.distinct - receiver.unacknowledged)),
      doubled: receiver.doubled,
      deliveriesPerSecond: receiver.distinct / ((lastAtUs - load.firstAtUs) / 1e6),
      drainMs: Math.max(0, lastAtUs - load.lastAtUs) / 1000,
      rssPeakBytes: memoryOf(options.senderPid)?.rssPeak ?? null,
      rssMeanBytes: samples.length === 0 ? null : Math.round(samples.reduce((a, b) => a + b, 0) / samples.length),
      cpuUsPerDelivery: { sender: per('sender'), receiver: per('receiver'), load: per('load') },
    };
  } finally {
    clearInterval(sampler);
  }
}

/** Resolves once the receiver has so many different deliveries, or has had no further one for `stalledMs`. */
export async function drained(receiver: Peer, expected: number, stalledMs = STALLED_MS): Promise<boolean> {
  let last = -1;
  let lastChangeAt = Date.now();
  for (;;) {
    const distinct = await receiver.ask<number>('count');
    if (distinct >= expected) return true;
    if (distinct !== last) lastChangeAt = Date.now();
    else if (Date.now() - lastChangeAt > stalledMs) return false;
    last = distinct;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function sum(values: readonly (number | null)[]): number | null {
  return values.reduce((total, value) => (total === null || value === null ? null : total + value), 0);
}
