import { Webhook } from '../verify/verify.ts';
import { answer, readBody, type NodeRequest, type NodeResponse } from './node-body.ts';
import { DEFAULT_MAX_BYTES, PARSED_BEFORE, refusalOf, setWebhook, tooLarge, type ReceiverOptions } from './received.ts';

export { webhookOf } from './received.ts';
export type { ReceiverOptions } from './received.ts';

const kept = new WeakMap<object, Uint8Array>();

/** For apps that parse every body: `app.use(express.json({ verify: keepRawBody }))` keeps the bytes for {@link webhook}. */
export function keepRawBody(request: object, _response: unknown, body: Uint8Array): void {
  kept.set(request, body);
}

/**
 * Middleware for Express, and for anything else that calls `(request, response, next)`. It reads the raw body, answers
 * 400 (413 where it is too large) with `{ code, message }` where the signature is not right, and else calls `next`;
 * {@link webhookOf} then has the event. Throws a TypeError where the secret or the format cannot be used.
 *
 *     app.post('/hook', webhook({ secret }), (request, response) => { webhookOf(request); response.sendStatus(204); });
 */
export function webhook(
  options: ReceiverOptions,
): (request: NodeRequest & { body?: unknown }, response: NodeResponse, next: (error?: unknown) => void) => void {
  const verifier = new Webhook(options.secret, options);
  const { maxBytes = DEFAULT_MAX_BYTES } = options;
  return (request, response, next) => {
    rawBody(request, maxBytes).then((body) => {
      if (body === null) {
        const { status, body: why } = tooLarge(maxBytes);
        answer(response, status, why);
        return;
      }
      const result = verifier.verify(body, request.headers);
      if (!result.ok) {
        const { status, body: why } = refusalOf(result);
        answer(response, status, why);
        return;
      }
      setWebhook(request, result.event);
      next();
    }, next);
  };
}

async function rawBody(request: NodeRequest & { body?: unknown }, maxBytes: number): Promise<Uint8Array | null> {
  const { body } = request;
  const bytes = kept.get(request) ?? (body instanceof Uint8Array ? body : undefined);
  if (bytes !== undefined) return bytes.length > maxBytes ? null : bytes;
  if (request.readableEnded === true) throw new TypeError(PARSED_BEFORE);
  return readBody(request, maxBytes);
}
