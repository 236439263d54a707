import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Engine } from '../delivery/engine.ts';
import { badField, PosthornError } from '../errors.ts';
import { defaultRetry } from '../model/retry.ts';
import { Access, isRole } from './access.ts';
import { answerClientError } from './client-error.ts';
import { faceOf, pathOf } from './faces/face-of.ts';
import { native } from './faces/native.ts';
import { healthRoutes } from './health.ts';
import { createIngest } from './ingest.ts';
import type { KeyVerifier } from './keys.ts';
import { openApiJson } from './openapi.ts';
import type { People } from './people.ts';
import { newRequestId, sendProblem } from './problem.ts';
import type { RateLimits } from './rate-limits.ts';
import type { ApiContext, Route } from './route.ts';
import { routes } from './routes.ts';
import { serve } from './serve.ts';

export interface ApiOptions {
  engine: Engine;
  /** Loaded, and closed, by the caller. */
  keys: KeyVerifier;
  /** Loaded by the caller. */
  people: People;
  /** Of every route that asks for a key, but the ways of events. */
  rateLimits: RateLimits;
  limits?: {
    /** Largest body, bytes, and so the largest event; default 256 KiB. */
    maxBodyBytes?: number;
    /** From the connection to the end of the headers; default 15 s. */
    headersTimeoutMs?: number;
    /** From the connection to the end of the body; default 30 s. */
    requestTimeoutMs?: number;
  };
  /** Create a tenant the first time an operator names it. */
  createTenants: boolean;
  /** Refuse requests by another Host than localhost: a page in a browser could have its own name lead here. */
  onlyLocalHosts?: boolean;
  version: string;
  /** Where faults go; `false` = nowhere. */
  logger: Logger | false;
  /** True from when the node was asked to stop. */
  isStopping?: () => boolean;
  /** Only the routes of health are served, and all else refused: this node delivers. */
  onlyHealth?: boolean;
  /** The instance's waits between attempts, ms; default that of the model. */
  retryScheduleMs?: readonly number[];
}

const LOCAL_HOST = /^(?:[a-z0-9-]+\.)*localhost(?::\d+)?$|^127(?:\.\d{1,3}){3}(?::\d+)?$|^\[::1\](?::\d+)?$/i;

const MAX_HEADER_BYTES = 16 * 1024;
/** The publisher's own ids go up to 128 characters, each of them three where it is percent-encoded. */
const MAX_PARAM_LENGTH = 512;
/** Longer than load balancers keep theirs, so that it is they who close, and no request meets a closing socket. */
const KEEP_ALIVE_MS = 75_000;
const CLOSE_IDLE_EVERY_MS = 100;

/**
 * The native API and the faces of other products, not yet listening. Every route declares the role it needs: one that
 * does not, also one added later, makes this throw.
 */
