import Type from 'typebox';
import { publicEventId } from '../delivery/message.ts';
import { badField } from '../errors.ts';
import type { Event } from '../model/event.ts';
import { elementSpans, memberSpans } from '../model/json.ts';
import { tooLarge } from './body.ts';
import { endpointIdOf, readRange } from './delivery-filter.ts';
import { Delivery, deliveryJson } from './delivery-json.ts';
import { publishedJson } from './ingest.ts';
import { pageById, pageQuery } from './page.ts';
import { PublishRequest, readPublish, withIdempotencyKey } from './publish-request.ts';
import { JsonText, route, type Call, type Route } from './route.ts';
import { DeliveryCount, nullable, time, timeRange } from './schema.ts';
import { formatTime } from './time.ts';
import { unknownName } from './validate.ts';

const tag = 'Events';
const MAX_BATCH = 1000;
/** A batch's body, in multiples of the largest event. */
const BATCH_BODIES = 4;

const summary = {
  id: Type.String({ description: 'The publisher’s own id, or `evt_…`.' }),
  type: Type.String(),
  occurredAt: time('When it happened.'),
  category: nullable(Type.String()),
  group: nullable(Type.String()),
  source: nullable(Type.String()),
  createdAt: time('When it was accepted.'),
};

const Event = Type.Object(summary, { title: 'Event' });
const EventDetail = Type.Object(
  {
    ...summary,
    data: Type.Unknown({ description: 'The payload, byte for byte as it came; null once it is past its retention.' }),
    deliveries: Type.Array(Delivery, { description: 'The newest 1,000.' }),
  },
  { title: 'EventDetail' },
);
const Published = Type.Object(
  { id: Type.String(), deliveries: Type.Integer({ description: 'Webhooks it goes to.' }) },
  { title: 'Published' },
);

export const eventRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/events',
    role: 'member',
    scope: 'events:write',
    id: 'publishEvent',
    tag,
    summary: 'Send an event',
    description:
      'Answers once the event and its deliveries are durable. With an `Idempotency-Key` or an own `id` it is safe to ' +
      'repeat: the same body gets the same answer again and the header `Idempotency-Replayed: true`.',
    body: PublishRequest,
    takesIdempotencyKey: true,
    example: { type: 'grant.created', data: { grantId: 'grnt_01', scopes: ['calendar:read'] } },
    answer: {
      status: 202,
      description: 'Accepted.',
      schema: Published,
      headers: { 'Idempotency-Replayed': '`true` where it was accepted before.' },
    },
    errors: ['IDEMPOTENCY_CONFLICT', 'UNKNOWN_EVENT_TYPE', 'INVALID_EVENT_DATA', 'OVERLOADED'],
    handle: 'ingest',
  }),
  route({
    method: 'POST',
    path: '/v1/events/batch',
    role: 'member',
    scope: 'events:write',
    id: 'publishEvents',
    tag,
    summary: 'Send up to 1,000 events, all or none',
    description:
      `The body may be ${BATCH_BODIES} times as large as that of one event. With an \`Idempotency-Key\`, an event ` +
      'without a key of its own has that one and its place in the batch.',
    body: Type.Object(
      { events: Type.Array(PublishRequest, { minItems: 1, maxItems: MAX_BATCH }) },
      { additionalProperties: false },
    ),
    checksBodyItself: true,
    bodies: BATCH_BODIES,
    takesIdempotencyKey: true,
    example: { events: [{ type: 'order.created', data: { orderId: 'o-1' }, id: 'order-1-created' }] },
    answer: {
      status: 202,
      description: 'Accepted, in the order given.',
      schema: Type.Object({ events: Type.Array(Published) }),
      headers: { 'Idempotency-Replayed': '`true` where all were accepted before.' },
    },
    errors: ['IDEMPOTENCY_CONFLICT', 'UNKNOWN_EVENT_TYPE', 'INVALID_EVENT_DATA', 'OVERLOADED'],
    handle: publishBatch,
  }),
  route({
    method: 'GET',
    path: '/v1/events',
    role: 'viewer',
    scope: 'events:read',
    id: 'listEvents',
    tag,
    summary: 'List events, newest first',
    description: 'Without their data, which `GET /v1/events/:id` shows.',
    query: Type.Object({
      type: Type.Optional(Type.String({ maxLength: 128, description: 'Only of this type.' })),
      group: Type.Optional(Type.String({ maxLength: 256, description: 'Only of this group.' })),
      ...timeRange,
      ...pageQuery,
    }),
    answer: {
      status: 200,
      description: 'A page of events.',
      schema: Type.Object({ events: Type.Array(Event), nextCursor: nullable(Type.String()) }),
    },
    async handle({ api, tenantId, query }) {
      const { type, group } = query;
      const filter = {
        tenantId,
        ...(type === undefined ? {} : { type }),
        ...(group === undefined ? {} : { group }),
        ...readRange(query),
      };
      const { rows, nextCursor } = await pageById(query, (page) => api.engine.events.list(filter, page));
      return { events: rows.map(eventJson), nextCursor };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/events/:id',
    role: 'viewer',
    scope: 'events:read',
    id: 'getEvent',
    tag,
    summary: 'Get an event with its deliveries',
    answer: { status: 200, description: 'The event.', schema: EventDetail },
    errors: ['NOT_FOUND'],
    async handle({ api, tenantId, params }) {
      const event = await api.engine.events.get(tenantId, params.id);
      const rows = await api.engine.events.deliveries(tenantId, event.id);
      const deliveries = JSON.stringify(rows.map(deliveryJson));
      return new JsonText(
        `${JSON.stringify(eventJson(event)).slice(0, -1)},"data":${event.data || 'null'},"deliveries":${deliveries}}`,
      );
    },
  }),
  route({
    method: 'POST',
    path: '/v1/events/:id/replay',
    role: 'member',
    scope: 'deliveries:write',
    id: 'replayEvent',
    tag,
    summary: 'Send an event again',
    description: 'To all webhooks that got it or match it now, or to one of them.',
    body: Type.Object(
      { webhookId: Type.Optional(Type.String({ maxLength: 128, description: 'Only to this webhook.' })) },
      { additionalProperties: false },
    ),
    bodyIsOptional: true,
    answer: { status: 202, description: 'On their way.', schema: DeliveryCount },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED'],
    async handle({ api, tenantId, params, body }) {
      if (body.webhookId === undefined) return api.engine.events.replay(tenantId, params.id);
      const endpointId = await endpointIdOf(api.engine, tenantId, body.webhookId);
      return api.engine.events.replay(tenantId, params.id, { endpointId });
    },
  }),
];

