import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PosthornError } from '../errors.ts';
import type { Access, Permit } from './access.ts';
import { collectBody, parseBody } from './body.ts';
import { JSON_CONTENT_TYPE } from './ingest.ts';
import { readQuery, type RawQuery } from './query.ts';
import { JsonText, type ApiContext, type Call, type Route } from './route.ts';
import { validate } from './validate.ts';

const nobody: Permit = { principal: { keyId: null, role: 'viewer', tenantId: null }, tenantId: '' };

/** Serves one route with Fastify: key and role first, then query and body, then the handler. */
export function serve(app: FastifyInstance, route: Route, api: ApiContext, access: Access): void {
  const { role } = route;
  const permits = new WeakMap<FastifyRequest, Permit>();
  app.route({
    method: route.method,
    url: route.path,
    config: { role },
    onRequest: async (request) => {
      if (role === 'public') return;
      permits.set(request, await access.permit(request.raw.headers, role));
      if (route.method !== 'GET' && api.isStopping()) throw new PosthornError('SHUTTING_DOWN');
    },
    handler: async (request, reply) => {
      const { principal, tenantId } = permits.get(request) ?? nobody;
      const query = readQuery(route.query, request.query as RawQuery);
      const { text, body } = await readBody(route, api, request);
      const replyHeaders: Record<string, string> = {};
      const call: Call = {
        api,
        principal,
        tenantId,
        params: request.params as Record<string, string>,
        query,
        body,
        text,
        idempotencyKey: request.headers['idempotency-key'] as string | undefined,
        replyHeaders,
      };
      const value = await (route.handle as (call: Call) => unknown)(call);
      const { status, schema } = route.answer;
      reply.code(status).headers({ ...replyHeaders, 'x-request-id': request.id, 'cache-control': 'no-store' });
      if (api.log?.isLevelEnabled('debug')) {
        const { keyId } = principal;
        api.log.debug(
          { requestId: request.id, operation: route.id, tenant: tenantId, key: keyId, status },
          'request.done',
        );
      }
      if (schema === undefined) return reply.send();
      return reply.type(JSON_CONTENT_TYPE).send(value instanceof JsonText ? value.text : JSON.stringify(value));
    },
  });
}

async function readBody(
  route: Route,
  api: ApiContext,
  request: FastifyRequest,
): Promise<{ text: string; body: unknown }> {
  if (route.body === undefined) return { text: '', body: undefined };
  const text = await new Promise<string>((resolve, reject) => {
    collectBody(request.raw, api.maxBodyBytes * (route.bodies ?? 1), (error, whole) => {
      if (error === null) resolve(whole);
      else reject(error);
    });
  });
  if (text === '' && route.bodyIsOptional) return { text, body: {} };
  const body = parseBody(text);
  if (!route.checksBodyItself) validate(route.body, body, 'body', text.length);
  return { text, body };
}
