// The load generator, a process of its own: raw keep-alive connections, requests built once and patched in place.
// `closed`: every connection sends its next event when the last one was answered, which finds the highest rate.
// `open`: events leave by the clock whatever the answers do, and each is stamped with the time it was due, so that a
// sender that stalls is charged for every event that had to wait (no coordinated omission).
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { nowUs } from './clock.ts';
import { Framer } from './framing.ts';
import { Histogram } from './histogram.ts';
import type { Percentiles } from './histogram.ts';
import { MARK_KEY, writeMark } from './mark.ts';
import { buildRequest } from './request.ts';
import type { LoadPlan } from './request.ts';
import { answer } from './rpc.ts';

export interface LoadReport {
  sent: number;
  accepted: number;
  /** Answers by status code. */
  statuses: Record<string, number>;
  /** Exchanges that ended without an answer. */
  broken: number;
  /** Sequence numbers of the events that were not acknowledged; the first 100,000. */
  refused: number[];
  /** On the clock of {@link nowUs}. */
  firstAtUs: number;
  lastAtUs: number;
  /** From sending (open loop: from the due time) to the answer. */
  ack: Percentiles;
  /** Open loop: how late the generator itself was; its share in every latency measured. */
  lateness: Percentiles;
  cpuUsPerEvent: number;
}

interface Line {
  socket: Socket | null;
  /** One request for each type; only one of them is ever on the wire, so they are patched in place. */
  requests: Buffer[];
  sequence: number;
  stampUs: number;
  busy: boolean;
}

const LETTER_H = 72;
const MAX_REFUSED_LISTED = 100_000;
const PACE_START_US = 200_000;
/** How long the last answers are waited for. */
const GRACE_MS = 15_000;

async function run(plan: LoadPlan): Promise<LoadReport> {
  const templates = plan.types.map((type) => buildRequest(plan, type));
  const markAt = templates.map((template) => template.indexOf(MARK_KEY) + MARK_KEY.length);
  const statuses: Record<string, number> = {};
  const refused: number[] = [];
  const ack = new Histogram();
  const lateness = new Histogram();
  const lines: Line[] = [];
  /** Open loop: free lines, and the due times that found none. */
  const free: Line[] = [];
  const backlog: number[] = [];
  let backlogAt = 0;
  let sent = 0;
  let accepted = 0;
  let broken = 0;
  let underWay = 0;
  let ended = false;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const limit = plan.events ?? Infinity;

  function refuse(sequence: number): void {
    if (refused.length < MAX_REFUSED_LISTED) refused.push(sequence);
  }

  function send(line: Line, stampUs: number): void {
    const sequence = sent++;
    const which = sequence % templates.length;
    const request = line.requests[which]!;
    writeMark(request, markAt[which]!, sequence, stampUs);
    line.sequence = sequence;
    line.stampUs = stampUs;
    line.busy = true;
    underWay++;
    line.socket!.write(request);
  }

  function answered(line: Line, bytes: Buffer, start: number): void {
    const atUs = nowUs();
    if (!line.busy || bytes[start] !== LETTER_H) throw new Error('an answer is not framed by content-length');
    line.busy = false;
    underWay--;
    ack.record(atUs - line.stampUs);
    const status = (bytes[start + 9]! - 48) * 100 + (bytes[start + 10]! - 48) * 10 + bytes[start + 11]! - 48;
    statuses[status] = (statuses[status] ?? 0) + 1;
    if (status === 202) accepted++;
    else refuse(line.sequence);
    next(line, atUs);
  }

  function next(line: Line, atUs: number): void {
    if (plan.mode === 'open' && backlogAt < backlog.length) return sendDue(line, backlog[backlogAt++]!);
    if (ended || sent >= limit) {
      if (underWay === 0 && backlogAt === backlog.length) finish();
    } else if (plan.mode === 'closed') {
      send(line, atUs);
      return;
    }
    free.push(line);
  }

  function sendDue(line: Line, dueAtUs: number): void {
    lateness.record(nowUs() - dueAtUs);
    send(line, dueAtUs);
  }

  async function open(line: Line): Promise<void> {
    const framer = new Framer((bytes, start) => answered(line, bytes, start));
    const socket = connect({
      port: plan.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(4096),
        callback: (length, buffer) => {
          framer.push(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          return true;
        },
      },
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    line.socket = socket;
    socket.on('error', () => {});
    socket.on('close', () => {
      line.socket = null;
      if (ended && !line.busy) return;
      if (line.busy) {
        line.busy = false;
        underWay--;
        broken++;
        refuse(line.sequence);
      }
      // A line that was free stays in the list of free ones, and is not taken before it is open again.
      const at = free.indexOf(line);
      if (at >= 0) free.splice(at, 1);
      open(line).then(
        () => next(line, nowUs()),
        () => finish(),
      );
    });
  }

  for (let i = 0; i < plan.connections; i++) {
    lines.push({ socket: null, requests: templates.map((t) => Buffer.from(t)), sequence: 0, stampUs: 0, busy: false });
  }
  await Promise.all(lines.map(open));

  const cpuBefore = process.cpuUsage();
  // The thread that paces open loop needs a moment to start; events due before it runs would all be late.
  const firstAtUs = nowUs() + (plan.mode === 'open' ? PACE_START_US : 0);
  if (plan.mode === 'closed') {
    for (const line of lines) next(line, nowUs());
    setTimeout(() => {
      ended = true;
      if (underWay === 0) finish();
    }, plan.durationMs);
  } else {
    free.push(...lines);
    pace(plan, firstAtUs, limit, (dueAtUs) => {
      const line = free.shift(); // in turns: a connection that never asks is ended by the server
      if (line === undefined) backlog.push(dueAtUs);
      else sendDue(line, dueAtUs);
    }).then(
      () => {
        ended = true;
        if (underWay === 0 && backlogAt === backlog.length) finish();
      },
      () => finish(),
    );
  }
  const graceTimer = setTimeout(() => finish(), plan.durationMs + GRACE_MS);
  await finished;
  ended = true;
  clearTimeout(graceTimer);
  const lastAtUs = nowUs();
  const cpu = process.cpuUsage(cpuBefore);
  for (const line of lines) {
    if (line.busy) refuse(line.sequence);
    line.busy = false;
    line.socket?.destroy();
  }
  return {
    sent,
    accepted,
    statuses,
    broken: broken + underWay,
    refused,
    firstAtUs,
    lastAtUs,
    ack: ack.percentiles(),
    lateness: lateness.percentiles(),
    cpuUsPerEvent: sent === 0 ? 0 : (cpu.user + cpu.system) / sent,
  };
}

/** Calls `due` with each event's due time, as soon after it as the machine allows. Resolves after the last. */
async function pace(plan: LoadPlan, startAtUs: number, limit: number, due: (dueAtUs: number) => void): Promise<void> {
  const intervalUs = 1e6 / (plan.ratePerSecond ?? 1000);
  const endAtUs = startAtUs + Math.min(plan.durationMs * 1000, limit * intervalUs);
  let nextAtUs = startAtUs;
  function sendAllDue(): void {
    const atUs = nowUs();
    for (; nextAtUs <= atUs && nextAtUs < endAtUs; nextAtUs += intervalUs) due(Math.floor(nextAtUs));
  }
  await new Promise<void>((resolve, reject) => {
    const worker = new Worker(new URL('./pace.ts', import.meta.url), {
      workerData: { startAtUs, intervalUs, endAtUs },
    });
    worker.on('message', sendAllDue);
    worker.on('error', reject);
    worker.on('exit', () => {
      sendAllDue();
      resolve();
    });
  });
}

answer({ run });
