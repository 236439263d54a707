import type { Cluster } from '../store/store.ts';

/** Counters that one question to the store carries. */
const AT_ONCE = 500;
/** What a node has not told the others is at most this part of what is left: then it tells at once. */
const UNTOLD_PART = 8;

export interface SharedCountsOptions {
  cluster: Pick<Cluster, 'count'>;
  /** What was counted here is added to what others counted at most so often, ms. */
  everyMs: number;
  /** The nodes' total is not known, and is asked for again. */
  onFault: (error: unknown) => void;
}

/**
 * One number that all nodes count together. What is counted here shows at once, what others counted with the next answer
 * of the store: a node lets through at most what comes in between two answers beyond a limit.
 */
export class SharedCount {
  readonly name: string;
  /** Epoch ms at which the time began that is counted. */
  readonly window: number;
  /** Everybody's, when the store was asked last; null = never asked. */
  total: number | null = null;
  /** Counted here, and on its way to the store. */
  sent = 0;
  /** Counted here since. */
  unsent = 0;
  /** All that was ever counted here. */
  added = 0;
  /** By `performance.now`: when the newest answer was asked for, and when the last one came. */
  askedAt = Number.NEGATIVE_INFINITY;
  answeredAt = Number.NEGATIVE_INFINITY;

  constructor(name: string, window: number) {
    this.name = name;
    this.window = window;
  }

  get used(): number {
    return (this.total ?? 0) + this.sent + this.unsent;
  }
}

/** Brings what was counted here to the other nodes, and back what they counted. */
export class SharedCounts {
  readonly #o: SharedCountsOptions;
  #waiting = new Set<SharedCount>();
  #timer: NodeJS.Timeout | null = null;
  #isSoon = false;
  /** The one behind the present one is to be soon. */
  #isNextSoon = false;
  #flushing: Promise<void> | null = null;
  #isStopped = false;

  constructor(options: SharedCountsOptions) {
    this.#o = options;
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  /**
   * Counts here. The others hear of it with the next question, which is put at once where the limit is near for what
   * they have not heard of, and where nothing was heard of them for longer than is usual.
   * @param left how many more there may be, of all nodes
   */
  add(count: SharedCount, by: number, left: number): void {
    count.unsent += by;
    count.added += by;
    this.#waiting.add(count);
    const isClose = left >= 0 && count.unsent * UNTOLD_PART >= left;
    this.#arm(isClose || performance.now() - count.askedAt > this.#o.everyMs * 10);
  }

  /** The total as the store has it now. Rejects where the store is away. */
  async learn(count: SharedCount): Promise<void> {
    await this.#ask([count]);
  }

  #arm(isSoon: boolean): void {
    if (this.#flushing) this.#isNextSoon ||= isSoon;
    if (this.#isStopped || this.#flushing || (this.#timer && (this.#isSoon || !isSoon))) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#isSoon = isSoon;
    // Even the next turn of the event loop gathers what its requests count.
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#flushing = this.#flush().finally(() => {
          this.#flushing = null;
          const isNextSoon = this.#isNextSoon;
          this.#isNextSoon = false;
          if (this.#waiting.size > 0) this.#arm(isNextSoon);
        });
      },
      isSoon ? 0 : this.#o.everyMs,
    ).unref();
  }

  async #flush(): Promise<void> {
    const waiting = [...this.#waiting];
    this.#waiting = new Set();
    for (let i = 0; i < waiting.length; i += AT_ONCE) {
      const those = waiting.slice(i, i + AT_ONCE);
      try {
        await this.#ask(those);
      } catch (error) {
        this.#o.onFault(error);
        for (const count of those) this.#waiting.add(count);
      }
    }
  }

  async #ask(counts: readonly SharedCount[]): Promise<void> {
    const adds = counts.map((count) => {
      const add = count.unsent;
      count.sent += add;
      count.unsent = 0;
      return add;
    });
    const isBack = (i: number): void => {
      counts[i]!.sent -= adds[i]!;
    };
    const askedAt = performance.now();
    let totals: number[];
    try {
      totals = await this.#o.cluster.count(counts.map(({ name, window }, i) => ({ name, window, add: adds[i]! })));
    } catch (error) {
      // It may have been added and the answer lost: then it counts twice, and nobody gets more than their limit.
      counts.forEach((count, i) => {
        isBack(i);
        count.unsent += adds[i]!;
      });
      throw error;
    }
    counts.forEach((count, i) => {
      isBack(i);
      // Of two that were under way at once the later answer may be the older one, and then lacks what the other added.
      const isAfterTheLast = askedAt >= count.answeredAt;
      count.total = isAfterTheLast ? totals[i]! : Math.max(totals[i]!, count.total!);
      count.askedAt = Math.max(count.askedAt, askedAt);
      count.answeredAt = performance.now();
    });
  }
}
