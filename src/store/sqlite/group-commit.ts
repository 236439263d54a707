import { toError } from './failure.ts';
import type { Failure } from './failure.ts';
import { pack, verb } from './verbs.ts';
import type { Stream, Verb } from './verbs.ts';
import { packAccept } from './accept.ts';
import { checkSettlement } from '../checks.ts';
import { packSettlement } from './settle.ts';
import type { AcceptEntry, AcceptOutcome, Settlement } from '../store.ts';

/** A batch is closed at either bound, so that no commit, and no message, grows without end. */
const MAX_ROWS = 2_000;
const MAX_CHARS = 4 * 1024 * 1024;

interface Call {
  resolve(result: never): void;
  reject(error: Error): void;
  /** Of `accept`: how many entries an all-accepted answer stands for. */
  entries: number;
}

interface Batch {
  stream: Stream;
  calls: Call[];
  rows: number;
  chars: number;
}

const ACCEPTED: AcceptOutcome = { kind: 'accepted' };

/**
 * Gathers calls into batches, one transaction each. While the writer is idle a batch leaves when the event loop has
 * turned once; while a commit is under way everything waits for it and leaves together. Nothing waits for a clock.
 */
export class GroupCommit {
  readonly #send: (stream: Stream) => void;
  #queue: Batch[] = [];
  #underWay: Batch | null = null;
  #isTurning = false;
  #whenIdle: (() => void)[] = [];

  constructor(send: (stream: Stream) => void) {
    this.#send = send;
  }

  accept(entries: readonly AcceptEntry[]): Promise<AcceptOutcome[]> {
    let rows = 0;
    let chars = 0;
    for (const { event, deliveries } of entries) {
      rows += 1 + deliveries.length;
      chars += event.data.length;
    }
    return new Promise((resolve, reject) => {
      const batch = this.#room(rows, chars);
      pack(batch.stream, verb.accept, (stream) => {
        packAccept(stream, entries);
      });
      batch.calls.push({ resolve, reject, entries: entries.length });
    });
  }

  settle(settlement: Settlement): Promise<boolean> {
    return new Promise((resolve, reject) => {
      checkSettlement(settlement);
      const batch = this.#room(1, settlement.attempt?.detail.length ?? 0);
      pack(batch.stream, verb.settle, (stream) => {
        packSettlement(stream, settlement);
      });
      batch.calls.push({ resolve, reject, entries: 0 });
    });
  }

  /** Any other verb. `rows`: how many it will write, roughly. */
  call<Result>(of: Verb, rows: number, push: (stream: Stream) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      const batch = this.#room(rows, 0);
      pack(batch.stream, of, push);
      batch.calls.push({ resolve, reject, entries: 0 });
    });
  }

  /** The writer's answer to the batch under way, a result for each call; those with an error are named. */
  done(results: readonly unknown[], errors: readonly [index: number, failure: Failure][]): void {
    const batch = this.#underWay!;
    this.#underWay = null;
    const failures = errors.length > 0 ? new Map(errors) : null;
    for (let i = 0; i < batch.calls.length; i++) {
      const call = batch.calls[i]!;
      const failure = failures?.get(i);
      if (failure) call.reject(toError(failure));
      else call.resolve(resultOf(call, results[i]) as never);
    }
    this.#next();
  }

  /** The batch under way was rolled back. */
  failed(failure: Failure): void {
    const batch = this.#underWay!;
    this.#underWay = null;
    rejectAll(batch, failure);
    this.#next();
  }

  /** The writer is gone: nothing that waits will be written. */
  abandon(failure: Failure): void {
    const batches = this.#underWay ? [this.#underWay, ...this.#queue] : this.#queue;
    this.#underWay = null;
    this.#queue = [];
    for (const batch of batches) rejectAll(batch, failure);
    this.#next();
  }

  /** Resolves when everything called so far has its answer. */
  idle(): Promise<void> {
    if (!this.#underWay && this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #room(rows: number, chars: number): Batch {
    let batch = this.#queue.at(-1);
    if (!batch || (batch.rows > 0 && (batch.rows + rows > MAX_ROWS || batch.chars + chars > MAX_CHARS))) {
      batch = { stream: [], calls: [], rows: 0, chars: 0 };
      this.#queue.push(batch);
    }
    batch.rows += rows;
    batch.chars += chars;
    if (!this.#underWay && !this.#isTurning) {
      this.#isTurning = true;
      setImmediate(() => {
        this.#isTurning = false;
        if (!this.#underWay) this.#next();
      });
    }
    return batch;
  }

  #next(): void {
    const batch = this.#queue.shift();
    if (batch) {
      this.#underWay = batch;
      this.#send(batch.stream);
      return;
    }
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const resolve of waiting) resolve();
  }
}

function resultOf({ entries }: Call, result: unknown): unknown {
  if (entries > 0 && typeof result === 'number') {
    if (entries === 1) return [ACCEPTED];
    return new Array<AcceptOutcome>(entries).fill(ACCEPTED);
  }
  return result;
}

function rejectAll(batch: Batch, failure: Failure): void {
  const error = toError(failure);
  for (const call of batch.calls) call.reject(error);
}
