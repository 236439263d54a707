import Type from 'typebox';
import { PosthornError } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import { filterFields, readFilter } from './delivery-filter.ts';
import { Delivery, deliveryJson } from './delivery-json.ts';
import { pageById, pageQuery } from './page.ts';
import { route, type ApiContext, type Route } from './route.ts';
import { nullable } from './schema.ts';

const tag = 'Dead letters';

export const deadLetterRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/dead-letters',
    role: 'viewer',
    scope: 'deliveries:read',
    id: 'listDeadLetters',
    tag,
    summary: 'List dead letters, newest first',
    description: 'Deliveries whose schedule is used up. Every attempt is at `GET /v1/deliveries/:id`.',
    query: Type.Object({
      acknowledged: Type.Optional(Type.Boolean({ description: 'Only those that somebody acknowledged, or nobody.' })),
      ...filterFields,
      ...pageQuery,
    }),
    answer: {
      status: 200,
      description: 'A page of dead letters.',
      schema: Type.Object({ deadLetters: Type.Array(Delivery), nextCursor: nullable(Type.String()) }),
    },
    async handle({ api, tenantId, query }) {
      const filter = await readFilter(api.engine, tenantId, query);
      if (filter === null) return { deadLetters: [], nextCursor: null };
      filter.status = ['dead_letter'];
      if (query.acknowledged !== undefined) filter.acknowledged = query.acknowledged;
      const { rows, nextCursor } = await pageById(query, (page) => api.engine.deliveries.list(filter, page));
      return { deadLetters: rows.map(deliveryJson), nextCursor };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/dead-letters/:id/retry',
    role: 'member',
    scope: 'deliveries:write',
    id: 'retryDeadLetter',
    tag,
    summary: 'Send a dead letter again',
    answer: { status: 202, description: 'It is on its way.', schema: Delivery },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED'],
    async handle({ api, tenantId, params }) {
      await requireDeadLetter(api, tenantId, params.id);
      return deliveryJson(await api.engine.deliveries.redeliver(tenantId, params.id));
    },
  }),
  route({
    method: 'POST',
    path: '/v1/dead-letters/:id/acknowledge',
    role: 'admin',
    scope: 'deliveries:write',
    id: 'acknowledgeDeadLetter',
    tag,
    summary: 'Mark a dead letter as seen',
    answer: { status: 200, description: 'The dead letter.', schema: Delivery },
    errors: ['NOT_FOUND', 'INVALID_STATE'],
    async handle({ api, tenantId, params }) {
      return deliveryJson(await api.engine.deliveries.acknowledge(tenantId, params.id));
    },
  }),
];

/** Redelivery takes delivered ones too; here they are no dead letters. */
async function requireDeadLetter(api: ApiContext, tenantId: string, id: string): Promise<void> {
  const { delivery } = await api.engine.deliveries.get(tenantId, id);
  if (delivery.status === 'dead_letter') return;
  throw new PosthornError(
    'INVALID_STATE',
    `The delivery is "${delivery.status}", not a dead letter. ` +
      `POST /v1/deliveries/${prefixes.delivery}${delivery.id}/redeliver sends others again.`,
  );
}
