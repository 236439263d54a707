import type { Logger } from 'pino';
import type { Event } from '../model/event.ts';
import type { Id } from '../model/id.ts';
import type { Store } from '../store/store.ts';
import type { Assignment, Assignments } from './assignment.ts';
import { EventMessage } from './message.ts';
import type { Quotas } from './quotas.ts';
import { isStoreFault } from './store-fault.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import type { Worker } from './worker.ts';

/** Deliveries stored by one transaction: enough to be quick, few enough that the acks of others do not wait for long. */
export const FAN_OUT_SLICE = 1_000;
const AGAIN_AFTER_FAULT_MS = 1_000;
/** Fan-outs that wait in memory with their event and endpoints; further ones wait in the store. */
const MAX_IN_MEMORY = 100;

export interface FanOutOptions {
  store: Store;
  subscriptions: Subscriptions;
  assignments: Assignments;
  worker: Worker;
  quotas: Quotas;
  /** Resolves when what other nodes changed is in force here. */
  catchUp: () => Promise<void>;
  log: Logger;
  now: () => number;
}

/**
 * Finishes the fan-out of events with more endpoints than one transaction should write. The event row remembers how
 * far it came, so a crash in the middle is taken up at the next start.
 */
export class FanOuts {
  readonly #o: FanOutOptions;
  #chain: Promise<void> = Promise.resolve();
  readonly #underWay = new Set<Id>();
  /** The store holds fan-outs that are not under way: taken up when those under way are done. */
  #areMoreStored = false;
  #isStopped = false;

  constructor(options: FanOutOptions) {
    this.#o = options;
  }

  /**
   * Goes on with these endpoints, one slice after the other, after the fan-outs already under way.
   * @param isOverQuota whether the event came in beyond what its tenant may send in a day; null = look
   */
  continue(event: Event, after: Id, rest: readonly LiveEndpoint[], isOverQuota: boolean | null): void {
    if (this.#underWay.has(event.id)) return;
    if (this.#underWay.size >= MAX_IN_MEMORY) {
      this.#areMoreStored = true;
      return;
    }
    this.#underWay.add(event.id);
    this.#chain = this.#chain.then(async () => {
      await this.#run(event, after, rest, isOverQuota);
      this.#underWay.delete(event.id);
      if (this.#underWay.size > 0 || !this.#areMoreStored || this.#isStopped) return;
      this.#areMoreStored = false;
      await this.resume();
    });
  }

  /** Takes up what a crash cut off: the endpoints that match now and were not reached. */
  async resume(): Promise<void> {
    let unfinished: { event: Event; after: Id }[] = [];
    try {
      await this.#o.catchUp(); // before they are ours: they go to what their node knew
      unfinished = await this.#o.store.unfinishedFanOuts(MAX_IN_MEMORY);
    } catch (error) {
      this.#o.log.warn({ error: String(error) }, 'fan-out.not_resumed');
      setTimeout(() => {
        if (!this.#isStopped) void this.resume();
      }, AGAIN_AFTER_FAULT_MS).unref();
    }
    if (unfinished.length === MAX_IN_MEMORY) this.#areMoreStored = true;
    for (const { event, after } of unfinished) {
      const matching = this.#o.subscriptions.match(event.tenantId, event.type);
      this.continue(
        event,
        after,
        matching.filter(({ endpoint }) => endpoint.id > after),
        null,
      );
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#chain;
  }

  async #run(event: Event, from: Id, rest: readonly LiveEndpoint[], isOverQuota: boolean | null): Promise<void> {
    const { worker, log } = this.#o;
    const message = new EventMessage(event);
    for (let at = 0; !this.#isStopped;) {
      const slice = rest.slice(at, at + FAN_OUT_SLICE);
      const after = at + slice.length >= rest.length ? null : slice.at(-1)!.endpoint.id;
      try {
        isOverQuota ??= await this.#wasOverQuota(event);
        const assignment = await this.#store(event, from, after, slice, isOverQuota);
        assignment?.enter(message);
        worker.pump();
      } catch (error) {
        if (!isStoreFault(error)) {
          // A mistake of ours, which would only be made again: the next start takes this one up.
          log.error({ event: message.id, err: error }, 'fan-out.given_up');
          return;
        }
        log.warn({ event: message.id, error: String(error) }, 'fan-out.interrupted');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
        continue;
      }
      if (after === null) return;
      from = after;
      at += slice.length;
    }
  }

  /** Resolves to null where the slice was stored before: the answer was lost, or it was taken up twice. */
  async #store(
    event: Event,
    from: Id,
    after: Id | null,
    slice: readonly LiveEndpoint[],
    isOverQuota: boolean,
  ): Promise<Assignment | null> {
    const { store, assignments, subscriptions, quotas, now } = this.#o;
    // As they are now: one may have been enabled, or deleted, and a new day may have begun, since the event came in.
    const present = subscriptions.present(slice);
    const assignment = assignments.of(event, present, now(), isOverQuota && quotas.stillHolds(event));
    const { tenantId, id: eventId } = event;
    try {
      const { deliveries } = assignment;
      if (await store.extendFanOut({ tenantId, eventId, deliveries, from, after, now: now() })) return assignment;
    } catch (error) {
      assignment.giveUp();
      throw error;
    }
    assignment.giveUp();
    return null;
  }

  /** What the deliveries tell that were stored before a crash. */
  async #wasOverQuota(event: Event): Promise<boolean> {
    const { store, quotas } = this.#o;
    if (!quotas.stillHolds(event)) return false;
    const { tenantId, id: eventId } = event;
    const [held] = await store.deliveries.list({ tenantId, eventId, status: ['held'] }, { limit: 1, before: null });
    return held?.reason === 'over_quota';
  }
}
