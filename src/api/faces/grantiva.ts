import { randomUUID } from 'node:crypto';
import Type from 'typebox';
import type { EndpointInput } from '../../delivery/engine.ts';
import { known } from '../../delivery/known.ts';
import { beginningOf } from '../delivery-json.ts';
import { badField, notFound } from '../../errors.ts';
import { JsonText, route, type Route } from '../route.ts';
import { grantiva } from './grantiva-face.ts';
import {
  Delivery,
  deliveryJson,
  retriedJson,
  Webhook,
  webhookJson,
  webhooksText,
  WebhookWithSecret,
} from './grantiva-json.ts';

const tag = 'Grantiva';
const MAX_PER = 100;
const DEFAULT_PER = 20;
/** Rows that a page passes over at most: the store walks past each of them. Also how far the total is counted. */
const MAX_ROWS = 100_000;
const TEST_EVENT = 'attestation.completed';

const events = Type.Array(Type.String(), {
  minItems: 1,
  maxItems: 256,
  description: 'Event types of the catalogue.',
  'x-item': 'event type',
});
const text = Type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 1024 });

const TestResult = Type.Object(
  {
    success: Type.Boolean({ description: 'The receiver answered 2xx.' }),
    httpStatus: Type.Unsafe<number | null>({ type: ['integer', 'null'] }),
    responseBody: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'Its first 200 characters.' }),
    latencyMs: Type.Integer(),
    error: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: '`HTTP <status>`, or why there is no response.',
    }),
  },
  { title: 'GrantivaTestResult' },
);

