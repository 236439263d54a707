import Type, { type Static } from 'typebox';
import type { EventTypeVerbs } from '../delivery/engine.ts';
import { known } from '../delivery/known.ts';
import { isEventType } from '../model/event.ts';
import type { EventType } from '../model/tenant.ts';
import { pageInMemory, pageQuery } from './page.ts';
import { route, type ApiContext, type Route } from './route.ts';
import { nullable, time } from './schema.ts';
import { formatTime } from './time.ts';

const tag = 'Event types';

const content = {
  description: Type.Optional(nullable(Type.String({ maxLength: 4096 }))),
  schema: Type.Optional(
    Type.Unsafe<object | null>({
      type: ['object', 'null'],
      description: 'JSON Schema (draft 2020-12) that `data` must match; null takes anything.',
    }),
  ),
  examples: Type.Optional(
    Type.Array(Type.Unknown(), { maxItems: 20, description: 'Payloads; each must match the schema.' }),
  ),
  isArchived: Type.Optional(Type.Boolean({ description: 'True refuses new events of this type.' })),
};

const EventTypeContent = Type.Object(content, { additionalProperties: false, title: 'EventTypeContent' });
const EventTypeCreate = Type.Object(
  { name: Type.String({ description: '`order.created`' }), ...content },
  { additionalProperties: false, title: 'EventTypeCreate' },
);

const EventTypeShown = Type.Object(
  {
    name: Type.String(),
    description: nullable(Type.String()),
    schema: Type.Unsafe<object | null>({ type: ['object', 'null'] }),
    examples: Type.Array(Type.Unknown()),
    isArchived: Type.Boolean(),
    createdAt: time('When it was registered.'),
    updatedAt: time('When it was last changed.'),
  },
  { title: 'EventType' },
);

const example = {
  description: 'An order was paid.',
  schema: { type: 'object', required: ['orderId'], properties: { orderId: { type: 'string' } } },
  examples: [{ orderId: 'o-1' }],
};

export const eventTypeRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/event-types',
    role: 'viewer',
    scope: 'event-types:read',
    id: 'listEventTypes',
    tag,
    summary: 'List the catalogue, by name',
    query: Type.Object(pageQuery),
    answer: {
      status: 200,
      description: 'A page of event types.',
      schema: Type.Object({ eventTypes: Type.Array(EventTypeShown), nextCursor: nullable(Type.String()) }),
    },
    handle({ api, query }) {
      const { rows, nextCursor } = pageInMemory(api.engine.eventTypes.list(), query, {
        positionOf: ({ name }) => name,
        isPosition: isEventType,
        isBehind: ({ name }, position) => name > position,
      });
      return { eventTypes: rows.map(eventTypeJson), nextCursor };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/event-types',
    role: 'operator',
    scope: 'event-types:write',
    id: 'createEventType',
    tag,
    summary: 'Register an event type',
    body: EventTypeCreate,
    example: { name: 'order.paid', ...example },
    answer: { status: 201, description: 'Registered.', schema: EventTypeShown },
    errors: ['ALREADY_EXISTS'],
    handle: ({ api, body }) => put(api, body.name, body, { mustBeNew: true }),
  }),
  route({
    method: 'GET',
    path: '/v1/event-types/:name',
    role: 'viewer',
    scope: 'event-types:read',
    id: 'getEventType',
    tag,
    summary: 'Get an event type',
    answer: { status: 200, description: 'The event type.', schema: EventTypeShown },
    errors: ['NOT_FOUND'],
    handle: async ({ api, params }) =>
      eventTypeJson(await known(api.engine, () => api.engine.eventTypes.get(params.name))),
  }),
  route({
    method: 'PUT',
    path: '/v1/event-types/:name',
    role: 'operator',
    scope: 'event-types:write',
    id: 'putEventType',
    tag,
    summary: 'Register or replace an event type',
    description: 'What is not given has its default: this replaces the whole.',
    body: EventTypeContent,
    example,
    answer: { status: 200, description: 'The event type.', schema: EventTypeShown },
    handle: ({ api, params, body }) => put(api, params.name, body, { mustBeNew: false }),
  }),
  route({
    method: 'DELETE',
    path: '/v1/event-types/:name',
    role: 'operator',
    scope: 'event-types:write',
    id: 'deleteEventType',
    tag,
    summary: 'Take an event type out of the catalogue',
    description: 'Events of it stay as they are.',
    answer: { status: 204, description: 'Gone.' },
    errors: ['NOT_FOUND'],
    handle: ({ api, params }) => api.engine.eventTypes.remove(params.name),
  }),
];

async function put(
  api: ApiContext,
  name: string,
  body: Static<typeof EventTypeContent>,
  options: { mustBeNew: boolean },
): Promise<object> {
  const { description, schema, examples, isArchived } = body;
  const input: Parameters<EventTypeVerbs['put']>[0] = { name };
  if (description !== undefined) input.description = description;
  if (schema !== undefined) input.schema = schema;
  if (examples !== undefined) input.examples = examples;
  if (isArchived !== undefined) input.isArchived = isArchived;
  return eventTypeJson(await api.engine.eventTypes.put(input, options));
}

function eventTypeJson(type: EventType): Record<string, unknown> {
  return {
    name: type.name,
    description: type.description,
    schema: type.schema,
    examples: type.examples,
    isArchived: type.isArchived,
    createdAt: formatTime(type.createdAt),
    updatedAt: formatTime(type.updatedAt),
  };
}
