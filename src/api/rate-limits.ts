import { PosthornError } from '../errors.ts';

/** Where one caller stands after a request. */
export interface RateLimit {
  /** Requests a minute. */
  readonly limit: number;
  /** Those left of the present minute. */
  readonly remaining: number;
  /** Whole seconds until the next minute begins, at least 1. */
  readonly resetSeconds: number;
  /** The same as a unix time, seconds. */
  readonly resetAtUnix: number;
}

const WINDOW_MS = 60_000;
/** Callers counted one by one in a minute; those beyond share one count, so that made-up names fill no memory. */
const MAX_CALLERS = 50_000;
const THE_REST = '\n';

/** Counts requests by caller in fixed windows of a minute. Kept in memory, and so by each process for itself. */
export class RateLimits {
  /** Requests a minute and caller; 0 = as many as they like. */
  readonly perMinute: number;
  readonly #now: () => number;
  #window = 0;
  readonly #counts = new Map<string, number>();

  constructor(options: { perMinute: number; now?: () => number }) {
    this.perMinute = options.perMinute;
    this.#now = options.now ?? Date.now;
  }

  /** Counts one request of `who`. Null without a limit. Throws TOO_MANY_REQUESTS where the minute’s are used up. */
  take(who: string, now = this.#now()): RateLimit | null {
    const limit = this.perMinute;
    if (limit === 0) return null;
    const window = Math.floor(now / WINDOW_MS);
    if (window !== this.#window) {
      this.#window = window;
      this.#counts.clear();
    }
    const resetAtMs = (window + 1) * WINDOW_MS;
    const resetSeconds = Math.max(1, Math.ceil((resetAtMs - now) / 1000));
    const counted = this.#counts.size < MAX_CALLERS || this.#counts.has(who) ? who : THE_REST;
    const count = (this.#counts.get(counted) ?? 0) + 1;
    if (count > limit) {
      throw new PosthornError(
        'TOO_MANY_REQUESTS',
        `${limit} requests a minute are allowed, and this minute’s are used up; wait ${resetSeconds} s.`,
        { retryAfterSeconds: resetSeconds },
      );
    }
    this.#counts.set(counted, count);
    return { limit, remaining: limit - count, resetSeconds, resetAtUnix: resetAtMs / 1000 };
  }
}
