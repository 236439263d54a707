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

export interface RetentionOptions {
  store: Store;
  plans: Pick<Plans, 'of' | 'list'>;
  tenants: Pick<Tenants, 'all'>;
  /** Of tenants whose plan says nothing; 0 = for ever. */
  retentionDays: number;
  log: Logger;
  now: () => number;
}

/** Deletes what is older than the retention, once an hour, in slices. Open deliveries keep their event, however old. */
export class Retention {
  readonly #o: RetentionOptions;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;
  #run: Promise<void> = Promise.resolve();

  constructor(options: RetentionOptions) {
    this.#o = options;
  }

  start(): void {
    this.#next(FIRST_MS);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#run;
  }

  /** One sweep now; resolves to the number of events deleted. */
  async sweep(): Promise<number> {
    const at = this.#o.now();
    let events = 0;
    while (!this.#isStopped) {
      // Anew for every slice: a sweep can take long, and whoever is promised more days meanwhile keeps them.
      const limits = this.#limits(at);
      if (!limits) break;
      const deleted = await this.#o.store.prune({ ...limits, limit: SLICE });
      if (deleted === 0) break;
      events += deleted;
      await new Promise((resolve) => setTimeout(resolve, BREATHER_MS));
    }
    return events;
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
        (events) => {
          if (events > 0) this.#o.log.info({ events }, 'retention.swept');
        },
        (error: unknown) => {
          this.#o.log.warn({ error: String(error) }, 'retention.failed');
        },
      );
      void this.#run.finally(() => {
        if (!this.#isStopped) this.#next(EVERY_MS);
      });
    }, afterMs).unref();
  }
}
