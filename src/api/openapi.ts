import type { TSchema } from 'typebox';
import { errorTable, PosthornError, type ErrorCode } from '../errors.ts';
import type { Face } from './face.ts';
import { native } from './faces/native.ts';
import type { Route } from './route.ts';
import { isCounted } from './serve.ts';

type Json = Record<string, unknown>;

const about = [
  'Posthorn sends webhooks: hand it an event and it stores, signs, delivers and retries it.',
  'Every error is `application/problem+json` with a stable `code`, which `/errors` explains; the routes that clients of',
  'other products use answer as those products do.',
  'Every answer has an `x-request-id`, by which it is found in the log.',
].join(' ');

/** The OpenAPI 3.1 document of the routes, as text. */
export function openApiJson(routes: readonly Route[], version: string): string {
  return JSON.stringify(openApiDocument(routes, version));
}

/** The OpenAPI 3.1 document of the routes. Schemas that have a title become components of that name. */
export function openApiDocument(routes: readonly Route[], version: string): Json {
  const schemas = new Map<string, Json>();
  const paths: Record<string, Json> = {};
  const referredTo = new Set<ErrorCode>();
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    (paths[path] ??= {})[route.method.toLowerCase()] = operationOf(route, schemas, referredTo);
  }
  const codes = (Object.keys(errorTable) as ErrorCode[]).filter((code) => referredTo.has(code));
  return {
    openapi: '3.1.0',
    info: {
      title: 'Posthorn',
      version,
      description: about,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:3001', description: 'As `npm start` listens.' }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    security: securityOf(native),
    paths,
    components: {
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An API key. Roles: viewer < member < admin < owner < operator. A key with scopes may do what its role and ' +
            'one of its scopes allow.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'posthorn_session',
          description:
            'The session of a member (`POST /v1/sessions`); `__Host-posthorn_session` over https. Where there is an ' +
            '`Authorization` header, that counts.',
        },
        apiKey: { type: 'apiKey', in: 'header', name: 'Api-Key', description: 'The same API keys.' },
      },
      parameters: {
        Tenant: {
          name: 'Posthorn-Tenant',
          in: 'header',
          description: 'The tenant an operator’s key acts for; default `default`. Other keys act for their own.',
          schema: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$' },
        },
        IdempotencyKey: {
          name: 'Idempotency-Key',
          in: 'header',
          description: 'Makes it safe to repeat: 1 to 255 visible ASCII characters.',
          schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
        },
      },
      headers: {
        RequestId: { description: 'By which it is found in the log.', schema: { type: 'string' } },
        RateLimit: { description: 'Requests a minute that are allowed.', schema: { type: 'integer' } },
        RateLimitRemaining: { description: 'Those left of this minute.', schema: { type: 'integer' } },
        RateLimitReset: {
          description: 'Seconds until the next minute begins; on paths under `/api/v1/org` that moment as a unix time.',
          schema: { type: 'integer' },
        },
      },
      responses: Object.fromEntries(codes.map((code) => [code, errorResponse(code, schemas)])),
      schemas: Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

/** The errors a route can give, in the order of the table. */
function errorsOf(route: Route): ErrorCode[] {
  const all = new Set<ErrorCode>(route.errors ?? []);
  // A query parameter that is not known is a fault everywhere.
  all.add('INTERNAL').add('BAD_REQUEST');
  if (route.path.includes(':')) all.add('URI_TOO_LONG');
  if (route.body) all.add('REQUEST_TIMEOUT').add('PAYLOAD_TOO_LARGE').add('UNSUPPORTED_MEDIA_TYPE');
  if (route.role !== 'public') {
    // A tenant that an operator names may not fit, not exist, or have to be made.
    all.add('UNAUTHORIZED').add('FORBIDDEN').add('NOT_FOUND').add('STORE_UNAVAILABLE').add('STORE_FULL');
    if (route.method !== 'GET') all.add('SHUTTING_DOWN');
    if (isCounted(route)) all.add('TOO_MANY_REQUESTS');
  }
  return (Object.keys(errorTable) as ErrorCode[]).filter((code) => all.has(code));
}

function operationOf(route: Route, schemas: Map<string, Json>, referredTo: Set<ErrorCode>): Json {
  const { answer, face = native } = route;
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, needsOf(route)].filter((text) => text !== undefined).join(' '),
    'x-role': route.role,
    ...(route.scope === undefined ? {} : { 'x-scope': route.scope }),
    ...(route.role === 'public' ? { security: [] } : face === native ? {} : { security: securityOf(face) }),
    parameters: parametersOf(route, schemas),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: route.bodyIsOptional !== true,
            content: {
              'application/json': {
                schema: schemaOf(route.body, schemas),
                ...(route.example === undefined ? {} : { example: route.example }),
              },
            },
          },
        }),
    responses: {
      [answer.status]: {
        description: answer.description,
        headers: {
          'x-request-id': { $ref: '#/components/headers/RequestId' },
          ...(isCounted(route) ? limitHeaders : {}),
          ...Object.fromEntries(
            Object.entries(answer.headers ?? {}).map(([name, description]) => [
              name,
              { description, schema: { type: 'string' } },
            ]),
          ),
        },
        ...contentOf(answer, schemas),
      },
      ...errorResponses(errorsOf(route), face, schemas, referredTo),
    },
  };
}

