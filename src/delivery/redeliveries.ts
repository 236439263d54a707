import type { Logger } from 'pino';
import type { DeliveryStatus } from '../model/delivery.ts';
import type { Id } from '../model/id.ts';
import type { DeliveryFilter, DeliveryRow, Store } from '../store/store.ts';
import type { Claims } from './claims.ts';
import type { Lines } from './lines.ts';
import type { Quotas } from './quotas.ts';
import { isStoreFault } from './store-fault.ts';
import type { Subscriptions } from './subscriptions.ts';

const SLICE = 500;
/** Deliveries are counted no further before a bulk redelivery starts. */
const COUNT_LIMIT = 10_000_000;
const AGAIN_AFTER_FAULT_MS = 1_000;

export interface RedeliveriesOptions {
  store: Store;
  lines: Lines;
  subscriptions: Subscriptions;
  claims: Claims;
  quotas: Quotas;
  log: Logger;
  now: () => number;
}

type BulkFilter = DeliveryFilter & { status: readonly DeliveryStatus[] };

export interface BulkOptions {
  /** Spreads the due times; null = all at once. */
  ratePerSecond?: number | null;
  /** The endpoints whose deliveries are meant; absent = of any. */
  only?: ReadonlySet<Id>;
}

/** Makes deliveries due again: one at a request, or all that a filter matches, in slices that disturb nobody. */
export class Redeliveries {
  readonly #o: RedeliveriesOptions;
  #chain: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: RedeliveriesOptions) {
    this.#o = options;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#chain;
  }

  /** Makes one delivery due now. Resolves to false where its status has no way there. */
  async one(tenantId: string, deliveryId: Id, endpointId: Id): Promise<boolean> {
    const { store, claims, now } = this.#o;
    const dueAt = now();
    const moved = await store.redeliver({ tenantId, deliveryIds: [deliveryId], dueAt, spacingMs: 0 });
    if (moved.length === 0) return false;
    this.#fetch(tenantId, endpointId);
    claims.dueAt(dueAt);
    return true;
  }

  /** How many deliveries match: what a bulk redelivery would touch. */
  count(filter: DeliveryFilter): Promise<number> {
    return this.#o.store.deliveries.count(filter, COUNT_LIMIT);
  }

  /**
   * Starts making everything due that matches now; later deliveries are not touched, nor what belongs to a disabled or
   * deleted endpoint, nor what the tenant's quota holds. A crash leaves the rest as it was: the same call takes it up.
   */
  async start(filter: BulkFilter, options: BulkOptions = {}): Promise<{ deliveries: number }> {
    const startedAt = this.#o.now(); // not when its turn comes: what others made until then is none of its business
    const deliveries = await this.count(filter);
    if (deliveries > 0) this.begin(filter, startedAt, options);
    return { deliveries };
  }

  /** The same without counting first; `startedAt`: deliveries made later (epoch ms) are not touched. */
  begin(filter: BulkFilter, startedAt: number, options: BulkOptions = {}): void {
    this.#chain = this.#chain.then(() => this.#run(filter, startedAt, options));
  }

  async #run(filter: BulkFilter, startedAt: number, { ratePerSecond = null, only }: BulkOptions): Promise<void> {
    const { store, claims, quotas, log, now } = this.#o;
    const spacingMs = ratePerSecond === null ? 0 : 1000 / ratePerSecond;
    const beganAt = now();
    let sent = 0;
    for (let before: Id | null = null; !this.#isStopped;) {
      try {
        const rows = await store.deliveries.list(
          { ...filter, to: Math.min(filter.to ?? startedAt + 1, startedAt + 1) },
          { limit: SLICE, before },
        );
        if (rows.length === 0) break;
        await quotas.learn(filter.tenantId);
        const last = rows.at(-1)!.id;
        const sendable = rows.filter((row) => this.#mayGo(row, filter) && (!only || only.has(row.endpointId)));
        if (sendable.length === 0) {
          before = last;
          continue;
        }
        const dueAt = beganAt + Math.round(sent * spacingMs);
        const moved = await store.redeliver({
          tenantId: filter.tenantId,
          deliveryIds: sendable.map(({ id }) => id),
          from: filter.status, // what another node redelivered meanwhile is sent, or was delivered, by now
          dueAt,
          spacingMs,
        });
        sent += moved.length;
        for (const endpointId of new Set(sendable.map((row) => row.endpointId)))
          this.#fetch(filter.tenantId, endpointId);
        claims.dueAt(dueAt);
        before = last; // only now: what the store refused is asked for again
      } catch (error) {
        if (!isStoreFault(error)) {
          // A mistake of ours, which would only be made again, and must not stop the ones behind it.
          log.error({ tenant: filter.tenantId, err: error }, 'redelivery.given_up');
          return;
        }
        log.warn({ error: String(error) }, 'redelivery.interrupted');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
      }
    }
    log.info({ tenant: filter.tenantId, deliveries: sent }, 'redelivery.started');
  }

  #mayGo({ endpointId, status, reason }: DeliveryRow, { tenantId }: DeliveryFilter): boolean {
    const { subscriptions, quotas } = this.#o;
    if (!subscriptions.get(tenantId, endpointId)?.endpoint.isActive) return false;
    // Else a redelivery would be the way round every quota.
    return status !== 'held' || reason !== 'over_quota' || !quotas.isOver(tenantId);
  }

  #fetch(tenantId: string, endpointId: Id): void {
    const live = this.#o.subscriptions.get(tenantId, endpointId);
    if (live) this.#o.claims.hasBacklog(this.#o.lines.line(tenantId, endpointId, live.concurrency));
  }
}
