import type { Failure, WebhookEvent } from '../verify/result.ts';
import type { VerifyOptions } from '../verify/verify.ts';

/** How a receiver is set up. */
export interface ReceiverOptions extends VerifyOptions {
  /** The webhook's secret, or several while it rotates; for `standard-ed25519` its public key. */
  secret: string | readonly string[] | undefined;
  /** Largest body, bytes; default 1 MiB. A larger one is answered with 413. */
  maxBytes?: number;
}

export const DEFAULT_MAX_BYTES = 1_048_576;

/** The answer to a request that is refused: the sender keeps it, and so its owner sees the cause. */
export interface Refusal {
  status: 400 | 413;
  body: { code: string; message: string };
}

export function refusalOf({ code, message }: Failure): Refusal {
  return { status: 400, body: { code, message } };
}

export function tooLarge(maxBytes: number): Refusal {
  return { status: 413, body: { code: 'too_large', message: `The body is larger than ${maxBytes} bytes.` } };
}

export function refusalResponse({ status, body }: Refusal): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}

/** What was set up cannot work, whoever asks: that is no fault of the request, and its own log should have it. */
export function requireUsable(failure: Failure): void {
  if (['bad_secret', 'bad_format', 'unsupported'].includes(failure.code)) throw new TypeError(failure.message);
}

export const PARSED_BEFORE =
  'The body was read before its signature could be checked. Let this come first, or keep the raw body.';

const events = new WeakMap<object, WebhookEvent>();

export function setWebhook(holder: object, event: WebhookEvent): void {
  events.set(holder, event);
}

/** The verified event of a request (Express, Fastify) or a context (Hono) that went through this package. */
export function webhookOf<Data = unknown>(holder: object): WebhookEvent<Data> {
  const event = events.get(holder);
  if (event === undefined) throw new TypeError('No webhook was verified here: put the verifier before this handler.');
  return event as WebhookEvent<Data>;
}
