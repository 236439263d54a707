import type { TSchema } from 'typebox';
import { errorTable, type ErrorCode } from '../errors.ts';
import { anchorOf } from './problem.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

const about = [
  'Posthorn sends webhooks: hand it an event and it stores, signs, delivers and retries it.',
  'Every error is `application/problem+json` with a stable `code`; docs/errors.md lists them.',
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
    security: [{ key: [] }],
    paths,
    components: {
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description: 'An API key. Roles: viewer < member < admin < owner < operator.',
        },
      },
      parameters: {
        Tenant: {
          name: 'Posthorn-Tenant',
          in: 'header',
          description: 'The tenant an operator’s key acts for; default `default`. Other keys act for their own.',
          schema: { type: 'string' },
        },
        IdempotencyKey: {
          name: 'Idempotency-Key',
          in: 'header',
          description: 'Makes it safe to repeat: 1 to 255 visible ASCII characters.',
          schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
        },
      },
      headers: { RequestId: { description: 'By which it is found in the log.', schema: { type: 'string' } } },
      responses: Object.fromEntries(codes.map((code) => [code, errorResponse(code)])),
      schemas: { ...Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))), Problem: problemSchema() },
    },
  };
}

/** The errors a route can give, in the order of the table. */
function errorsOf(route: Route): ErrorCode[] {
  const all = new Set<ErrorCode>(route.errors ?? []);
  all.add('INTERNAL');
  if (route.path.includes(':')) all.add('URI_TOO_LONG').add('BAD_REQUEST');
  if (route.query || route.body) all.add('BAD_REQUEST');
  if (route.body) all.add('REQUEST_TIMEOUT').add('PAYLOAD_TOO_LARGE').add('UNSUPPORTED_MEDIA_TYPE');
  if (route.role !== 'public') {
    // A tenant that an operator names may not fit, not exist, or have to be made.
    all
      .add('BAD_REQUEST')
      .add('UNAUTHORIZED')
      .add('FORBIDDEN')
      .add('NOT_FOUND')
      .add('STORE_UNAVAILABLE')
      .add('STORE_FULL');
    if (route.method !== 'GET') all.add('SHUTTING_DOWN');
  }
  return (Object.keys(errorTable) as ErrorCode[]).filter((code) => all.has(code));
}

function operationOf(route: Route, schemas: Map<string, Json>, referredTo: Set<ErrorCode>): Json {
  const { answer } = route;
  const needs = route.role === 'public' ? 'Needs no key.' : `Needs the role \`${route.role}\`.`;
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, needs].filter((text) => text !== undefined).join(' '),
    'x-role': route.role,
    ...(route.role === 'public' ? { security: [] } : {}),
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
          ...Object.fromEntries(
            Object.entries(answer.headers ?? {}).map(([name, description]) => [
              name,
              { description, schema: { type: 'string' } },
            ]),
          ),
        },
        ...(answer.schema === undefined
          ? {}
          : { content: { 'application/json': { schema: schemaOf(answer.schema, schemas) } } }),
      },
      ...errorResponses(errorsOf(route), referredTo),
    },
  };
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

/** Errors of one status share a response, as the document has one place for each; a single one refers to the components. */
function errorResponses(codes: readonly ErrorCode[], referredTo: Set<ErrorCode>): Json {
  const responses: Json = {};
  for (const status of new Set(codes.map((code) => errorTable[code].status))) {
    const same = codes.filter((code) => errorTable[code].status === status);
    if (same.length === 1) {
      referredTo.add(same[0]!);
      responses[status] = { $ref: `#/components/responses/${same[0]}` };
    } else {
      responses[status] = {
        description: same.map((code) => `\`${code}\`: ${errorTable[code].title}.`).join(' '),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      };
    }
  }
  return responses;
}

function errorResponse(code: ErrorCode): Json {
  const { status, title, remedy } = errorTable[code];
  return {
    description: `\`${code}\`: ${title}. ${remedy}`,
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/Problem' },
        example: {
          type: `/errors#${anchorOf(code)}`,
          title,
          status,
          detail: `${title}. ${remedy}`,
          code,
          message: `${title}. ${remedy}`,
          requestId: 'req_01KF0Z7J3TE5XAY2V8N4R6M0QC',
        },
      },
    },
  };
}

function problemSchema(): Json {
  const text = (description: string): Json => ({ type: 'string', description });
  return {
    type: 'object',
    description: 'An error (RFC 9457).',
    required: ['type', 'title', 'status', 'detail', 'code', 'message', 'requestId'],
    properties: {
      type: text('Where it is described: a place in the page of errors.'),
      title: text('The same for every error of this code.'),
      status: { type: 'integer' },
      detail: text('What is wrong with this request, and what to do about it.'),
      code: { type: 'string', enum: Object.keys(errorTable) },
      message: text('As `detail`.'),
      requestId: text('As `x-request-id`.'),
      errors: {
        type: 'array',
        description: 'The fields that are wrong.',
        items: {
          type: 'object',
          required: ['field', 'message'],
          properties: { field: text('`events[0].type`'), message: text('What to do about it.') },
        },
      },
    },
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
