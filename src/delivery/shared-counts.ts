import { PosthornError } from '../errors.ts';
import type { Cluster } from '../store/store.ts';

/** Counters that one question to the store carries. */
const AT_ONCE = 500;
/** What a node has not told the others is at most this part of what is left: then it tells at once. */
const UNTOLD_PART = 8;
/** What was heard so many usual times ago is old. */
const OLD = 10;
/** How long the last question may take that a node puts before it ends. */
const LAST_MS = 2_000;

export interface SharedCountsOptions {
  cluster: Pick<Cluster, 'count'>;
  /** What was counted here is added to what others counted at most so often, ms. */
  everyMs: number;
  /** The nodes' total is not known, and is asked for again. */
  onFault: (error: unknown) => void;
}

/** Waits for its places in the count. */
interface Claim {
  readonly by: number;
  readonly resolve: (before: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One number that all nodes count together. What is counted here shows at once, what others counted with the next answer
 * of the store: a node that goes by what it sees lets through at most what comes in between two answers beyond a limit.
 * Whoever asks for places has the store's word.
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
  /** Those that wait for the next question. */
  claims: Claim[] = [];
  /** By `performance.now`: when the store was asked last. */
  askedAt = Number.NEGATIVE_INFINITY;
  /** The same of the last time that it answered. */
  knownAt = Number.NEGATIVE_INFINITY;

  constructor(name: string, window: number) {
    this.name = name;
    this.window = window;
  }

  get used(): number {
    return (this.total ?? 0) + this.sent + this.unsent;
  }
}

/**
 * Brings what was counted here to the other nodes, and back what they counted: one question at a time, so that what an
 * answer says and what is still on its way are never the same.
 */
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

  /** Asks nothing more; whoever waits is refused. */
  stop(): void {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    for (const { claims } of this.#waiting) for (const { reject } of claims.splice(0)) reject(stopped());
  }

  /** The same behind a last question, so that the others know of all that was counted here. */
  async finish(): Promise<void> {
    this.#isStopped = true; // from here on nobody else asks
    if (this.#timer) clearTimeout(this.#timer);
    const last = (async () => {
      await this.#flushing;
      await this.#flush();
    })();
    await Promise.race([last, new Promise((resolve) => setTimeout(resolve, LAST_MS).unref())]);
    this.stop();
  }

  /**
   * Whether `by` more can be counted by what is known here: that is not old, and what the others do not know of stays
   * small beside what is left.
   */
  isSure(count: SharedCount, by: number, left: number): boolean {
    const untold = count.sent + count.unsent + by;
    return performance.now() - count.knownAt <= this.#o.everyMs * OLD && untold * UNTOLD_PART <= left;
  }

  /**
   * Counts here. The others hear of it with the next question, which is put at once where the limit is near for what
   * they have not heard of, and where nothing was heard of them for longer than is usual.
   * @param left how many more there may be, of all nodes
   */
  add(count: SharedCount, by: number, left: number): void {
    count.unsent += by;
    this.#waiting.add(count);
    const isClose = left >= 0 && count.unsent * UNTOLD_PART >= left;
    this.#arm(isClose || performance.now() - count.askedAt > this.#o.everyMs * OLD);
  }

  /** Has the store count; resolves to how many there were before these. Rejects where the store is away. */
  claim(count: SharedCount, by: number): Promise<number> {
    if (this.#isStopped) return Promise.reject(stopped());
    return new Promise((resolve, reject) => {
      count.claims.push({ by, resolve, reject });
      this.#waiting.add(count);
      this.#arm(true);
    });
  }

  /** The total as the store has it now. Rejects where the store is away. */
  async learn(count: SharedCount): Promise<void> {
    await this.claim(count, 0);
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
        for (const count of those) if (count.unsent !== 0) this.#waiting.add(count);
      }
    }
  }

  async #ask(counts: readonly SharedCount[]): Promise<void> {
    const askedAt = performance.now();
    const asked = counts.map((count) => {
      const { unsent, claims } = count;
      count.sent = unsent;
      count.unsent = 0;
      count.claims = [];
      count.askedAt = askedAt;
      return { count, claims, add: claims.reduce((sum, { by }) => sum + by, unsent) };
    });
    let totals: number[];
    try {
      totals = await this.#o.cluster.count(asked.map(({ count: { name, window }, add }) => ({ name, window, add })));
    } catch (error) {
      // It may have been added and the answer lost: then it counts twice, and nobody gets more than their limit.
      for (const { count, claims } of asked) {
        count.unsent += count.sent;
        count.sent = 0;
        for (const { reject } of claims) reject(error);
      }
      throw error;
    }
    asked.forEach(({ count, claims, add }, i) => {
      let before = totals[i]! - add + count.sent;
      count.total = totals[i]!;
      count.knownAt = askedAt;
      count.sent = 0;
      for (const { by, resolve } of claims) {
        resolve(before);
        before += by;
      }
    });
  }
}

function stopped(): PosthornError {
  return new PosthornError('STORE_UNAVAILABLE', 'This node is ending. Try again.', { retryAfterSeconds: 1 });
}
