import type { Logger } from 'pino';
import type { Event } from '../model/event.ts';
import type { Id } from '../model/id.ts';
import type { Store } from '../store/store.ts';
import { Assignment } from './assignment.ts';
import type { Claims } from './claims.ts';
import type { Lines } from './lines.ts';
import { EventMessage } from './message.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import type { Worker } from './worker.ts';

/** Deliveries stored by one transaction: enough to be quick, few enough that the acks of others do not wait for long. */
export const FAN_OUT_SLICE = 1_000;
const AGAIN_AFTER_FAULT_MS = 1_000;

export interface FanOutOptions {
  store: Store;
  lines: Lines;
  subscriptions: Subscriptions;
  claims: Claims;
  worker: Worker;
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
  #isStopped = false;

  constructor(options: FanOutOptions) {
    this.#o = options;
  }

  /** Goes on with these endpoints, one slice after the other, after the fan-outs already under way. */
  continue(event: Event, rest: readonly LiveEndpoint[]): void {
    this.#underWay.add(event.id);
    this.#chain = this.#chain.then(async () => {
      await this.#run(event, rest);
      this.#underWay.delete(event.id);
    });
  }

  /** Takes up what a crash cut off: the endpoints that match now and were not reached. */
  async resume(): Promise<void> {
    for (const { event, after } of await this.#o.store.unfinishedFanOuts(10_000)) {
      if (this.#underWay.has(event.id)) continue;
      this.continue(
        event,
        this.#o.subscriptions.match(event.tenantId, event.type).filter(({ endpoint }) => endpoint.id > after),
      );
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#chain;
  }

  async #run(event: Event, rest: readonly LiveEndpoint[]): Promise<void> {
    const { store, lines, subscriptions, claims, worker, log, now } = this.#o;
    const message = new EventMessage(event);
    for (let at = 0; !this.#isStopped;) {
      const slice = rest.slice(at, at + FAN_OUT_SLICE);
      const isLast = at + slice.length >= rest.length;
      const assignment = new Assignment(
        lines,
        event,
        // As they are now: one may have been enabled, or deleted, since the event came in.
        slice.flatMap(({ endpoint }) => subscriptions.get(event.tenantId, endpoint.id) ?? []),
        now(),
      );
      try {
        const after = isLast ? null : slice.at(-1)!.endpoint.id;
        await store.extendFanOut({
          tenantId: event.tenantId,
          eventId: event.id,
          deliveries: assignment.deliveries,
          after,
          now: now(),
        });
      } catch (error) {
        assignment.giveUp();
        log.warn({ event: message.id, error: String(error) }, 'fan-out.interrupted');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_FAULT_MS));
        continue;
      }
      assignment.enter(message, claims);
      worker.pump();
      if (isLast) return;
      at += slice.length;
    }
  }
}
