// A receiver that costs as little as Node allows: raw sockets, no HTTP library, one fixed answer. A process of its own.
// It tells what arrived, when, how long it took from the stamp in the event, and what came twice or not at all.
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { nowUs } from './clock.ts';
import { Framer } from './framing.ts';
import { Histogram } from './histogram.ts';
import type { Percentiles } from './histogram.ts';
import { MARK_KEY, readSentAtUs, readSequence } from './mark.ts';
import { answer } from './rpc.ts';

const OK = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
const BITS_PER_SEQUENCE = 16;

export interface ReceiverReport {
  received: number;
  /** Different pairs of event and endpoint among them. */
  distinct: number;
  doubled: number;
  /** Distinct ones of events that were not acknowledged, and yet delivered (the sender may have stored them). */
  unacknowledged: number;
  /** On the clock of {@link nowUs}; null before the first. */
  firstAtUs: number | null;
  lastAtUs: number | null;
  /** Arrivals in each full or begun second after the first. */
  perSecond: number[];
  /** From the stamp in the event to its arrival here. */
  latency: Percentiles;
}

let received = 0;
let distinct = 0;
let firstAtUs: number | null = null;
let lastAtUs = 0;
let perSecond: number[] = [];
let latency = new Histogram();
/** One word an event, one bit an endpoint. */
let seen = new Uint16Array(1 << 20);
let refused: number[] = [];

function reset(): void {
  received = 0;
  distinct = 0;
  firstAtUs = null;
  perSecond = [];
  latency = new Histogram();
  seen.fill(0);
  refused = [];
}

/** `POST /hook/N …`: the endpoint's number N, 0 to 9, is the byte after the second slash. */
function arrived(bytes: Buffer, start: number, bodyStart: number, end: number): void {
  const atUs = nowUs();
  received++;
  if (firstAtUs === null) firstAtUs = atUs;
  lastAtUs = atUs;
  const second = Math.floor((atUs - firstAtUs) / 1e6);
  perSecond[second] = (perSecond[second] ?? 0) + 1;

  const key = bytes.indexOf(MARK_KEY, bodyStart);
  if (key < 0 || key >= end) return;
  const mark = key + MARK_KEY.length;
  latency.record(atUs - readSentAtUs(bytes, mark));
  const sequence = readSequence(bytes, mark);
  if (sequence >= seen.length) grow(sequence);
  const bit = 1 << ((bytes[start + 11]! - 48) & (BITS_PER_SEQUENCE - 1));
  if ((seen[sequence]! & bit) === 0) distinct++;
  seen[sequence]! |= bit;
}

function grow(sequence: number): void {
  const larger = new Uint16Array(Math.max(seen.length * 2, sequence + 1));
  larger.set(seen);
  seen = larger;
}

/** Endpoints that got an event which was not acknowledged. */
function countUnacknowledged(): number {
  let pairs = 0;
  for (const sequence of refused) {
    for (let word = seen[sequence] ?? 0; word !== 0; word &= word - 1) pairs++;
  }
  return pairs;
}

function report(): ReceiverReport {
  return {
    received,
    distinct,
    doubled: received - distinct,
    unacknowledged: countUnacknowledged(),
    firstAtUs,
    lastAtUs: firstAtUs === null ? null : lastAtUs,
    perSecond: Array.from(perSecond, (count) => count ?? 0),
    latency: latency.percentiles(),
  };
}

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  const framer = new Framer((bytes, start, bodyStart, end) => {
    arrived(bytes, start, bodyStart, end);
    socket.write(OK);
  });
  socket.on('data', (chunk: Buffer) => framer.push(chunk));
  socket.on('error', () => socket.destroy());
}

const server = createServer(serve);

answer({
  listen: () =>
    new Promise<{ port: number }>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', 4096, () => resolve({ port: (server.address() as AddressInfo).port }));
    }),
  reset,
  /** Which events were not acknowledged, so that they count apart. */
  refuse: (input: { sequences: number[] }) => void (refused = input.sequences),
  /** Different deliveries of acknowledged events. Cheap enough to be asked every few milliseconds. */
  count: () => distinct - countUnacknowledged(),
  report,
});
