import type { WebhookEvent } from '../verify/result.ts';
import { verifyWebhookAsync, Webhook } from '../verify/verify.ts';
import { answer, readBody, type NodeRequest, type NodeResponse } from './node-body.ts';
import { readLimited } from './request-body.ts';
import {
  DEFAULT_MAX_BYTES,
  PARSED_BEFORE,
  refusalOf,
  refusalResponse,
  requireUsable,
  tooLarge,
  type ReceiverOptions,
} from './received.ts';

export type { ReceiverOptions } from './received.ts';

/**
 * A route handler of the Next.js app router, and of anything else that turns a `Request` into a `Response` (Deno, Bun,
 * Workers, SvelteKit, Remix). `handle` gets verified events only; others are answered 400, or 413, with `{ code, message }`.
 *
 *     export const POST = webhookRoute({ secret }, async (event) => new Response(null, { status: 204 }));
 */
export function webhookRoute(
  options: ReceiverOptions,
  handle: (event: WebhookEvent, request: Request) => Response | Promise<Response>,
): (request: Request) => Promise<Response> {
  const { secret, maxBytes = DEFAULT_MAX_BYTES, ...rest } = options;
  return async (request) => {
    if (request.bodyUsed) throw new TypeError(PARSED_BEFORE);
    const payload = await readLimited(request, maxBytes);
    if (payload === null) return refusalResponse(tooLarge(maxBytes));
    const secrets = typeof secret === 'string' ? [secret] : secret;
    const result = await verifyWebhookAsync({ ...rest, secrets, payload, headers: request.headers });
    if (!result.ok) {
      requireUsable(result);
      return refusalResponse(refusalOf(result));
    }
    return handle(result.event, request);
  };
}

/**
 * An API route of the Next.js pages router. The file must also have `export const config = { api: { bodyParser: false } }`,
 * which keeps the body raw.
 *
 *     export default webhookHandler({ secret }, async (event, request, response) => { response.status(204).end(); });
 */
export function webhookHandler<Incoming extends NodeRequest, Outgoing extends NodeResponse>(
  options: ReceiverOptions,
  handle: (event: WebhookEvent, request: Incoming, response: Outgoing) => unknown,
): (request: Incoming, response: Outgoing) => Promise<void> {
  // Made at the first request: a build loads this file too, and may not have the secret.
  let verifier: Webhook | undefined;
  const { maxBytes = DEFAULT_MAX_BYTES } = options;
  return async (request, response) => {
    verifier ??= new Webhook(options.secret, options);
    if (request.readableEnded === true) throw new TypeError(PARSED_BEFORE);
    const body = await readBody(request, maxBytes);
    const result = body === null ? null : verifier.verify(body, request.headers);
    if (result?.ok === true) {
      await handle(result.event, request, response);
      return;
    }
    const refusal = result === null ? tooLarge(maxBytes) : refusalOf(result);
    answer(response, refusal.status, refusal.body);
  };
}
