import type { Event } from '../model/event.ts';
import { newDeliveryId, type Id } from '../model/id.ts';
import type { NewDelivery } from '../store/store.ts';
import type { Claims } from './claims.ts';
import type { Line } from './line.ts';
import type { Lines } from './lines.ts';
import type { EventMessage } from './message.ts';
import type { LiveEndpoint } from './subscriptions.ts';

/**
 * Deliveries of one event between being made and being stored. Those that find room in memory are born leased to this
 * node and enter their lines when the commit returns; the others are left to be claimed; those of disabled endpoints
 * are held, and those of an event beyond its tenant's quota, whoever gets it.
 */
export class Assignment {
  readonly deliveries: NewDelivery[] = [];
  readonly #bytes: number;
  readonly #lines: Lines;
  readonly #reserved: { line: Line; id: Id }[] = [];
  readonly #spilled: Line[] = [];

  constructor(lines: Lines, event: Event, endpoints: readonly LiveEndpoint[], now: number, isOverQuota: boolean) {
    this.#lines = lines;
    this.#bytes = event.data.length;
    for (const { endpoint, concurrency } of endpoints) {
      const id = newDeliveryId(now);
      if (isOverQuota || !endpoint.isActive) {
        const reason = isOverQuota ? 'over_quota' : 'endpoint_disabled';
        this.deliveries.push({ id, endpointId: endpoint.id, status: 'held', reason });
        continue;
      }
      const line = lines.line(event.tenantId, endpoint.id, concurrency);
      // Behind a backlog nothing overtakes: what is older goes first.
      if (!line.hasBacklog && line.pausedUntil === 0 && lines.room(line) > 0) {
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
  enter(message: EventMessage, claims: Claims, stored: ReadonlySet<Id> | null = null): void {
    for (const { line, id } of this.#reserved) {
      if (stored === null || stored.has(id))
        this.#lines.enter(line, { id, attemptCount: 0, scheduleStart: 0, message });
      else this.#lines.release(line, this.#bytes);
    }
    for (const line of this.#spilled) claims.hasBacklog(line);
  }

  /** They were not stored: the room is free again. */
  giveUp(): void {
    for (const { line } of this.#reserved) this.#lines.release(line, this.#bytes);
  }
}
