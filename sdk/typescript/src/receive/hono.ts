import { verifyWebhookAsync } from '../verify/verify.ts';
import { readLimited } from './request-body.ts';
import {
  DEFAULT_MAX_BYTES,
  refusalOf,
  refusalResponse,
  requireUsable,
  setWebhook,
  tooLarge,
  type ReceiverOptions,
} from './received.ts';

export { webhookOf } from './received.ts';
export type { ReceiverOptions } from './received.ts';

/** A context of Hono, as far as it is used here. */
export interface HonoContext {
  req: { raw: Request; arrayBuffer(): Promise<ArrayBuffer> };
}

/**
 * Middleware for Hono, on any runtime. Answers 400 (413 where the body is too large) with `{ code, message }` where the
 * signature is not right; else {@link webhookOf} has the event, and the body can be read again.
 *
 *     app.post('/hook', webhook({ secret }), (c) => { webhookOf(c); return c.body(null, 204); });
 */
export function webhook(
  options: ReceiverOptions,
): (context: HonoContext, next: () => Promise<void>) => Promise<Response | undefined> {
  const { secret, maxBytes = DEFAULT_MAX_BYTES, ...rest } = options;
  const secrets = typeof secret === 'string' ? [secret] : secret;
  return async (context, next) => {
    const { headers } = context.req.raw;
    if (Number(headers.get('content-length')) > maxBytes) return refusalResponse(tooLarge(maxBytes));
    const payload = await readBody(context, maxBytes);
    if (payload === null || payload.byteLength > maxBytes) return refusalResponse(tooLarge(maxBytes));
    const result = await verifyWebhookAsync({ ...rest, secrets, payload, headers });
    if (!result.ok) {
      requireUsable(result);
      return refusalResponse(refusalOf(result));
    }
    setWebhook(context, result.event);
    await next();
    return undefined;
  };
}

/** The raw body, left to be read again; null where it is too large, which a request need not say before. */
async function readBody({ req }: HonoContext, maxBytes: number): Promise<ArrayBuffer | Uint8Array | null> {
  const { raw } = req;
  // Hono keeps what was read by it.
  if (raw.bodyUsed || raw.body === null) return req.arrayBuffer();
  const payload = await readLimited(raw, maxBytes);
  if (payload !== null) req.raw = new Request(raw, { body: payload });
  return payload;
}
