import type { Logger } from 'pino';
import type { Event } from '../model/event.ts';
import type { Store } from '../store/store.ts';
import type { Plans } from './plans.ts';
import { SharedCount, SharedCounts } from './shared-counts.ts';

const DAY_MS = 86_400_000;
/** The day is looked at this often: clocks are set, and machines sleep through timers. */
const LOOK_MS = 60_000;
/** Among several nodes: what came in is told to the others this often. */
const TELL_MS = 100;
/** Among several nodes: what is left of a limit when the store is asked about every event. */
const FEW = 1_000;
const FEW_PART = 10;
/** By then every node has told what it had taken in. */
const TOLD_MS = 500;

export interface QuotasOptions {
  store: Pick<Store, 'events' | 'cluster'>;
  plans: Pick<Plans, 'of'>;
  log: Logger;
  now: () => number;
  /** What was held for the quota of these tenants may go on its way. */
  onOpen: (tenantId: string) => void;
}

/** The events of one tenant in one UTC day. */
class Counter {
  limit: number;
  /** Days since 1970. */
  day: number;
  /** Counted here, or, where the nodes count together, what may have to be added to their count. */
  own = 0;
  /** What all nodes count together; null where there is one. */
  shared: SharedCount | null = null;
  /** Something was held, or left held, because of it. */
  isHolding = false;

  constructor(limit: number, day: number) {
    this.limit = limit;
    this.day = day;
  }

  get used(): number {
    return this.own + (this.shared?.used ?? 0);
  }
}

/**
 * Events a day, for the tenants whose plan limits them; for the others one look into an empty map. Beyond the limit
 * nothing is refused: deliveries are born held, and go on their way at the next UTC midnight, without counting again.
 *
 * Several nodes count together. While much is left each goes by what it knows, and tells the others every 100 ms; of the last
 * thousand, or the last tenth, the store gives out every single one. What a node has not told stays below an eighth of what
 * is left: no more than that goes beyond the limit where others take all the rest in the same moment.
 */
