import { verifyWebhookAsync } from '../verify/verify.ts';
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
  req: { raw: { headers: Headers }; arrayBuffer(): Promise<ArrayBuffer> };
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
    const payload = await context.req.arrayBuffer();
    if (payload.byteLength > maxBytes) return refusalResponse(tooLarge(maxBytes));
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
