import type { Delivery } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Event } from '../model/event.ts';
import { wireFormatOf } from './endpoint-fields.ts';
import { extraHeadersOf } from './live-endpoint.ts';
import { AttemptStamp, EventMessage } from './message.ts';

/**
 * The request of a delivery as its receiver gets it, without the signatures, which are made anew at every attempt. Of
 * deleted endpoints too, whose secrets are forgotten.
 * @param at epoch ms of the attempt to show
 * @returns `body`: null where the payload of the event is past its retention
 */
export function deliveryRequest(
  delivery: Delivery,
  endpoint: Endpoint,
  event: Event,
  at: number,
): { url: string; headers: Record<string, string>; body: string | null } {
  const format = wireFormatOf(endpoint.wireFormat);
  const isForgotten = event.data === '';
  const message = new EventMessage(isForgotten ? { ...event, data: 'null' } : event);
  const body = message.body(format);
  const stamp = new AttemptStamp(delivery.id, Math.max(1, delivery.attemptCount), at);
  // A format signs what it makes headers for: any key will do, since what it signs is left out.
  const flat = format.headers(message, body, [format.key(format.newSecret())], stamp, extraHeadersOf(endpoint));
  const signatures = format.signatureHeaders();
  const headers: Record<string, string> = {};
  for (let i = 0; i < flat.length; i += 2) {
    if (!signatures.includes(flat[i]!.toLowerCase())) headers[flat[i]!] = flat[i + 1]!;
  }
  return { url: endpoint.url, headers, body: isForgotten ? null : body.toString('utf8') };
}