export class Quotas {
  readonly #o: QuotasOptions;
  readonly #counters = new Map<string, Counter>();
  readonly #shared: SharedCounts | null;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: QuotasOptions) {
    this.#o = options;
    const { cluster } = options.store;
    this.#shared =
      cluster &&
      new SharedCounts({
        cluster,
        everyMs: TELL_MS,
        onFault: (error) => {
          options.log.warn({ error: String(error) }, 'quota.not_counted');
        },
      });
  }

  /** Resolves when the other nodes know of all that was counted here. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#shared?.finish();
  }

  /** Whether the tenant's plan limits its events. */
  isLimited(tenantId: string): boolean {
    return this.#counters.has(tenantId);
  }

  /** Counts an event that is coming in at `at` (epoch ms). True where its deliveries are to be held. */
  take(tenantId: string, at: number): boolean {
    const counter = this.#counters.get(tenantId);
    if (counter === undefined) return false;
    this.#roll(tenantId, counter, at);
    this.#add(counter, 1);
    if (counter.used <= counter.limit) return false;
    counter.isHolding = true;
    return true;
  }

  /**
   * Has the store count `count` events that are coming in at `at`, where few are left for all nodes, or what this one knows
   * of the others does not do for so many; resolves to how many of them may go. Null where that is not needed: {@link take}
   * knows. Rejects where the store is away.
   */
  takeOfFew(tenantId: string, count: number, at: number): Promise<number> | null {
    const counter = this.#counters.get(tenantId);
    if (!counter?.shared) return null;
    this.#roll(tenantId, counter, at);
    const { shared, limit, used } = counter;
    const left = limit - used;
    if (left <= 0) return null;
    if (left - count >= Math.max(FEW, limit / FEW_PART) && this.#shared!.isSure(shared, count, left)) return null;
    return this.#shared!.claim(shared, count).then((before) => {
      const room = Math.min(count, Math.max(0, counter.limit - counter.own - before));
      if (room < count) counter.isHolding = true;
      return room;
    });
  }

  #add(counter: Counter, by: 1 | -1): void {
    if (counter.shared) this.#shared!.add(counter.shared, by, counter.limit - counter.used - by);
    else counter.own += by;
  }

  /** Looks how many all nodes have taken in; at once where there is one. Rejects where the store is away. */
  async learn(tenantId: string): Promise<void> {
    const counter = this.#counters.get(tenantId);
    if (!counter?.shared) return;
    this.#roll(tenantId, counter, this.#o.now());
    await this.#shared!.learn(counter.shared);
  }

  /** The event counted at `at` was not stored, or was stored before. */
  giveBack(tenantId: string, at: number): void {
    const counter = this.#counters.get(tenantId);
    if (counter?.day !== dayOf(at)) return;
    const wasFull = counter.shared !== null && counter.used >= counter.limit;
    this.#add(counter, -1);
    // One that came meanwhile, here or to another node, was held for a place that is free now.
    if ((counter.isHolding || wasFull) && counter.used <= counter.limit) this.#open(tenantId, counter);
  }

  /**
   * True while more came today than the plan sends: nothing that came today goes from held to pending by itself. Whoever
   * is told so leaves it to the next day, or to a larger plan.
   */
  isOver(tenantId: string): boolean {
    const counter = this.#counters.get(tenantId);
    if (counter === undefined) return false;
    this.#roll(tenantId, counter, this.#o.now());
    if (counter.used <= counter.limit) return false;
    counter.isHolding = true;
    return true;
  }

  /** Whether an event that came in beyond the limit still waits for its day to end. */
  stillHolds({ tenantId, createdAt }: Event): boolean {
    return dayOf(createdAt) >= dayOf(this.#o.now()) && this.isOver(tenantId);
  }

  /** Epoch ms at which the present day began. */
  get dayBegan(): number {
    return dayOf(this.#o.now()) * DAY_MS;
  }

  /** Events of the present day. Of tenants without a limit a count, no further than `countLimit`. */
  async today(
    tenantId: string,
    countLimit: number,
  ): Promise<{ used: number; limit: number | null; held: boolean; resetsAt: number }> {
    const resetsAt = this.dayBegan + DAY_MS;
    const counter = this.#counters.get(tenantId);
    if (counter === undefined) {
      const used = await this.#o.store.events.count(tenantId, this.dayBegan, countLimit);
      return { used, limit: null, held: false, resetsAt };
    }
    await this.learn(tenantId);
    this.#roll(tenantId, counter, this.#o.now());
    const { used, limit } = counter;
    return { used, limit, held: used >= limit, resetsAt };
  }

  /** Puts the limits of these tenants' present plans in force, over what came in today already. */
  async refresh(tenantIds: readonly string[]): Promise<void> {
    await Promise.all(
      tenantIds.map(async (tenantId) => {
        const limit = this.#o.plans.of(tenantId)?.eventsPerDay ?? null;
        let counter = this.#counters.get(tenantId);
        if (limit === null) {
          this.#counters.delete(tenantId);
          if (counter?.isHolding) this.#o.onOpen(tenantId);
          return;
        }
        if (!counter) {
          counter = new Counter(limit, dayOf(this.#o.now()));
          this.#counters.set(tenantId, counter);
          this.#begin(tenantId, counter);
        }
        counter.limit = limit;
        await this.#seed(tenantId, counter);
        if (counter.isHolding && !this.isOver(tenantId)) this.#open(tenantId, counter);
      }),
    );
    this.#arm();
  }

  /** Another day has come. The count begins anew, over what the store has of that day: none, unless a clock was set. */
  #roll(tenantId: string, counter: Counter, at: number): void {
    const day = dayOf(at);
    if (day === counter.day) return;
    if (day > counter.day) counter.own = 0;
    counter.day = day;
    this.#begin(tenantId, counter);
    const { shared } = counter;
    // Where the nodes count together nothing of that day came uncounted.
    (shared ? this.#shared!.learn(shared) : this.#seed(tenantId, counter)).catch((error: unknown) => {
      this.#o.log.warn({ tenant: tenantId, error: String(error) }, 'quota.not_counted');
    });
    if (counter.isHolding && counter.used <= counter.limit) this.#open(tenantId, counter);
  }

  /** What was held goes where other nodes gave so many places back. */
  #lookAgain(tenantId: string, counter: Counter, shared: SharedCount): void {
    this.#shared!.learn(shared).then(
      () => {
        if (counter.isHolding && counter.used <= counter.limit) this.#open(tenantId, counter);
      },
      () => undefined, // told already, and looked at again in a minute
    );
  }

  /** Of this day everybody counts from here on. */
  #begin(tenantId: string, counter: Counter): void {
    if (this.#shared) counter.shared = new SharedCount(`events:${tenantId}`, counter.day * DAY_MS);
  }

  #open(tenantId: string, counter: Counter): void {
    counter.isHolding = false;
    this.#o.onOpen(tenantId);
  }

  /** Counts what the store has of the day, one further than the limit: that it is over is all that matters there. */
  async #seed(tenantId: string, counter: Counter): Promise<void> {
    const { day, shared } = counter;
    const uncounted = await this.#uncounted(tenantId, counter);
    if (counter.day !== day || counter.shared !== shared) return;
    counter.own = shared ? uncounted : Math.max(counter.own, uncounted);
    if (shared && uncounted > 0) this.#seedLater(tenantId, counter, shared);
  }

  /** How many events of the day the store has beyond the nodes' count. */
  async #uncounted(tenantId: string, { day, limit, shared }: Counter): Promise<number> {
    const stored = await this.#o.store.events.count(tenantId, day * DAY_MS, limit + 1);
    if (!shared) return stored;
    await this.#shared!.learn(shared);
    return Math.max(0, stored - shared.used);
  }

  /**
   * Some of what the store had, other nodes had not told yet: it must not count twice. The rest came before there was a
   * limit, or was told to nobody before a crash: from here on all nodes count it.
   */
  #seedLater(tenantId: string, counter: Counter, shared: SharedCount): void {
    const settle = async (): Promise<void> => {
      const { own } = counter;
      const uncounted = Math.min(own, await this.#uncounted(tenantId, counter));
      const { name, window, total } = shared;
      if (uncounted > 0) {
        await this.#o.store.cluster!.raise({ name, window, to: total! + uncounted });
        await this.#shared!.learn(shared);
      }
      if (counter.shared !== shared || counter.own !== own) return; // another look is under way
      counter.own = 0;
      if (counter.isHolding && counter.used <= counter.limit) this.#open(tenantId, counter);
    };
    setTimeout(() => {
      if (this.#isStopped || counter.shared !== shared) return;
      settle().catch((error: unknown) => {
        this.#o.log.warn({ tenant: tenantId, error: String(error) }, 'quota.not_counted');
        this.#seedLater(tenantId, counter, shared);
      });
    }, TOLD_MS).unref();
  }

  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isStopped || this.#counters.size === 0) return;
    const now = this.#o.now();
    const untilMidnight = (dayOf(now) + 1) * DAY_MS - now;
    this.#timer = setTimeout(
      () => {
        const at = this.#o.now();
        for (const [tenantId, counter] of this.#counters) {
          this.#roll(tenantId, counter, at);
          if (counter.shared && counter.isHolding) this.#lookAgain(tenantId, counter, counter.shared);
        }
        this.#arm();
      },
      Math.min(LOOK_MS, untilMidnight),
    ).unref();
  }
}

function dayOf(at: number): number {
  return Math.floor(at / DAY_MS);
}