const limitHeaders = {
  'x-ratelimit-limit': { $ref: '#/components/headers/RateLimit' },
  'x-ratelimit-remaining': { $ref: '#/components/headers/RateLimitRemaining' },
  'x-ratelimit-reset': { $ref: '#/components/headers/RateLimitReset' },
};

function needsOf({ role, scope }: Route): string {
  if (role === 'public') return 'Needs no key.';
  if (scope === undefined) return `Needs the role \`${role}\` and a key without scopes.`;
  return `Needs the role \`${role}\`, and of keys with scopes \`${scope}\`.`;
}

function securityOf({ credentials }: Face): Json[] {
  return credentials === 'bearer' ? [{ key: [] }, { session: [] }] : [{ apiKey: [] }];
}

function contentOf({ schema, isHtml }: Route['answer'], schemas: Map<string, Json>): Json {
  if (isHtml === true) return { content: { 'text/html': { schema: { type: 'string' } } } };
  return schema === undefined ? {} : { content: { 'application/json': { schema: schemaOf(schema, schemas) } } };
}

function parametersOf(route: Route, schemas: Map<string, Json>): Json[] {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries((route.query?.properties ?? {}) as Record<string, TSchema>).map(([name, schema]) => {
    const { description, ...rest } = schemaOf(schema, schemas);
    return { name, in: 'query', ...(description === undefined ? {} : { description }), schema: rest };
  });
  const headers: Json[] = [];
  if (route.takesIdempotencyKey) headers.push({ $ref: '#/components/parameters/IdempotencyKey' });
  if (route.role !== 'public') headers.push({ $ref: '#/components/parameters/Tenant' });
  return [...inPath, ...inQuery, ...headers];
}

/**
 * Errors of one status share a response, as the document has one place for each; a single one of the native face refers
 * to the components.
 */
function errorResponses(
  codes: readonly ErrorCode[],
  { errors }: Face,
  schemas: Map<string, Json>,
  referredTo: Set<ErrorCode>,
): Json {
  const responses: Json = {};
  for (const status of new Set(codes.flatMap((code) => errors.statusesOf(code)))) {
    const same = codes.filter((code) => errors.statusesOf(code).includes(status));
    if (same.length === 1 && errors === native.errors) {
      referredTo.add(same[0]!);
      responses[status] = { $ref: `#/components/responses/${same[0]}` };
    } else {
      responses[status] = {
        description: same.map((code) => `\`${code}\`: ${errorTable[code].title}.`).join(' '),
        content: { [errors.contentType]: { schema: schemaOf(errors.schema, schemas) } },
      };
    }
  }
  return responses;
}

/** As the native face answers. */
function errorResponse(code: ErrorCode, schemas: Map<string, Json>): Json {
  const { title, remedy } = errorTable[code];
  const { body } = native.problemOf(new PosthornError(code), 'req_01KF0Z7J3TE5XAY2V8N4R6M0QC');
  const { contentType, schema } = native.errors;
  return {
    description: `\`${code}\`: ${title}. ${remedy}`,
    content: { [contentType]: { schema: schemaOf(schema, schemas), example: JSON.parse(body) as Json } },
  };
}

/** A schema as plain JSON, with what has a title moved to the components. */
function schemaOf(schema: unknown, schemas: Map<string, Json>): Json {
  return moveTitled(JSON.parse(JSON.stringify(schema)), schemas) as Json;
}

function moveTitled(value: unknown, schemas: Map<string, Json>): unknown {
  if (Array.isArray(value)) return value.map((element) => moveTitled(element, schemas));
  if (typeof value !== 'object' || value === null) return value;
  const moved = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, moveTitled(member, schemas)]));
  const { title, ...schema } = moved;
  if (typeof title !== 'string') return moved;
  const before = schemas.get(title);
  if (before !== undefined && JSON.stringify(before) !== JSON.stringify(schema)) {
    throw new Error(`Two schemas have the title ${title}.`);
  }
  schemas.set(title, schema);
  return { $ref: `#/components/schemas/${title}` };
}
