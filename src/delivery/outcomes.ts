import type { Id } from '../model/id.ts';
import type { Settlement } from '../store/store.ts';

/** Somebody's eye on one delivery. End it, whatever happens. */
export interface Watch {
  /** The next settlement since the watch began; null once `until` (ms, by `performance.now`) has passed, or at the end. */
  next(until: number): Promise<Settlement | null>;
  end(): void;
}

/** Tells those who wait for the outcome of an attempt when it is durable. Costs nothing where nobody waits. */
export class Outcomes {
  readonly #watchers = new Map<Id, Set<(settlement: Settlement | null) => void>>();
  #isClosed = false;

  /** Deliveries that somebody waits for. */
  get size(): number {
    return this.#watchers.size;
  }

  /** Nothing more will be told. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** It is durable. */
  tell(settlement: Settlement): void {
    for (const tell of this.#watchers.get(settlement.deliveryId) ?? []) tell(settlement);
  }

  /** Nothing more will be settled. */
  close(): void {
    this.#isClosed = true;
    for (const watchers of this.#watchers.values()) for (const tell of watchers) tell(null);
  }

  watch(deliveryId: Id): Watch {
    const told: Settlement[] = [];
    let wake: (() => void) | null = null;
    const tell = (settlement: Settlement | null): void => {
      if (settlement) told.push(settlement);
      wake?.();
    };
    const watchers = this.#watchers.get(deliveryId) ?? new Set();
    watchers.add(tell);
    this.#watchers.set(deliveryId, watchers);
    return {
      next: async (until) => {
        if (told.length === 0 && !this.#isClosed) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, Math.max(0, until - performance.now()));
            wake = () => {
              clearTimeout(timer);
              resolve();
            };
          });
          wake = null;
        }
        return told.shift() ?? null;
      },
      end: () => {
        watchers.delete(tell);
        if (watchers.size === 0) this.#watchers.delete(deliveryId);
      },
    };
  }
}
