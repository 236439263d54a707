import type { Id } from './id.ts';

/**
 * The life of a delivery (drawn in docs/state-machine.md, enforced again by CHECK constraints in SQL).
 * - `pending`: waits for its time (`dueAt`); no node holds it
 * - `sending`: leased by a node, which has it in line or on the wire
 * - `held`: its endpoint is disabled, or its tenant's plan has no more events today; kept until the endpoint is enabled,
 *   the next day comes, or somebody asks for it
 * - `delivered`, `dead_letter`, `cancelled`: ends
 */
export const deliveryStatuses = ['pending', 'sending', 'held', 'delivered', 'dead_letter', 'cancelled'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** What can happen to a delivery. */
export type DeliveryMove =
  | 'lease' // a node takes it to send it
  | 'release' // a node gives it back unsent: drain, take-over, no room
  | 'succeed'
  | 'retry'
  | 'exhaust' // the schedule is used up, or the receiver said 410
  | 'hold' // the endpoint was disabled
  | 'resume' // the endpoint was enabled again, or the tenant may send again
  | 'cancel' // the endpoint was deleted
  | 'redeliver'; // somebody asked for it again

/** The one transition table: from a status, by a move, to a status. What is not here cannot happen. */
export const transitions: { readonly [from in DeliveryStatus]: { readonly [move in DeliveryMove]?: DeliveryStatus } } =
  {
    pending: { lease: 'sending', hold: 'held', cancel: 'cancelled', redeliver: 'pending' },
    sending: {
      release: 'pending',
      succeed: 'delivered',
      retry: 'pending',
      exhaust: 'dead_letter',
      hold: 'held',
      cancel: 'cancelled',
    },
    held: { resume: 'pending', cancel: 'cancelled', redeliver: 'pending' },
    delivered: { redeliver: 'pending' },
    dead_letter: { redeliver: 'pending' },
    cancelled: {},
  };

/** Where a move leads, or null where the table has no such move. */
export function move(from: DeliveryStatus, by: DeliveryMove): DeliveryStatus | null {
  return transitions[from][by] ?? null;
}

/** The statuses from which a move can start: for `WHERE status IN (…)`. */
export function sourcesOf(by: DeliveryMove): DeliveryStatus[] {
  return deliveryStatuses.filter((from) => transitions[from][by] !== undefined);
}

/** True where nothing more will happen unless somebody asks. */
export function isEnd(status: DeliveryStatus): boolean {
  return status === 'delivered' || status === 'dead_letter' || status === 'cancelled';
}

/** Why a delivery is where it is; shown to people, stable for machines. */
export type DeliveryReason =
  | 'endpoint_disabled' // held
  | 'over_quota' // held: the tenant's plan has no more events today
  | 'endpoint_deleted' // cancelled
  | 'schedule_exhausted' // dead letter: every attempt of the schedule failed
  | 'endpoint_gone' // dead letter: the receiver answered 410
  | 'destination_blocked' // dead letter: the guard refuses the address at every attempt
  | 'attempt_limit'; // dead letter: no attempt number is left

export interface Delivery {
  id: Id;
  tenantId: string;
  eventId: Id;
  endpointId: Id;
  status: DeliveryStatus;
  reason: DeliveryReason | null;
  /** Attempts made over its whole life; the next one is numbered one higher. */
  attemptCount: number;
  /** Attempts made before the present schedule began (redelivery starts a schedule anew). */
  scheduleStart: number;
  /** Epoch ms of the next attempt; null unless `pending`. */
  dueAt: number | null;
  /** Status code or failure reason of the newest failed attempt, for people: `500`, `connect_refused`. */
  lastError: string | null;
  createdAt: number;
  /** Epoch ms of the change to an end; null while open. */
  endedAt: number | null;
  /** Epoch ms at which a dead letter was acknowledged by somebody. */
  acknowledgedAt: number | null;
}
