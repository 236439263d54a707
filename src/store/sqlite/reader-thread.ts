import type { Worker } from 'node:worker_threads';
import type { Statement } from '../records/driver.ts';
import { PosthornError } from '../../errors.ts';
import { toError } from './failure.ts';
import type { ReaderReply, ReaderRequest } from './reader.ts';
import { startThread } from './thread.ts';

interface Waiting {
  resolve: (rows: never) => void;
  reject: (error: Error) => void;
}

/** The reader's thread, seen from outside. After a crash the next read starts another. */
export class ReaderThread {
  readonly #dataDir: string;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #lastId = 0;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** Starts the thread ahead of the first read, beside the writer's. */
  open(): void {
    this.#worker ??= this.#start();
  }

  /** Rows of one query over what is committed. */
  read<Row>({ sql, parameters }: Statement): Promise<Row[]> {
    const worker = (this.#worker ??= this.#start());
    return new Promise<Row[]>((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, sql, parameters } satisfies ReaderRequest);
    });
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    this.#worker = null;
    await new Promise<void>((resolve) => {
      worker.once('exit', () => {
        resolve();
      });
      worker.postMessage('close');
    });
  }

  #start(): Worker {
    const worker = startThread('reader', { dataDir: this.#dataDir });
    let crash: unknown = new Error('it was closed');
    worker.on('message', (reply: ReaderReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('rows' in reply) waiting?.resolve(reply.rows as never);
      else waiting?.reject(toError(reply.failure));
    });
    worker.on('error', (error) => {
      crash = error;
    });
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = null;
      const message = `The reader of the store in ${this.#dataDir} ended (${String(crash)}). Try again.`;
      const error = new PosthornError('STORE_UNAVAILABLE', message, { cause: crash, retryAfterSeconds: 1 });
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
    return worker;
  }
}
