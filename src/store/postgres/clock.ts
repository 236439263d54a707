/** Samples that are kept: the quickest of them says what time it is. */
const KEPT = 8;
/** What two machines' clocks may gain on each other while both are being corrected: 500 ppm each. */
const DRIFT = 0.001;
/** Less than this is made up for by going slower; more is somebody setting the database's clock, or another server. */
const STEP_MS = 1_000;
/** How much slower: a second that we are ahead is made up for in two. */
const SLOWER = 0.5;

/** The database's clock lay within these bounds, as what is to be added to the monotonic clock, ms. */
interface Sample {
  low: number;
  high: number;
  at: number;
}

/**
 * The database's time, carried on by this process's monotonic clock between samples, so that no clock of this machine
 * matters. Never goes back, unless the database's clock itself is set back by more than a second.
 */
export class DatabaseClock {
  readonly #wall: () => number;
  readonly #monotonic: () => number;
  #samples: Sample[] = [];
  /** Database time less monotonic time; null before the first sample. */
  #offset: number | null = null;
  /** How far ahead of the database what was shown is, and since when, by the monotonic clock. */
  #ahead = 0;
  #aheadAt = 0;

  constructor(wall: () => number = Date.now, monotonic: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#monotonic = monotonic;
  }

  /** Database time, whole epoch ms; this machine's before the first sample. */
  now(): number {
    return Math.floor(this.#offset === null ? this.#wall() : this.#shown(this.#monotonic(), this.#offset));
  }

  /** The database said `databaseMs` (epoch) at some moment between these two of the monotonic clock. */
  sample(sentAt: number, receivedAt: number, databaseMs: number): void {
    const fresh = { low: databaseMs - receivedAt, high: databaseMs - sentAt, at: receivedAt };
    // What cannot be true together with the newest one comes from before the clock was set, or from another server.
    const agrees = ({ low, high, at }: Sample): boolean => {
      const drift = Math.abs(receivedAt - at) * DRIFT + 1;
      return low - drift <= fresh.high && high + drift >= fresh.low;
    };
    this.#samples = [...this.#samples.filter(agrees), fresh].slice(-KEPT);
    const best = this.#samples.reduce((a, b) => (b.high - b.low <= a.high - a.low ? b : a));
    this.#follow((best.low + best.high) / 2);
  }

  #follow(offset: number): void {
    const at = this.#monotonic();
    const ahead = this.#offset === null ? 0 : this.#shown(at, this.#offset) - (at + offset);
    this.#offset = offset;
    this.#ahead = ahead > 0 && ahead <= STEP_MS ? ahead : 0;
    this.#aheadAt = at;
  }

  #shown(at: number, offset: number): number {
    return at + offset + Math.max(0, this.#ahead - (at - this.#aheadAt) * SLOWER);
  }
}
