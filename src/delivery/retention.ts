import type { Logger } from 'pino';
import type { Store } from '../store/store.ts';
import type { Plans } from './plans.ts';
import type { Tenants } from './tenants.ts';

const SLICE = 200;
const FIRST_MS = 60_000;
const EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Between two slices, so that the acks of others hardly notice. */
const BREATHER_MS = 20;
const STOP_MS = 2_000;

export interface RetentionOptions {
  store: Store;
  plans: Pick<Plans, 'of' | 'list'>;
  tenants: Pick<Tenants, 'all'>;
  /** Of tenants whose plan says nothing; 0 = for ever. */
  retentionDays: number;
  /** After which the data of events is forgotten while their history stays; 0 = as long as the events. */
  payloadRetentionDays: number;
  log: Logger;
  now: () => number;
}

/** Deletes what is older than the retention, once an hour, in slices. Open deliveries keep their event, however old. */
export class Retention {
  readonly #o: RetentionOptions;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;
  #run: Promise<unknown> = Promise.resolve();

  constructor(options: RetentionOptions) {
    this.#o = options;
  }

  start(): void {
    this.#next(FIRST_MS);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    // A pass over very much goes on until the store is closed under it, and with the next sweep.
    await Promise.race([this.#run, new Promise((resolve) => setTimeout(resolve, STOP_MS).unref())]);
  }

  /** One sweep now; resolves to the number of events deleted, and of those that lost their payload only. */
  async sweep(): Promise<{ events: number; payloads: number }> {
    const { now, payloadRetentionDays, store } = this.#o;
    const at = now();
    const events = await this.#inSlices(async () => {
      // Anew for every slice: a sweep can take long, and whoever is promised more days meanwhile keeps them.
      const limits = this.#limits(at);
      return limits ? store.prune({ ...limits, limit: SLICE }) : 0;
    });
    if (payloadRetentionDays === 0) return { events, payloads: 0 };
    const before = at - payloadRetentionDays * DAY_MS;
    return { events, payloads: await this.#inSlices(() => store.prunePayloads({ before, limit: SLICE })) };
  }

  async #inSlices(slice: () => Promise<number>): Promise<number> {
    let sum = 0;
    while (!this.#isStopped) {
      const deleted = await slice();
      if (deleted === 0) break;
      sum += deleted;
      await new Promise((resolve) => setTimeout(resolve, BREATHER_MS));
    }
    return sum;
  }

  /** Before when events go, of tenants in general and of those whose plan says otherwise; null where all of them stay. */
  #limits(at: number): { before: number; beforeOf: Map<string, number | null> } | null {
    const { plans, tenants, retentionDays } = this.#o;
    const limitOf = (days: number): number | null => (days > 0 ? at - days * DAY_MS : null);
    const before = limitOf(retentionDays) ?? 0; // nothing is that old
    const beforeOf = new Map<string, number | null>();
    if (plans.list().some((plan) => plan.retentionDays !== null)) {
      for (const { id } of tenants.all()) {
        const days = plans.of(id)?.retentionDays ?? retentionDays;
        if (days !== retentionDays) beforeOf.set(id, limitOf(days));
      }
    }
    const isEndless = before === 0 && [...beforeOf.values()].every((limit) => limit === null);
    return isEndless ? null : { before, beforeOf };
  }

  #next(afterMs: number): void {
    this.#timer = setTimeout(() => {
      this.#run = this.sweep().then(
        (swept) => {
          if (swept.events + swept.payloads > 0) this.#o.log.info(swept, 'retention.swept');
        },
        (error: unknown) => {
          if (!this.#isStopped) this.#o.log.warn({ error: String(error) }, 'retention.failed');
        },
      );
      void this.#run.finally(() => {
        if (!this.#isStopped) this.#next(EVERY_MS);
      });
    }, afterMs).unref();
  }
}
