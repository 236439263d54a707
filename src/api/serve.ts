import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PosthornError } from '../errors.ts';
import type { Access, Permit } from './access.ts';
import { collectBody, parseBody } from './body.ts';
import type { Face } from './face.ts';
import { native } from './faces/native.ts';
import { JSON_CONTENT_TYPE } from './ingest.ts';
import type { Principal } from './principal.ts';
import { readQuery, type RawQuery } from './query.ts';
import type { RateLimits } from './rate-limits.ts';
import { HtmlText, JsonText, type ApiContext, type Call, type Route } from './route.ts';
import { validate } from './validate.ts';

const HTML_CONTENT_TYPE = 'text/html; charset=utf-8';
/** The ways of events: these are limited by what the store takes, and by the tenant's plan. */
const uncounted = new Set(['/v1/events', '/v1/events/batch']);

const nobody: Permit = {
  principal: { keyId: null, memberId: null, role: 'viewer', tenantId: null, scopes: null, wireFormat: null },
  tenantId: '',
};

/** Serves one route with Fastify: key and role first, then query and body, then the handler. */
export function serve(
  app: FastifyInstance,
  route: Route,
  api: ApiContext,
  { access, rateLimits }: { access: Access; rateLimits: RateLimits },
): void {
  const { role } = route;
  const face = route.face ?? native;
  const permits = new WeakMap<FastifyRequest, Permit>();
  app.route({
    method: route.method,
    url: route.path,
    config: { role },
    onRequest: async (request, reply) => {
      if (role === 'public') return;
      const permit = await access.permit(request.raw.headers, route, face.credentials, request.raw, (principal) => {
        if (isCounted(route)) count(rateLimits, principal, face, reply);
      });
      permits.set(request, permit);
      if (route.method !== 'GET' && api.isStopping()) throw new PosthornError('SHUTTING_DOWN');
    },
    handler: async (request, reply) => {
      const { principal, tenantId } = permits.get(request) ?? nobody;
      const query = readQuery(route.query, queryOf(route, request.query as RawQuery));
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
        request: request.raw,
        replyHeaders,
      };
      const value = await (route.handle as (call: Call) => unknown)(call);
      const { status } = route.answer;
      reply.code(status).headers({ ...replyHeaders, 'x-request-id': request.id, 'cache-control': 'no-store' });
      if (api.log?.isLevelEnabled('debug')) {
        const { keyId } = principal;
        api.log.debug(
          { requestId: request.id, operation: route.id, tenant: tenantId, key: keyId, status },
          'request.done',
        );
      }
      if (value instanceof HtmlText) return reply.type(HTML_CONTENT_TYPE).send(value.text);
      if (route.answer.schema === undefined) return reply.send();
      return reply.type(JSON_CONTENT_TYPE).send(value instanceof JsonText ? value.text : JSON.stringify(value));
    },
  });
}

/** Whether its requests are limited by the minute. */
export function isCounted({ method, path, role }: Route): boolean {
  return role !== 'public' && !(method === 'POST' && uncounted.has(path));
}

/** Counts a request of a key, or of a session, and says in the answer's headers where that leaves it. */
function count(rateLimits: RateLimits, { keyId, memberId }: Principal, face: Face, reply: FastifyReply): void {
  try {
    const taken = rateLimits.take(keyId ?? memberId ?? 'settings');
    if (taken === null) return;
    const reset = face.rateLimitReset === 'unix' ? taken.resetAtUnix : taken.resetSeconds;
    limitHeaders(reply, taken.limit, taken.remaining, reset);
  } catch (error) {
    const seconds = (error as PosthornError).retryAfterSeconds ?? 1;
    // The seconds are rounded up, and a minute ends with a whole one: the sum is its end exactly.
    const reset = face.rateLimitReset === 'unix' ? Math.floor(Date.now() / 1000) + seconds : seconds;
    limitHeaders(reply, rateLimits.perMinute, 0, reset);
    throw error;
  }
}

/** On the raw response, so that the answer has them whoever writes it. */
function limitHeaders(reply: FastifyReply, limit: number, remaining: number, reset: number): void {
  reply.raw.setHeader('x-ratelimit-limit', limit);
  reply.raw.setHeader('x-ratelimit-remaining', remaining);
  reply.raw.setHeader('x-ratelimit-reset', reset);
}

/** Clients of another product may send what that product ignores: its faces ignore what they do not know. */
function queryOf({ face, query }: Route, raw: RawQuery): RawQuery {
  if (face === undefined) return raw;
  const known = query?.properties ?? {};
  return Object.fromEntries(Object.entries(raw).filter(([name]) => Object.hasOwn(known, name)));
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