async function publishBatch({
  api,
  tenantId,
  body,
  text,
  idempotencyKey,
  replyHeaders,
}: Call<unknown>): Promise<JsonText> {
  const elements = readEnvelope(body);
  const spans = elementSpans(text, memberSpans(text, 0).get('events')![0]);
  const inputs = elements.map((element, i) => {
    const [start, end] = spans[i]!;
    // One character is three bytes at most, so most are never measured.
    if ((end - start) * 3 > api.maxBodyBytes && Buffer.byteLength(text.slice(start, end)) > api.maxBodyBytes) {
      throw tooLarge(`events[${i}]`, api.maxBodyBytes);
    }
    const input = readPublish(element, text, start, `events[${i}]`);
    if (idempotencyKey === undefined || input.idempotencyKey !== null) return input;
    withIdempotencyKey(input, idempotencyKey);
    // A line break is in no key that came by itself. The same key with a larger or smaller batch is a conflict.
    return { ...input, idempotencyKey: `${idempotencyKey}\n${i}`, idempotencyScope: `batch of ${elements.length}` };
  });
  const published = await api.engine.publishBatch(tenantId, inputs);
  if (published.every(({ duplicate }) => duplicate)) replyHeaders['idempotency-replayed'] = 'true';
  return new JsonText(`{"events":[${published.map(publishedJson).join(',')}]}`);
}

function readEnvelope(body: unknown): unknown[] {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badField('body', 'must be an object like {"events":[{"type":"order.created","data":{}}]}');
  }
  const { events } = body as { events?: unknown };
  const stranger = Object.keys(body).find((name) => name !== 'events');
  if (stranger !== undefined) throw badField(stranger, unknownName(stranger, ['events']));
  if (!Array.isArray(events)) throw badField('events', 'must be a list of events');
  if (events.length === 0) throw badField('events', 'must have at least one event');
  if (events.length > MAX_BATCH) throw badField('events', `must have at most ${MAX_BATCH} events`);
  return events as unknown[];
}

function eventJson(event: Event): Record<string, unknown> {
  return {
    id: publicEventId(event),
    type: event.type,
    occurredAt: formatTime(event.occurredAt),
    category: event.category,
    group: event.group,
    source: event.source,
    createdAt: formatTime(event.createdAt),
  };
}
