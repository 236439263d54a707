import type { Connections } from './connections.ts';
import { ensurePartitionsAround } from './partitions.ts';

const EVERY_MS = 3_600_000;
const AFTER_FAULT_MS = 60_000;

export interface PartitionKeeperOptions {
  connections: Connections;
  /** Database time, epoch ms. */
  now: () => number;
  /** Partitions are a week ahead: a fault has a week's time, and without partitions rows go into the default ones. */
  onFault: (error: unknown, what: string) => void;
}

/** Sees every hour to it that the partitions of the coming days are there. Every node does; whoever is first makes them. */
export class PartitionKeeper {
  readonly #o: PartitionKeeperOptions;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = true;
  #run: Promise<void> = Promise.resolve();

  constructor(options: PartitionKeeperOptions) {
    this.#o = options;
  }

  /** Resolves when those of today are there, or the attempt has failed and `onFault` was told. */
  async start(): Promise<void> {
    this.#isStopped = false;
    await this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#run;
  }

  async #look(): Promise<void> {
    const { connections, now, onFault } = this.#o;
    let nextMs = EVERY_MS;
    try {
      await ensurePartitionsAround(connections, now());
    } catch (error) {
      nextMs = AFTER_FAULT_MS;
      onFault(error, 'partitions');
    }
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#run = this.#look();
    }, nextMs).unref();
  }
}
