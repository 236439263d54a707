import { Webhook } from '../verify/verify.ts';
import { DEFAULT_MAX_BYTES, refusalOf, setWebhook, type ReceiverOptions } from './received.ts';

export { webhookOf } from './received.ts';
export type { ReceiverOptions } from './received.ts';

interface Request {
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}
interface Reply {
  code(status: number): { send(body: unknown): unknown };
}

/** A scope of Fastify, as far as it is used here. */
export interface FastifyScope {
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    type: string,
    options: { parseAs: 'buffer'; bodyLimit: number },
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- Fastify has this overloaded by how the parser answers
    parse: any,
  ): unknown;
  addHook(name: 'preHandler', hook: (request: Request, reply: Reply, done: () => void) => void): unknown;
}

/**
 * Plugin for Fastify: in the scope that registers it, bodies stay raw, and every request must have the signature of a
 * webhook. Others get 400 with `{ code, message }`, larger ones 413; {@link webhookOf} has the event of the rest. Throws
 * a TypeError where the secret or the format cannot be used.
 *
 *     app.register(async (scope) => {
 *       scope.register(webhooks, { secret });
 *       scope.post('/hook', async (request) => { webhookOf(request); });
 *     });
 */
export function webhooks(scope: FastifyScope, options: ReceiverOptions, done: () => void): void {
  const verifier = new Webhook(options.secret, options);
  const bodyLimit = options.maxBytes ?? DEFAULT_MAX_BYTES;
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit }, parseNothing);
  scope.addHook('preHandler', (request, reply, proceed) => {
    const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
    const result = verifier.verify(body, request.headers);
    if (result.ok) {
      setWebhook(request, result.event);
      proceed();
    } else {
      const { status, body: why } = refusalOf(result);
      reply.code(status).send(why);
    }
  });
  done();
}

// What fastify-plugin does: the parser and the hook are for the scope that registers this, not for one below it.
Object.assign(webhooks, { [Symbol.for('skip-override')]: true });

function parseNothing(_request: unknown, body: unknown, done: (error: null, body: unknown) => void): void {
  done(null, body);
}
