import type Database from 'better-sqlite3';
import type { Failure } from './failure.ts';
import type { DueRing } from '../due.ts';

/**
 * How calls travel to the writer's thread: one flat array of primitives a batch, `[verb, end, …arguments]` for each call,
 * where `end` is the position behind its last argument. Cloning flat primitives costs 1.8 µs a delivery on both threads
 * together; small objects cost 3.4 µs, JSON text 2.9 µs.
 */
export type Stream = unknown[];

export const verb = {
  accept: 0,
  settle: 1,
  claim: 2,
  move: 3,
  redeliver: 4,
  acknowledge: 5,
  extendFanOut: 6,
  addDeliveries: 7,
  prune: 8,
  change: 9,
  check: 10,
  changeUnless: 11,
  prunePayloads: 12,
} as const;
export type Verb = (typeof verb)[keyof typeof verb];

/** Carries out one call: reads its arguments from `at`, returns what the caller gets. */
export type Run = (stream: Stream, at: number) => unknown;

/** What the verbs share in the writer's thread. */
export interface WriterContext {
  db: Database.Database;
  /** The lease token of this process. */
  session: number;
  due: DueRing;
}

export interface WriterStart {
  dataDir: string;
  migrate: boolean;
  /** Epoch ms. */
  now: number;
  maxBytes: number | null;
}

export type WriterRequest = { kind: 'batch'; stream: Stream } | { kind: 'close'; now: number };

export type WriterReply =
  | { kind: 'open' }
  | { kind: 'done'; results: unknown[]; errors: [index: number, failure: Failure][] }
  | { kind: 'failed'; failure: Failure }
  | { kind: 'closed' };

/** Writes one call into the stream. */
export function pack(stream: Stream, of: Verb, push: (stream: Stream) => void): void {
  const start = stream.length;
  stream.push(of, 0);
  push(stream);
  stream[start + 1] = stream.length;
}