export function createApi(options: ApiOptions): FastifyInstance {
  const { engine, keys, people, rateLimits, limits = {}, createTenants, version, logger } = options;
  const { maxBodyBytes = 262_144, headersTimeoutMs = 15_000, requestTimeoutMs = 30_000 } = limits;
  const log = logger === false ? null : logger;
  let document: string | null = null;
  const api: ApiContext = {
    engine,
    keys,
    people,
    maxBodyBytes,
    version,
    retryScheduleMs: options.retryScheduleMs ?? defaultRetry.scheduleMs,
    isStopping: options.isStopping ?? (() => false),
    openApiJson: () => (document ??= openApiJson(routes, version)),
    log,
  };
  const access = new Access({ engine, keys, people, createTenants });

  /** Faults of ours are in the log with the id that the caller was given; refusals only at `debug`. */
  function report(error: unknown, requestId: string): void {
    if (!(error instanceof PosthornError) || error.status === 500)
      log?.error({ err: error, requestId }, 'request.failed');
    else if (error.status > 500) {
      const { code, message, cause } = error;
      const why = cause instanceof Error ? { cause: cause.message } : {};
      log?.warn({ requestId, code, error: message, ...why }, 'request.failed');
    } else if (log?.isLevelEnabled('debug')) {
      const { code, fields, message } = error;
      // What is wrong with a body can quote it, and with it a secret: only where it is wrong goes into the log.
      const what = code === 'BAD_REQUEST' ? { fields: fields.map(({ field }) => field) } : { error: message };
      log.debug({ requestId, code, ...what }, 'request.refused');
    }
  }
  function refuse(cause: unknown, request: FastifyRequest, reply: FastifyReply): void {
    report(cause, request.id);
    void reply.hijack();
    sendProblem(reply.raw, faceOf(pathOf(request.url)).problemOf(cause, request.id));
  }
  function refuseUnknown(request: FastifyRequest, reply: FastifyReply): void {
    if (options.onlyHealth) return refuse(new PosthornError('DELIVERS_ONLY'), request, reply);
    const path = pathOf(request.url);
    const methods = methodsOf(path);
    if (methods.length > 0) reply.raw.setHeader('allow', methods.join(', '));
    refuse(noRoute(request.method, path, methods), request, reply);
  }

  const app = fastify({
    // Fastify's logger makes a child for every request; the API logs what it has to say itself.
    logger: false,
    genReqId: newRequestId,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.min(5_000, headersTimeoutMs / 2),
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => refuse(fromFramework(error), request, reply),
  });
  app.addHook('preClose', (done) => {
    // A close ends the connections that are idle. Those that were being answered then are idle a moment later, and would
    // keep the process for as long as they may.
    if (app.server.listening) {
      const timer = setInterval(() => {
        app.server.closeIdleConnections();
      }, CLOSE_IDLE_EVERY_MS);
      app.server.once('close', () => {
        clearInterval(timer);
      });
    }
    done();
  });
  app.removeAllContentTypeParsers();
  // Bodies are read by body.ts, after the role was checked.
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.setErrorHandler((error, request, reply) => {
    // What is wrong with the body of a request that goes nowhere is not what its sender needs to know.
    if (request.is404) refuseUnknown(request, reply);
    else refuse(fromFramework(error), request, reply);
  });
  app.setNotFoundHandler(refuseUnknown);
  app.addHook('onRoute', ({ method, url, config }) => {
    const { role } = (config ?? {}) as { role?: unknown };
    if (role !== 'public' && !isRole(role)) throw new Error(`The route ${String(method)} ${url} declares no role.`);
  });

  if (options.onlyLocalHosts) {
    app.addHook('onRequest', (request, _reply, done) => {
      if (LOCAL_HOST.test(request.headers.host ?? '')) done();
      else done(new PosthornError('FORBIDDEN', 'This is a development server: it answers requests to localhost only.'));
    });
  }

  for (const route of options.onlyHealth ? healthRoutes : routes) {
    if (route.handle === 'ingest') {
      const ingest = createIngest(api, access, route, report);
      app.route({
        method: route.method,
        url: route.path,
        config: { role: route.role },
        onRequest: (request, reply) => {
          void reply.hijack();
          ingest(request.raw, reply.raw);
        },
        handler: () => undefined,
      });
    } else {
      serve(app, route, api, { access, rateLimits });
    }
  }
  if (options.onlyHealth) return app;
  // Where a face's path is also that of a native route, as `/v1/webhooks/history` is one of `/v1/webhooks/:id`, a method
  // that the face does not take must not fall through to the other's.
  for (const path of new Set(routes.flatMap(({ path, face }) => (face ? [path] : [])))) {
    const taken = new Set(routes.flatMap((route) => (route.path === path ? methodsOfRoute(route) : [])));
    app.route({
      method: methods.filter((method) => !taken.has(method)),
      url: path,
      exposeHeadRoute: false,
      config: { role: 'public' },
      onRequest: refuseUnknown,
      handler: () => undefined,
    });
  }
  return app;
}

/** Fastify's own errors in the words of ours. */
function fromFramework(error: unknown): unknown {
  const { code, statusCode } = (error ?? {}) as { code?: string; statusCode?: number };
  switch (code) {
    case 'FST_ERR_BAD_URL':
      return badField('path', 'is not validly percent-encoded');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new PosthornError('URI_TOO_LONG');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new PosthornError('UNSUPPORTED_MEDIA_TYPE');
    default:
      if (error instanceof PosthornError || statusCode === undefined || statusCode >= 500) return error;
      return new PosthornError('BAD_REQUEST', `The request is not valid: ${(error as Error).message}.`);
  }
}

/** NOT_FOUND, or METHOD_NOT_ALLOWED where the path has other methods. */
function noRoute(method: string, path: string, methods: readonly string[]): PosthornError {
  if (methods.length === 0) {
    return new PosthornError('NOT_FOUND', `There is no path ${JSON.stringify(path.slice(0, 120))}; see /openapi.json.`);
  }
  return new PosthornError('METHOD_NOT_ALLOWED', `${path} does not take ${method}; use ${methods.join(', ')}.`);
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

function methodsOfRoute({ method }: Route): string[] {
  return method === 'GET' ? ['GET', 'HEAD'] : [method];
}

const patterns = routes.map((route) => ({
  route,
  pattern: new RegExp(`^${route.path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`),
}));

/** The methods of a path, among the routes of the face whose path it is. */
function methodsOf(path: string): string[] {
  const face = faceOf(path);
  return patterns.flatMap(({ route, pattern }) =>
    (route.face ?? native) === face && pattern.test(path) ? methodsOfRoute(route) : [],
  );
}

/** True for paths that some route has, whatever the method. */
export function hasPath(path: string): boolean {
  return methodsOf(path).length > 0;
}
