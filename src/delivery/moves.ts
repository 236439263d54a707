import type { Logger } from 'pino';
import type { DeliveryReason } from '../model/delivery.ts';
import { prefixes, type Id } from '../model/id.ts';
import type { MoveRequest, Store } from '../store/store.ts';
import type { Quotas } from './quotas.ts';
import { isStoreFault } from './store-fault.ts';
import type { Subscriptions } from './subscriptions.ts';

/** Deliveries moved by one transaction. */
const SLICE = 1_000;
/** Endpoints whose moves share commits, where many have some. */
const AT_ONCE = 50;
const AGAIN_AFTER_FAULT_MS = 1_000;

export interface MovesOptions {
  store: Store;
  subscriptions: Subscriptions;
  quotas: Quotas;
  /** Puts an endpoint in force as the store has it. */
  refresh: (tenantId: string, endpointId: Id) => Promise<void>;
  log: Logger;
  now: () => number;
  /** Held deliveries of an endpoint became pending: look for them. */
  onResumed: () => void;
}

interface Whose {
  readonly tenantId: string;
  readonly endpointId: Id;
}

interface Move extends Whose {
  readonly from: MoveRequest['from'];
  readonly to: MoveRequest['to'];
  readonly reason: DeliveryReason | null;
}

const HOLD = { from: 'pending', to: 'held', reason: 'endpoint_disabled' } as const;
const RESUME = { from: 'held', to: 'pending', reason: null } as const;
const CANCEL = { to: 'cancelled', reason: 'endpoint_deleted' } as const;

/**
 * Moves the deliveries that follow a change: held with their endpoint, on their way again with it or with their
 * tenant's quota, cancelled with it. One move after the other, in slices, each only as long as what asked for it is so.
 */
export class Moves {
  readonly #o: MovesOptions;
  #chain: Promise<void> = Promise.resolve();
  /** Tenants whose quota holds nothing any more, until that is followed. */
  readonly #opened = new Set<string>();
  #isStopped = false;

  constructor(options: MovesOptions) {
    this.#o = options;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#chain;
  }

  /** The endpoint is disabled. */
  hold(whose: Whose): void {
    this.#follow({ ...whose, ...HOLD });
  }

  /** The endpoint is active. What its tenant's quota holds stays. */
  resume(whose: Whose): void {
    this.#follow({ ...whose, ...RESUME });
  }

  /** The endpoint is deleted. */
  cancel(whose: Whose): void {
    for (const from of ['pending', 'held'] as const) this.#follow({ ...whose, from, ...CANCEL });
  }

  /** The quota of a tenant holds nothing any more. */
  resumeTenant(tenantId: string): void {
    this.#opened.add(tenantId);
    if (this.#opened.size > 1) return; // followed with the ones before it
    const tenants = new Set<string>();
    this.#enqueue({ to: 'pending' }, async () => {
      const { store } = this.#o;
      for (const opened of this.#opened) tenants.add(opened);
      this.#opened.clear();
      await store.check(); // a commit behind those of all events that were held until now: the next line sees them
      const held = await store.endpointsHaving('held');
      await this.#moveAll(held.flatMap((whose) => (tenants.has(whose.tenantId) ? { ...whose, ...RESUME } : [])));
    });
  }

  /** Finishes what a crash cut off between a change and the deliveries that follow it. */
  async reconcile(): Promise<void> {
    const { store, subscriptions } = this.#o;
    const moves: Move[] = [];
    for (const from of ['held', 'pending'] as const) {
      for (const whose of await store.endpointsHaving(from)) {
        const live = subscriptions.get(whose.tenantId, whose.endpointId);
        if (!live) moves.push({ ...whose, from, ...CANCEL });
        else if (live.endpoint.isActive === (from === 'held'))
          moves.push({ ...whose, ...(from === 'held' ? RESUME : HOLD) });
      }
    }
    if (moves.length > 0) this.#enqueue({}, () => this.#moveAll(moves));
  }

  #follow(move: Move): void {
    this.#enqueue({ endpoint: prefixes.endpoint + move.endpointId, to: move.to }, () => this.#move(move));
  }

  async #moveAll(moves: readonly Move[]): Promise<void> {
    for (let i = 0; i < moves.length; i += AT_ONCE) {
      await Promise.all(moves.slice(i, i + AT_ONCE).map((move) => this.#move(move)));
    }
  }

  async #move(move: Move): Promise<void> {
    const { store, refresh, quotas } = this.#o;
    const { tenantId, endpointId, to } = move;
    if (to === 'pending' && quotas.isLimited(tenantId)) {
      let day: number;
      do {
        day = quotas.dayBegan;
        await this.#slices(move, { before: day });
        await this.#sliceOfToday(move);
      } while (day !== quotas.dayBegan && !this.#isStopped); // what was held today is of yesterday now
    } else await this.#slices(move, {});
    // Another node may have enabled it behind the look before the last slice: what is found out so is followed.
    if (to === 'held' && store.cluster) await refresh(tenantId, endpointId);
  }

  async #sliceOfToday(move: Move): Promise<void> {
    while (!this.#isStopped && (await this.#isWanted(move))) {
      const limit = await this.#free(move.tenantId, move.endpointId);
      if (limit === 0) return;
      await this.#slice(move, { limit });
    }
  }

  async #slices(move: Move, which: { before?: number }): Promise<void> {
    while (!this.#isStopped && (await this.#isWanted(move))) {
      if ((await this.#slice(move, { ...which, limit: SLICE })) < SLICE) return;
    }
  }

  async #slice(move: Move, which: { before?: number; limit: number }): Promise<number> {
    const { store, now, onResumed } = this.#o;
    const moved = await store.moveDeliveries({ ...move, ...which, now: now() });
    if (move.to === 'pending' && moved > 0) onResumed();
    return moved;
  }

  /** Among several nodes the store is asked: an endpoint that is unknown here may have been made, or enabled, elsewhere. */
  async #isWanted({ tenantId, endpointId, to }: Move): Promise<boolean> {
    const { store, subscriptions, refresh } = this.#o;
    if (store.cluster) await refresh(tenantId, endpointId);
    const live = subscriptions.get(tenantId, endpointId);
    if (to === 'cancelled') return !live;
    return live?.endpoint.isActive === (to === 'pending');
  }

  /**
   * How many of those that were held today the quota lets go: none while it is used up, else those that were there before
   * the look at it. What is held behind that look may be beyond it.
   */
  async #free(tenantId: string, endpointId: Id): Promise<number> {
    const { store, quotas } = this.#o;
    const held = await store.deliveries.count({ tenantId, endpointId, status: ['held'] }, SLICE);
    await quotas.learn(tenantId);
    return held > 0 && quotas.isOver(tenantId) ? 0 : held;
  }

  /** Work that may be repeated as a whole. What the store cannot do now is tried until it can. */
  #enqueue(what: object, work: () => Promise<void>): void {
    this.#chain = this.#chain.then(async () => {
      while (!this.#isStopped) {
        try {
          await work();
          return;
        } catch (error) {
          if (!isStoreFault(error)) {
            // A mistake of ours, which must not stop those behind it; the next start looks at them again.
            this.#o.log.error({ err: error, ...what }, 'deliveries.not_moved');
            return;
          }
          this.#o.log.warn({ ...what, error: String(error) }, 'deliveries.not_moved');
          await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
        }
      }
    });
  }
}
