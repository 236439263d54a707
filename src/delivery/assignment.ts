import type { Event } from '../model/event.ts';
import { newDeliveryId, type Id } from '../model/id.ts';
import type { Cluster, NewDelivery } from '../store/store.ts';
import type { Claims } from './claims.ts';
import type { Line } from './line.ts';
import type { Lines } from './lines.ts';
import type { EventMessage } from './message.ts';
import type { Moves } from './moves.ts';
import type { Quotas } from './quotas.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';

export interface AssignmentsOptions {
  cluster: Cluster | null;
  lines: Lines;
  claims: Claims;
  subscriptions: Subscriptions;
  quotas: Quotas;
  moves: Moves;
}

/** Draws up who gets an event, and from where: from this node's memory, or from the store. */
export class Assignments {
  readonly #o: AssignmentsOptions;

  constructor(options: AssignmentsOptions) {
    this.#o = options;
  }

  /** `isOverQuota`: its deliveries are held, whoever gets it. */
  of(event: Event, endpoints: readonly LiveEndpoint[], now: number, isOverQuota: boolean): Assignment {
    return new Assignment(this.#o, event, endpoints, now, isOverQuota);
  }
}

/**
 * Deliveries of one event between being made and being stored. Those that find room in memory are born leased to this
 * node and enter their lines when the commit returns; the others are left to be claimed; those of disabled endpoints
 * are held, and those of an event beyond its tenant's quota, whoever gets it.
 */
export class Assignment {
  readonly deliveries: NewDelivery[] = [];
  readonly #o: AssignmentsOptions;
  readonly #event: Event;
  readonly #bytes: number;
  readonly #reserved: { line: Line; id: Id }[] = [];
  readonly #spilled: Line[] = [];
  /** Endpoints whose deliveries are born held, where that may be another node's word already; null without any. */
  #held: Id[] | null = null;
  readonly #isOverQuota: boolean;

  constructor(
    options: AssignmentsOptions,
    event: Event,
    endpoints: readonly LiveEndpoint[],
    now: number,
    isOverQuota: boolean,
  ) {
    this.#o = options;
    this.#event = event;
    this.#bytes = event.data.length;
    this.#isOverQuota = isOverQuota;
    const { cluster, lines } = options;
    // Past its lease a node leaves everything to the others.
    const maySend = cluster === null || cluster.isLeaseLive();
    for (const { endpoint, concurrency } of endpoints) {
      const id = newDeliveryId(now);
      if (isOverQuota || !endpoint.isActive) {
        const reason = isOverQuota ? 'over_quota' : 'endpoint_disabled';
        this.deliveries.push({ id, endpointId: endpoint.id, status: 'held', reason });
        if (cluster !== null) (this.#held ??= []).push(endpoint.id);
        continue;
      }
      const line = lines.line(event.tenantId, endpoint.id, concurrency);
      // Behind a backlog nothing overtakes: what is older goes first.
      if (!line.hasBacklog && line.pausedUntil === 0 && maySend && lines.room(line) > 0) {
        if (line.reserved === 0) line.movedAt = performance.now(); // whatever it did before, it starts here
        lines.reserve(line, this.#bytes);
        this.#reserved.push({ line, id });
        this.deliveries.push({ id, endpointId: endpoint.id, status: 'sending' });
      } else {
        this.#spilled.push(line);
        const pausedUntil = line.pausedUntil > now ? { dueAt: line.pausedUntil } : {}; // obeyed over a restart too
        this.deliveries.push({ id, endpointId: endpoint.id, status: 'pending', ...pausedUntil });
      }
    }
  }

  /** They are durable: off they go. `stored`: where not all of them were stored, those that were. */
  enter(message: EventMessage, stored: ReadonlySet<Id> | null = null): void {
    const { lines, claims } = this.#o;
    for (const { line, id } of this.#reserved) {
      if (stored === null || stored.has(id)) lines.enter(line, { id, attemptCount: 0, scheduleStart: 0, message });
      else lines.release(line, this.#bytes);
    }
    for (const line of this.#spilled) claims.overflowed(line);
    if (this.#held) this.#lookAgain(this.#held);
  }

  /** They were not stored: the room is free again. */
  giveUp(): void {
    for (const { line } of this.#reserved) this.#o.lines.release(line, this.#bytes);
  }

  /** What they are held for may have ended, and been followed, on another node while they were being stored. */
  #lookAgain(held: readonly Id[]): void {
    const { subscriptions, quotas, moves } = this.#o;
    const { tenantId } = this.#event;
    if (this.#isOverQuota && quotas.stillHolds(this.#event)) return;
    for (const endpointId of held) {
      if (subscriptions.get(tenantId, endpointId)?.endpoint.isActive) moves.resume({ tenantId, endpointId });
    }
  }
}
