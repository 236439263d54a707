import Type from 'typebox';
import { deliveryStatuses } from '../model/delivery.ts';
import { filterFields, readFilter, readStatuses } from './delivery-filter.ts';
import { attemptJson, Delivery, DeliveryDetail, deliveryJson } from './delivery-json.ts';
import { pageById, pageQuery } from './page.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf } from './schema.ts';

const tag = 'Deliveries';

const Statuses = Type.Unsafe<string | string[]>({
  type: ['string', 'array'],
  items: { type: 'string' },
  description: `One, several with commas between, or a list: ${deliveryStatuses.join(', ')}.`,
  'x-rule': `must be among ${deliveryStatuses.join(', ')}`,
});

export const deliveryRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/deliveries',
    role: 'viewer',
    scope: 'deliveries:read',
    id: 'listDeliveries',
    tag,
    summary: 'List deliveries, newest first',
    query: Type.Object({
      status: Type.Optional(
        Type.Array(oneOf(deliveryStatuses), { description: 'Only in these; repeat it or put commas between.' }),
      ),
      ...filterFields,
      ...pageQuery,
    }),
    answer: {
      status: 200,
      description: 'A page of deliveries.',
      schema: Type.Object({ deliveries: Type.Array(Delivery), nextCursor: nullable(Type.String()) }),
    },
    async handle({ api, tenantId, query }) {
      const filter = await readFilter(api.engine, tenantId, query);
      if (filter === null) return { deliveries: [], nextCursor: null };
      if (query.status !== undefined) filter.status = query.status;
      const { rows, nextCursor } = await pageById(query, (page) => api.engine.deliveries.list(filter, page));
      return { deliveries: rows.map(deliveryJson), nextCursor };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/deliveries/:id',
    role: 'viewer',
    scope: 'deliveries:read',
    id: 'getDelivery',
    tag,
    summary: 'Get a delivery with every attempt',
    description: 'By the id of the delivery (`whd_…`) or of one of its attempts (`att_…`).',
    answer: { status: 200, description: 'The delivery.', schema: DeliveryDetail },
    errors: ['NOT_FOUND'],
    async handle({ api, tenantId, principal, params }) {
      const { delivery, attempts, endpoint } = await api.engine.deliveries.get(tenantId, params.id);
      const isOperator = principal.role === 'operator';
      return {
        ...deliveryJson(delivery),
        url: endpoint?.url ?? null,
        attemptLog: attempts.map((attempt) => attemptJson(attempt, isOperator)),
      };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/deliveries/:id/redeliver',
    role: 'member',
    scope: 'deliveries:write',
    id: 'redeliver',
    tag,
    summary: 'Send a delivery again',
    description: 'The original bytes, signed anew; the attempt number goes on and the schedule begins anew.',
    answer: { status: 202, description: 'It is on its way.', schema: Delivery },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED', 'PLAN_LIMIT_EXCEEDED'],
    async handle({ api, tenantId, params }) {
      return deliveryJson(await api.engine.deliveries.redeliver(tenantId, params.id));
    },
  }),
  route({
    method: 'POST',
    path: '/v1/deliveries/redeliver',
    role: 'member',
    scope: 'deliveries:write',
    id: 'redeliverMany',
    tag,
    summary: 'Send all deliveries again that a filter matches',
    description: 'Goes on by itself after the answer. Without a status, dead letters are sent again.',
    body: Type.Object(
      {
        status: Type.Optional(Statuses),
        ...filterFields,
        dryRun: Type.Optional(Type.Boolean({ default: false, description: 'Only count what matches.' })),
        ratePerSecond: Type.Optional(
          nullable(Type.Integer({ minimum: 1, maximum: 10_000, description: 'At most so many a second.' })),
        ),
      },
      { additionalProperties: false },
    ),
    example: { status: 'dead_letter', type: 'order.paid', from: '2026-01-31T12:00:00Z', ratePerSecond: 50 },
    answer: {
      status: 202,
      description: 'How many there are.',
      schema: Type.Object({ deliveries: Type.Integer(), dryRun: Type.Boolean() }),
    },
    errors: ['PLAN_FEATURE_REQUIRED'],
    async handle({ api, tenantId, body }) {
      const { dryRun = false, ratePerSecond = null } = body;
      const filter = await readFilter(api.engine, tenantId, body);
      const status = readStatuses(body.status);
      if (filter === null) return { deliveries: 0, dryRun };
      if (status !== undefined) filter.status = status;
      const { deliveries } = await api.engine.deliveries.redeliverAll(filter, { dryRun, ratePerSecond });
      return { deliveries, dryRun };
    },
  }),
];
