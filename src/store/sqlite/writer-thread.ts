import type { Worker } from 'node:worker_threads';
import { PosthornError } from '../../errors.ts';
import { toError } from './failure.ts';
import type { Failure } from './failure.ts';
import { GroupCommit } from './group-commit.ts';
import { startThread } from './thread.ts';
import type { WriterReply, WriterRequest, WriterStart } from './verbs.ts';

const RESTART_AFTER_MS = 1_000;

export interface WriterThreadOptions {
  dataDir: string;
  maxBytes: number | null;
  now: () => number;
  /** A new writer took over from one that died: leases of this process are void and their deliveries due. */
  onRestart: () => void;
}

/** The writer's thread, seen from outside: started, started anew once a second after it died, and stopped. */
export class WriterThread {
  readonly commits: GroupCommit;
  readonly #o: WriterThreadOptions;
  #worker: Worker | null = null;
  #isOpen = false;
  #isClosing = false;
  #restart: NodeJS.Timeout | null = null;
  /** Waits for a start to succeed (null), or for the thread that could not to be gone. */
  #opening: ((failure: Failure | null) => void) | null = null;

  constructor(options: WriterThreadOptions) {
    this.#o = options;
    this.commits = new GroupCommit((stream) =>
      this.#worker?.postMessage({ kind: 'batch', stream } satisfies WriterRequest),
    );
  }

  /** False where calls would only be rejected: not opened, closed, or between two lives. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  unavailable(): PosthornError {
    return new PosthornError(
      'STORE_UNAVAILABLE',
      `The store in ${this.#o.dataDir} is not open. Try again in a second.`,
      {
        retryAfterSeconds: 1,
      },
    );
  }

  async open(migrate: boolean, now: number): Promise<void> {
    if (this.#worker) throw new Error(`The store in ${this.#o.dataDir} is open already.`);
    const failure = await this.#start(migrate, now);
    if (failure) throw toError(failure);
  }

  async close(): Promise<void> {
    if (this.#restart) clearTimeout(this.#restart);
    this.#restart = null;
    const worker = this.#worker;
    if (!worker || this.#isClosing) return;
    this.#isClosing = true;
    await this.commits.idle();
    this.#isOpen = false;
    if (this.#worker !== worker) return; // it died meanwhile
    await new Promise<void>((resolve) => {
      worker.once('exit', () => {
        resolve();
      });
      worker.postMessage({ kind: 'close', now: this.#o.now() } satisfies WriterRequest);
    });
  }

  #start(migrate: boolean, now: number): Promise<Failure | null> {
    const { dataDir, maxBytes } = this.#o;
    const worker = startThread('writer', { dataDir, migrate, now, maxBytes } satisfies WriterStart);
    this.#worker = worker;
    this.#isClosing = false;
    let crash: unknown = 'unexpectedly';
    let refusal: Failure | null = null;
    worker.on('message', (reply: WriterReply) => {
      if (reply.kind === 'failed' && this.#opening) refusal = reply.failure;
      else this.#receive(reply);
    });
    worker.on('error', (error) => {
      crash = error;
    });
    worker.once('exit', () => {
      this.#exited(crash, refusal);
    });
    return new Promise((resolve) => (this.#opening = resolve));
  }

  #receive(reply: WriterReply): void {
    switch (reply.kind) {
      case 'open':
        this.#isOpen = true;
        this.#opening?.(null);
        this.#opening = null;
        break;
      case 'done':
        this.commits.done(reply.results, reply.errors);
        break;
      case 'failed':
        if (!this.#isOpen) break;
        if (reply.failure.scope === 'writer') this.#isOpen = false;
        this.commits.failed(reply.failure);
        break;
      case 'closed':
        break;
    }
  }

  #exited(crash: unknown, refusal: Failure | null): void {
    this.#worker = null;
    this.#isOpen = false;
    const message = `The writer of the store in ${this.#o.dataDir} ended (${String(crash)}). It is started anew within a second; try again.`;
    const failure: Failure = { code: 'STORE_UNAVAILABLE', message, scope: 'writer' };
    this.commits.abandon(failure);
    const opening = this.#opening;
    this.#opening = null;
    if (opening) opening(refusal ?? failure);
    else if (!this.#isClosing) this.#startAgain();
  }

  #startAgain(): void {
    this.#restart = setTimeout(() => {
      this.#restart = null;
      void this.#start(false, this.#o.now()).then((failure) => {
        if (!failure) this.#o.onRestart();
        else if (!this.#isClosing) this.#startAgain();
      });
    }, RESTART_AFTER_MS);
  }
}
