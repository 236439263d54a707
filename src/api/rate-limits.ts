import { SharedCount, SharedCounts } from '../delivery/shared-counts.ts';
import { PosthornError } from '../errors.ts';
import type { Cluster } from '../store/store.ts';

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

export interface RateLimitsOptions {
  /** Requests a minute and caller; 0 = as many as they like. */
  perMinute: number;
  /** What is counted, as the other nodes call it; default `requests`. */
  name?: string;
  /** The other nodes, which count along; null, the default, without any. */
  cluster?: Pick<Cluster, 'count'> | null;
  /** Told of counts that could not be exchanged. */
  onFault?: (error: unknown) => void;
  now?: () => number;
}

const WINDOW_MS = 60_000;
/** Callers counted one by one in a minute; those beyond share one count, so that made-up names fill no memory. */
const MAX_CALLERS = 50_000;
const THE_REST = '\n';
/** Among several nodes: what was counted is told to the others this often. */
const TELL_MS = 200;

/**
 * Counts requests by caller in fixed windows of a minute. Several nodes count together. Beyond the limit goes at most
 * what the others had not been told of: what comes to a node within 200 ms, and no more than an eighth of what was left,
 * beside what comes during a round trip to the store.
 */
export class RateLimits {
  readonly perMinute: number;
  readonly #name: string;
  readonly #now: () => number;
  readonly #shared: SharedCounts | null;
  #window = 0;
  readonly #counts = new Map<string, SharedCount>();

  constructor({ perMinute, name = 'requests', cluster = null, onFault = () => undefined, now }: RateLimitsOptions) {
    this.perMinute = perMinute;
    this.#name = name;
    this.#now = now ?? Date.now;
    this.#shared = cluster && new SharedCounts({ cluster, everyMs: TELL_MS, onFault });
  }

  /** Tells and asks the other nodes nothing more. */
  stop(): void {
    this.#shared?.stop();
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
    let count = this.#counts.get(counted);
    if (!count) {
      count = new SharedCount(`${this.#name}:${counted}`, window * WINDOW_MS);
      this.#counts.set(counted, count);
    }
    const left = limit - count.used - 1;
    if (left < 0) {
      throw new PosthornError(
        'TOO_MANY_REQUESTS',
        `${limit} requests a minute are allowed, and this minute’s are used up; wait ${resetSeconds} s.`,
        { retryAfterSeconds: resetSeconds },
      );
    }
    if (this.#shared) this.#shared.add(count, 1, left);
    else count.unsent++;
    return { limit, remaining: left, resetSeconds, resetAtUnix: resetAtMs / 1000 };
  }
}
