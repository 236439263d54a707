import { transitions } from '../model/delivery.ts';
import type { DeliveryMove, DeliveryStatus } from '../model/delivery.ts';
import type { MoveRequest, Settlement } from './store.ts';

const fromSending: ReadonlySet<DeliveryStatus> = new Set(Object.values(transitions.sending));

/** Refuses what the transition table does not have, before it can spoil a batch. */
export function checkSettlement({ status, dueAt, deliveryId }: Settlement): void {
  if (!fromSending.has(status)) throw new Error(`A delivery cannot go from sending to ${status} (${deliveryId}).`);
  if ((dueAt !== null) !== (status === 'pending')) {
    throw new Error(`dueAt belongs to pending and to nothing else (${deliveryId} to ${status}).`);
  }
}

/** Throws where the transition table has no move from the one status to the other. */
export function checkMove({ from, to }: MoveRequest): void {
  const moves: { readonly [by in DeliveryMove]?: DeliveryStatus } = transitions[from];
  if (!Object.values(moves).includes(to) || from === to) throw new Error(`Deliveries cannot go from ${from} to ${to}.`);
}
