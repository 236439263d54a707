import { prefixes } from '../model/id.ts';
import type { DeliveryRow } from '../store/store.ts';

/** The id of a delivery's subscription as it is shown. */
export function publicEndpointOf(row: Pick<DeliveryRow, 'endpointId' | 'endpointOwnId'>): string {
  return row.endpointOwnId ?? prefixes.endpoint + row.endpointId;
}
