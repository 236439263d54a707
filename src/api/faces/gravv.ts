import Type, { type TSchema } from 'typebox';
import { deliveryRequest } from '../../delivery/delivery-request.ts';
import { EventMessage } from '../../delivery/message.ts';
import { badField, notFound } from '../../errors.ts';
import type { DeliveryFilter } from '../../store/store.ts';
import { JsonText, route, type Route } from '../route.ts';
import { oneOf, time } from '../schema.ts';
import { parseTime } from '../time.ts';
import { gravv } from './gravv-face.ts';
import {
  Call,
  callJson,
  Detail,
  detailJson,
  History,
  Sent,
  sentJson,
  statuses,
  statusWords,
  summaryJson,
} from './gravv-json.ts';

const tag = 'Gravv';
const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 100;
/** Rows that a page passes over at most: the store walks past each of them. Also how far the total is counted. */
const MAX_ROWS = 100_000;

/** Every answer is `{data, error}`. */
function enveloped(data: TSchema): TSchema {
  return Type.Object({ data, error: Type.Null() });
}

/** The history of what was sent, with the header `Api-Key`. */
export const gravvRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/webhooks/history',
    face: gravv,
    role: 'viewer',
    scope: 'deliveries:read',
    id: 'gravvHistory',
    tag,
    summary: 'List what was sent, newest first',
    query: Type.Object({
      transaction_id: Type.Optional(Type.String({ maxLength: 512, description: 'Only events of this group.' })),
      event_type: Type.Optional(Type.String({ maxLength: 128, description: 'Only events of this type.' })),
      status: Type.Optional(oneOf(statusWords)),
      start_date: Type.Optional(time('Only from this time on.')),
      end_date: Type.Optional(time('Only up to this time, itself included.')),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT })),
      page: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
    }),
    answer: { status: 200, description: 'A page of deliveries.', schema: enveloped(History) },
    async handle({ api, tenantId, query }) {
      const { deliveries } = api.engine;
      const { page = 1, limit = DEFAULT_LIMIT } = query;
      const offset = (page - 1) * limit;
      if (offset > MAX_ROWS) throw badField('page', `goes no further than ${MAX_ROWS} deliveries; narrow the dates`);
      const from = query.start_date === undefined ? null : parseTime(query.start_date)!;
      const to = query.end_date === undefined ? null : parseTime(query.end_date)!;
      if (from !== null && to !== null && from > to) throw badField('start_date', 'must not be after "end_date"');
      const filter: DeliveryFilter = {
        tenantId,
        ...(query.transaction_id === undefined ? {} : { group: query.transaction_id }),
        ...(query.event_type === undefined ? {} : { eventType: query.event_type }),
        ...(query.status === undefined ? {} : statuses[query.status]),
        ...(from === null ? {} : { from }),
        ...(to === null ? {} : { to: to + 1 }),
      };
      const [rows, total] = await Promise.all([
        deliveries.list(filter, { limit, before: null, offset, withLastAttempt: true }),
        deliveries.count(filter, MAX_ROWS),
      ]);
      const items = rows.map((row) => summaryJson(row, row.lastAttempt ?? undefined));
      const pages = Math.ceil(total / limit);
      return { data: { items, items_per_page: limit, page, total_items: total, total_pages: pages }, error: null };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/webhooks/event/:id',
    face: gravv,
    role: 'viewer',
    scope: 'deliveries:read',
    id: 'gravvEvent',
    tag,
    summary: 'Get one of them with its payload and its newest attempt',
    description: 'The signature is not among the headers: it is made anew at every attempt.',
    answer: { status: 200, description: 'The delivery.', schema: enveloped(Detail) },
    errors: ['NOT_FOUND'],
    async handle({ api, tenantId, params }) {
      const { delivery, attempts, endpoint, event } = await api.engine.deliveries.get(tenantId, params.id);
      if (!endpoint) throw notFound('delivery', params.id);
      const newest = attempts.at(-1);
      const request = deliveryRequest(delivery, endpoint, event, newest?.startedAt ?? Date.now());
      const detail = detailJson(delivery, newest, {
        eventId: new EventMessage(event).uuid,
        requestHeaders: request.headers,
        retries: (endpoint.retryScheduleMs ?? api.retryScheduleMs).length,
      });
      const text = JSON.stringify(detail);
      return new JsonText(`{"data":${text.slice(0, -1)},"payload":${request.body ?? 'null'}},"error":null}`);
    },
  }),
  route({
    method: 'GET',
    path: '/v1/webhooks/calls/:id',
    face: gravv,
    role: 'viewer',
    scope: 'deliveries:read',
    id: 'gravvCalls',
    tag,
    summary: 'List every attempt of one of them',
    answer: { status: 200, description: 'Its attempts, in their order.', schema: enveloped(Type.Array(Call)) },
    errors: ['NOT_FOUND'],
    async handle({ api, tenantId, params }) {
      const { delivery, attempts } = await api.engine.deliveries.get(tenantId, params.id);
      return { data: attempts.map((attempt) => callJson(delivery, attempt)), error: null };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/webhooks/event/send/:id',
    face: gravv,
    role: 'member',
    scope: 'deliveries:write',
    id: 'gravvSend',
    tag,
    summary: 'Send one of them again, now',
    description: 'Answers when the receiver did.',
    answer: { status: 200, description: 'What came of it.', schema: enveloped(Sent) },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED', 'PLAN_LIMIT_EXCEEDED'],
    async handle({ api, tenantId, params }) {
      const { delivery, attempt } = await api.engine.deliveries.sendNow(tenantId, params.id);
      return { data: sentJson(delivery, attempt), error: null };
    },
  }),
];
