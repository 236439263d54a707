import type { Logger } from 'pino';
import type { DeliveryReason, DeliveryStatus } from '../model/delivery.ts';
import { prefixes, type Id } from '../model/id.ts';
import type { Settlement, Store } from '../store/store.ts';
import type { Work } from './line.ts';
import { Outcomes } from './outcomes.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';

/** Attempts whose outcome the store has not taken yet, beyond which nothing new is sent. */
const MAX_UNSETTLED = 4096;
const AGAIN_AFTER_FAULT_MS = 500;

export interface SettlingOptions {
  store: Pick<Store, 'settle'>;
  subscriptions: Subscriptions;
  log: Logger;
  now: () => number;
  /** A delivery will be due in the store at this time. */
  onDue: (dueAt: number) => void;
  /** A delivery was held whose endpoint has been enabled meanwhile. */
  onHeldInVain: (live: LiveEndpoint) => void;
  /** Something may be sent again. */
  onRoom: () => void;
  /** The store has taken everything. */
  onSettled: () => void;
}

/** Has the store write what became of deliveries, and tells those who wait for it. */
export class Settling {
  readonly outcomes = new Outcomes();
  readonly #o: SettlingOptions;
  #lease = 0;
  #unsettled = 0;
  #isStopped = false;

  constructor(options: SettlingOptions) {
    this.#o = options;
  }

  /** What leases are held under now; another number after all of them were lost. */
  get lease(): number {
    return this.#lease;
  }

  get isIdle(): boolean {
    return this.#unsettled === 0;
  }

  /** So much waits for the store that nothing new is to be sent. */
  get isFull(): boolean {
    return this.#unsettled >= MAX_UNSETTLED;
  }

  /** What the store does not take now is given up from here on. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Whatever was sent until now is no longer ours to settle, also where we lease it once more. */
  leasesLost(): void {
    this.#lease++;
  }

  /** Without an attempt: its endpoint is disabled (held) or deleted (cancelled). */
  unsendable(tenantId: string, endpointId: Id, work: Work, live: LiveEndpoint | null): void {
    const status: DeliveryStatus = live ? 'held' : 'cancelled';
    const reason: DeliveryReason = live ? 'endpoint_disabled' : 'endpoint_deleted';
    this.#giveBack(tenantId, endpointId, work, status, reason, null);
  }

  /** Without an attempt: for whoever claims it from `dueAt` (epoch ms) on. */
  release(tenantId: string, endpointId: Id, work: Work, dueAt: number): void {
    this.#giveBack(tenantId, endpointId, work, 'pending', null, dueAt);
  }

  #giveBack(
    tenantId: string,
    endpointId: Id,
    work: Work,
    status: DeliveryStatus,
    reason: DeliveryReason | null,
    dueAt: number | null,
  ): void {
    const { id: deliveryId, attemptCount } = work;
    const now = this.#o.now();
    const settlement = {
      tenantId,
      deliveryId,
      attempt: null,
      status,
      reason,
      attemptCount,
      dueAt,
      lastError: null,
      now,
    };
    this.settle(settlement, endpointId, this.#lease);
  }

  /** `lease`: what it was held under when it was sent. */
  settle(settlement: Settlement, endpointId: Id, lease: number): void {
    if (lease !== this.#lease) {
      this.#lost(settlement);
      return;
    }
    this.#unsettled++;
    this.#o.store.settle(settlement).then(
      (isOurs) => {
        this.#unsettled--;
        if (this.outcomes.size > 0 && isOurs) this.outcomes.tell(settlement);
        // Not before: a claim in between would not find it, and nobody would look again.
        if (settlement.dueAt !== null) this.#o.onDue(settlement.dueAt);
        if (settlement.status === 'held') {
          const live = this.#o.subscriptions.find(endpointId);
          if (live?.endpoint.isActive) this.#o.onHeldInVain(live);
        }
        if (!isOurs) this.#lost(settlement);
        if (this.#unsettled === MAX_UNSETTLED - 1) this.#o.onRoom();
        if (this.#unsettled === 0) this.#o.onSettled();
      },
      (error: unknown) => {
        // What happened must not be forgotten while the store is away: the outcome waits here and is written later.
        // Not once stopping: then the lease ends with the session, and the next start sends once more.
        this.#o.log.warn(
          { delivery: prefixes.delivery + settlement.deliveryId, error: String(error) },
          'delivery.not_settled',
        );
        const again = (): void => {
          this.#unsettled--;
          if (!this.#isStopped) this.settle(settlement, endpointId, lease);
          if (this.#unsettled === MAX_UNSETTLED - 1) this.#o.onRoom();
          if (this.#unsettled === 0) this.#o.onSettled();
        };
        if (this.#isStopped) again();
        else setTimeout(again, AGAIN_AFTER_FAULT_MS);
      },
    );
  }

  /** Somebody else has it, or will have it: their word stands. */
  #lost({ deliveryId }: Settlement): void {
    this.#o.log.warn({ delivery: prefixes.delivery + deliveryId }, 'delivery.lease_lost');
  }
}