/** `/api/v1/org/webhooks`: endpoints of an organisation, as its admins see them. */
export const grantivaRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/org/webhooks',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:read',
    id: 'grantivaListWebhooks',
    tag,
    summary: 'List webhooks, newest first',
    answer: { status: 200, description: 'All of them.', schema: Type.Array(Webhook) },
    handle: ({ api, tenantId }) => new JsonText(webhooksText(api.engine.endpoints.list(tenantId))),
  }),
  route({
    method: 'POST',
    path: '/api/v1/org/webhooks',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:write',
    id: 'grantivaCreateWebhook',
    tag,
    summary: 'Make a webhook',
    description: 'The answer shows the signing secret, this once. Unknown fields are ignored.',
    body: Type.Object(
      { url: Type.String({ description: 'An https URL.' }), events, description: Type.Optional(text) },
      { title: 'GrantivaWebhookCreate' },
    ),
    example: { url: 'https://example.com/hook', events: ['attestation.completed', 'device_blocked'] },
    takesIdempotencyKey: true,
    answer: {
      status: 201,
      description: 'Made.',
      schema: WebhookWithSecret,
      headers: { 'Idempotency-Replayed': '`true` where the key was used before: nothing was made again.' },
    },
    errors: ['PLAN_LIMIT_EXCEEDED', 'PLAN_FEATURE_REQUIRED', 'IDEMPOTENCY_CONFLICT'],
    async handle({ api, tenantId, body, idempotencyKey, replyHeaders }) {
      const { url, description } = body;
      const { endpoint, secret, replayed } = await api.engine.endpoints.create(
        tenantId,
        { url, events: body.events, description: description ?? null },
        { wireFormat: grantiva.name, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) },
      );
      if (replayed) replyHeaders['idempotency-replayed'] = 'true';
      const { updatedAt: _, ...shown } = webhookJson(endpoint);
      return { ...shown, secret };
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/org/webhooks/:id',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:read',
    id: 'grantivaGetWebhook',
    tag,
    summary: 'Get a webhook',
    answer: { status: 200, description: 'The webhook, without its secret.', schema: Webhook },
    errors: ['NOT_FOUND'],
    handle: async ({ api, tenantId, params }) =>
      webhookJson(await known(api.engine, () => api.engine.endpoints.get(tenantId, params.id))),
  }),
  route({
    method: 'PATCH',
    path: '/api/v1/org/webhooks/:id',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:write',
    id: 'grantivaUpdateWebhook',
    tag,
    summary: 'Change a webhook',
    description: 'What is absent or null stays. Unknown fields are ignored.',
    body: Type.Object(
      {
        isActive: Type.Optional(Type.Unsafe<boolean | null>({ type: ['boolean', 'null'] })),
        events: Type.Optional(Type.Unsafe<string[] | null>({ ...events, type: ['array', 'null'] })),
        description: Type.Optional(text),
      },
      { title: 'GrantivaWebhookUpdate' },
    ),
    example: { isActive: false },
    answer: { status: 200, description: 'The webhook, without its secret.', schema: Webhook },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED'],
    async handle({ api, tenantId, params, body }) {
      const patch: Partial<EndpointInput> = {};
      if (body.isActive != null) patch.isActive = body.isActive;
      if (body.events != null) patch.events = body.events;
      if (body.description != null) patch.description = body.description;
      return webhookJson(await api.engine.endpoints.update(tenantId, params.id, patch));
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/v1/org/webhooks/:id',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:delete',
    id: 'grantivaDeleteWebhook',
    tag,
    summary: 'Delete a webhook',
    description: 'What is on the wire is not tried again.',
    answer: { status: 204, description: 'Deleted.' },
    errors: ['NOT_FOUND'],
    handle: ({ api, tenantId, params }) => api.engine.endpoints.remove(tenantId, params.id),
  }),
  route({
    method: 'POST',
    path: '/api/v1/org/webhooks/:id/test',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:test',
    id: 'grantivaTestWebhook',
    tag,
    summary: 'Send a test delivery now',
    description: `Signed like any other; not tried again and not kept. A made-up \`${TEST_EVENT}\` whose data says \`is_test\`.`,
    answer: { status: 200, description: 'What came of it.', schema: TestResult },
    errors: ['NOT_FOUND', 'PLAN_FEATURE_REQUIRED', 'TOO_MANY_REQUESTS'],
    async handle({ api, tenantId, params }) {
      const { statusCode, failure, responseBody, succeeded, durationMs } = await api.engine.endpoints.test(
        tenantId,
        params.id,
        { type: TEST_EVENT, data: testData(), deliveryUuid: `test-${randomUUID()}` },
      );
      return {
        success: succeeded,
        httpStatus: statusCode,
        responseBody: beginningOf(responseBody),
        latencyMs: Math.round(durationMs),
        error: succeeded ? null : (failure ?? `HTTP ${statusCode}`),
      };
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/org/webhooks/:id/deliveries',
    face: grantiva,
    role: 'viewer',
    scope: 'webhooks:read',
    id: 'grantivaListDeliveries',
    tag,
    summary: 'List the deliveries of a webhook, newest first',
    query: Type.Object({
      page: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
      per: Type.Optional(
        Type.Integer({ minimum: 1, default: DEFAULT_PER, description: `More than ${MAX_PER} counts as ${MAX_PER}.` }),
      ),
    }),
    answer: {
      status: 200,
      description: 'A page of deliveries.',
      schema: Type.Object({
        items: Type.Array(Delivery),
        metadata: Type.Object({
          page: Type.Integer(),
          per: Type.Integer(),
          total: Type.Integer({ description: 'All of them, counted up to 100,000.' }),
        }),
      }),
    },
    errors: ['NOT_FOUND'],
    async handle({ api, tenantId, params, query }) {
      const { deliveries } = api.engine;
      const endpoint = await known(api.engine, () => api.engine.endpoints.get(tenantId, params.id));
      const { page = 1 } = query;
      const per = Math.min(query.per ?? DEFAULT_PER, MAX_PER);
      const offset = (page - 1) * per;
      if (offset > MAX_ROWS) throw badField('page', `goes no further than ${MAX_ROWS} deliveries`);
      const filter = { tenantId, endpointId: endpoint.id };
      const [rows, total] = await Promise.all([
        deliveries.list(filter, { limit: per, before: null, offset, withLastAttempt: true }),
        deliveries.count(filter, MAX_ROWS),
      ]);
      const items = rows.map((row) => deliveryJson(row, row.lastAttempt ?? undefined));
      return { items, metadata: { page, per, total } };
    },
  }),
  route({
    method: 'POST',
    path: '/api/v1/org/webhooks/:id/deliveries/:deliveryId/retry',
    face: grantiva,
    role: 'admin',
    scope: 'webhooks:write',
    id: 'grantivaRetryDelivery',
    tag,
    summary: 'Send a delivery again',
    description:
      'The original payload, with all attempts to go. The answer shows it as it starts; what comes of it is in the list.',
    answer: { status: 200, description: 'The delivery, reset.', schema: Delivery },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED', 'PLAN_LIMIT_EXCEEDED'],
    async handle({ api, tenantId, params }) {
      const { deliveries, endpoints } = api.engine;
      const endpoint = await known(api.engine, () => endpoints.get(tenantId, params.id));
      const { delivery } = await deliveries.get(tenantId, params.deliveryId);
      if (delivery.endpointId !== endpoint.id) throw notFound('delivery', params.deliveryId);
      return retriedJson(await deliveries.redeliver(tenantId, params.deliveryId));
    },
  }),
];

/** Every value a string, as the contract has it. */
function testData(): string {
  const id = randomUUID();
  return JSON.stringify({
    key_id: `test_key_${id.slice(0, 8)}`,
    device_id: `test_device_${id.slice(0, 8)}`,
    device_model: 'iPhone16,2',
    bundle_id: 'com.example.app',
    risk_score: '5',
    attestation_id: id,
    is_test: 'true',
  });
}
