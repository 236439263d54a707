import Type from 'typebox';
import type { EndpointInput } from '../delivery/engine.ts';
import { known } from '../delivery/known.ts';
import { deliveryStatuses } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { memberSpans } from '../model/json.ts';
import { readRange, readStatuses } from './delivery-filter.ts';
import { newestMadeFirst, pageInMemory, pageQuery } from './page.ts';
import { route, type ApiContext, type Route } from './route.ts';
import { DeliveryCount, duration, nullable, oneOf, time, timeRange } from './schema.ts';
import { formatTime } from './time.ts';
import { listWebhookDeliveries } from './webhook-deliveries.ts';
import { importWebhooks } from './webhook-import.ts';
import {
  durationMs,
  endpointInput,
  Webhook,
  WebhookCreate,
  webhookJson,
  WebhookUpdate,
  WebhookWithSecret,
} from './webhook-json.ts';

const tag = 'Webhooks';
/** Clients of the Grantex contract take this list for the whole, so it is as long as can be where no limit is given. */
const DEFAULT_LIMIT = 1000;

const TestResult = Type.Object(
  {
    succeeded: Type.Boolean(),
    statusCode: nullable(Type.Integer()),
    failure: nullable(
      Type.String({ description: 'Why there is no complete response: `connect_refused`, `timeout`, …' }),
    ),
    responseBody: nullable(Type.String()),
    durationMs: Type.Number(),
  },
  { title: 'TestResult' },
);

const Stats = Type.Object(
  {
    hours: Type.Integer({ description: 'How far it looks back.' }),
    deliveries: Type.Record(Type.String(), Type.Integer(), {
      description: `How many are in each status: ${deliveryStatuses.join(', ')}.`,
    }),
    durationMsP50: nullable(Type.Number()),
    durationMsP99: nullable(Type.Number()),
    successRate: nullable(Type.Number({ minimum: 0, maximum: 1, description: 'Of the newest 1,000 attempts.' })),
  },
  { title: 'WebhookStats' },
);

export const webhookRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/webhooks',
    role: 'admin',
    scope: 'webhooks:write',
    id: 'createWebhook',
    tag,
    summary: 'Make a webhook',
    description:
      'The answer shows the signing secret, this once. With an `Idempotency-Key`, kept for 24 hours, it is safe to ' +
      'repeat: the same body gets the same webhook with its secret and the header `Idempotency-Replayed: true`. ' +
      'Unknown fields are ignored.',
    body: WebhookCreate,
    takesIdempotencyKey: true,
    example: { url: 'https://example.com/hook', events: ['grant.created', 'grant.revoked'] },
    answer: {
      status: 201,
      description: 'Made.',
      schema: WebhookWithSecret,
      headers: { 'Idempotency-Replayed': '`true` where it was made before.' },
    },
    errors: ['PLAN_LIMIT_EXCEEDED', 'PLAN_FEATURE_REQUIRED', 'IDEMPOTENCY_CONFLICT'],
    async handle({ api, tenantId, principal, body, idempotencyKey, replyHeaders }) {
      const { endpoints } = api.engine;
      const input = endpointInput(body) as EndpointInput;
      const options = { idempotencyKey: idempotencyKey ?? null, keyFormat: principal.wireFormat };
      const { endpoint, secret, replayed } = await endpoints.create(tenantId, input, options);
      if (replayed) replyHeaders['idempotency-replayed'] = 'true';
      return { ...shown(api, endpoint), secret };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/webhooks',
    role: 'viewer',
    scope: 'webhooks:read',
    id: 'listWebhooks',
    tag,
    summary: 'List webhooks, newest first',
    description: 'Up to 1,000 where no `limit` is given.',
    query: Type.Object(pageQuery),
    answer: {
      status: 200,
      description: 'A page of webhooks.',
      schema: Type.Object({ webhooks: Type.Array(Webhook), nextCursor: nullable(Type.String()) }),
    },
    handle({ api, tenantId, query }) {
      const all = api.engine.endpoints.list(tenantId);
      const { rows, nextCursor } = pageInMemory(all, query, { ...newestMadeFirst, defaultLimit: DEFAULT_LIMIT });
      return { webhooks: rows.map((endpoint) => shown(api, endpoint)), nextCursor };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/webhooks/:id',
    role: 'viewer',
    scope: 'webhooks:read',
    id: 'getWebhook',
    tag,
    summary: 'Get a webhook',
    answer: { status: 200, description: 'The webhook, without its secret.', schema: Webhook },
    errors: ['NOT_FOUND'],
    handle: async ({ api, tenantId, params }) =>
      shown(api, await known(api.engine, () => api.engine.endpoints.get(tenantId, params.id))),
  }),
  route({
    method: 'PATCH',
    path: '/v1/webhooks/:id',
    role: 'admin',
    scope: 'webhooks:write',
    id: 'updateWebhook',
    tag,
    summary: 'Change a webhook',
    description:
      'What is not given stays. A new `secret` takes the place of all before it; to rotate with a grace period, use `rotate-secret`.',
    body: WebhookUpdate,
    example: { events: ['grant.*'], isActive: true },
    answer: { status: 200, description: 'The webhook, without its secret.', schema: Webhook },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED'],
    async handle({ api, tenantId, params, body }) {
      return shown(api, await api.engine.endpoints.update(tenantId, params.id, endpointInput(body)));
    },
  }),
  route({
    method: 'DELETE',
    path: '/v1/webhooks/:id',
    role: 'admin',
    scope: 'webhooks:delete',
    id: 'deleteWebhook',
    tag,
    summary: 'Delete a webhook',
    description: 'What waits is cancelled, what is on the wire is not tried again; the history stays.',
    answer: { status: 204, description: 'Deleted.' },
    errors: ['NOT_FOUND'],
    handle: ({ api, tenantId, params }) => api.engine.endpoints.remove(tenantId, params.id),
  }),
  route({
    method: 'POST',
    path: '/v1/webhooks/:id/test',
    role: 'member',
    scope: 'webhooks:test',
    id: 'testWebhook',
    tag,
    summary: 'Send a test delivery now',
    description: 'Signed like any other; not tried again and not kept. Answers when the receiver did.',
    body: Type.Object(
      {
        type: Type.Optional(
          Type.String({
            pattern: '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$',
            maxLength: 128,
            description: 'Event type; default the first of the webhook.',
            'x-rule': 'must be an event type like "order.created"',
          }),
        ),
        data: Type.Optional(Type.Unknown({ description: 'Payload; default one that says it is a test.' })),
      },
      { additionalProperties: false },
    ),
    bodyIsOptional: true,
    example: { type: 'order.created', data: { orderId: 'o-1' } },
    answer: { status: 200, description: 'What came of it.', schema: TestResult },
    errors: ['NOT_FOUND', 'PLAN_FEATURE_REQUIRED', 'TOO_MANY_REQUESTS'],
    handle({ api, tenantId, params, body, text }) {
      const span = text === '' ? undefined : memberSpans(text, 0).get('data');
      return api.engine.endpoints.test(tenantId, params.id, {
        ...(body.type === undefined ? {} : { type: body.type }),
        ...(span === undefined ? {} : { data: text.slice(...span) }),
      });
    },
  }),
  route({
    method: 'POST',
    path: '/v1/webhooks/:id/rotate-secret',
    role: 'admin',
    scope: 'webhooks:write',
    id: 'rotateSecret',
    tag,
    summary: 'Give a webhook a new signing secret',
    description: 'Both secrets sign until the grace period ends. The answer shows the new one, this once.',
    body: Type.Object(
      {
        gracePeriod: Type.Optional(duration('How long the old secret signs too: 0s to 7d, default 24h.')),
        secret: Type.Optional(nullable(Type.String({ description: 'One of your own; else one is made.' }))),
      },
      { additionalProperties: false },
    ),
    bodyIsOptional: true,
    example: { gracePeriod: '48h' },
    answer: { status: 200, description: 'The webhook with its new secret.', schema: WebhookWithSecret },
    errors: ['NOT_FOUND', 'INVALID_STATE'],
    async handle({ api, tenantId, params, body }) {
      const { endpoint, secret } = await api.engine.endpoints.rotateSecret(tenantId, params.id, {
        ...(body.gracePeriod === undefined ? {} : { graceMs: durationMs(body.gracePeriod, 'gracePeriod') }),
        ...(body.secret === undefined ? {} : { secret: body.secret }),
      });
      return { ...shown(api, endpoint), secret };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/webhooks/:id/enable',
    role: 'admin',
    scope: 'webhooks:write',
    id: 'enableWebhook',
    tag,
    summary: 'Enable a webhook',
    description: 'What was held goes on its way. Does nothing where it is enabled.',
    answer: { status: 200, description: 'The webhook.', schema: Webhook },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED'],
    async handle({ api, tenantId, params }) {
      return shown(api, await api.engine.endpoints.enable(tenantId, params.id));
    },
  }),
  route({
    method: 'POST',
    path: '/v1/webhooks/:id/disable',
    role: 'admin',
    scope: 'webhooks:write',
    id: 'disableWebhook',
    tag,
    summary: 'Disable a webhook',
    description: 'Its deliveries are held, not dropped. Does nothing where it is disabled.',
    answer: { status: 200, description: 'The webhook.', schema: Webhook },
    errors: ['NOT_FOUND', 'INVALID_STATE'],
    async handle({ api, tenantId, params }) {
      return shown(api, await api.engine.endpoints.disable(tenantId, params.id));
    },
  }),
  route({
    method: 'POST',
    path: '/v1/webhooks/:id/replay',
    role: 'member',
    scope: 'deliveries:write',
    id: 'replayWebhook',
    tag,
    summary: 'Send again what a webhook did not get',
    description:
      'Its dead letters and what is held, of a time range, or the statuses named. Goes on by itself after the answer.',
    body: Type.Object(
      { status: Type.Optional(Type.Array(oneOf(deliveryStatuses), { minItems: 1, 'x-item': 'status' })), ...timeRange },
      { additionalProperties: false },
    ),
    bodyIsOptional: true,
    example: { from: '2026-01-31T12:00:00Z' },
    answer: { status: 202, description: 'On their way.', schema: DeliveryCount },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'PLAN_FEATURE_REQUIRED'],
    handle({ api, tenantId, params, body }) {
      const status = readStatuses(body.status);
      return api.engine.endpoints.replay(tenantId, params.id, {
        ...readRange(body),
        ...(status === undefined ? {} : { status }),
      });
    },
  }),
  listWebhookDeliveries,
  route({
    method: 'GET',
    path: '/v1/webhooks/:id/public-keys',
    role: 'public',
    id: 'listPublicKeys',
    tag,
    summary: 'The public keys of a webhook',
    description:
      'For its receiver to verify with, where it signs with ed25519; newest first, empty where it signs with HMAC.',
    answer: {
      status: 200,
      description: 'Its keys.',
      schema: Type.Object({
        publicKeys: Type.Array(
          Type.Object(
            {
              key: Type.String({ description: '`whpk_…`' }),
              createdAt: time('When it was made.'),
              expiresAt: nullable(time('Until when it signs; null for the present one.')),
            },
            { title: 'PublicKey' },
          ),
        ),
      }),
    },
    errors: ['NOT_FOUND'],
    async handle({ api, params }) {
      const keys = await known(api.engine, () => api.engine.endpoints.publicKeys(params.id));
      const publicKeys = keys.map(({ key, createdAt, expiresAt }) => ({
        key,
        createdAt: formatTime(createdAt),
        expiresAt: formatTime(expiresAt),
      }));
      return { publicKeys };
    },
  }),
  importWebhooks,
  route({
    method: 'GET',
    path: '/v1/webhooks/:id/stats',
    role: 'viewer',
    scope: 'webhooks:read',
    id: 'getWebhookStats',
    tag,
    summary: 'How a webhook fared in the last 24 hours',
    answer: { status: 200, description: 'Its numbers.', schema: Stats },
    errors: ['NOT_FOUND'],
    handle: ({ api, tenantId, params }) => api.engine.endpoints.stats(tenantId, params.id),
  }),
];

function shown(api: ApiContext, endpoint: Endpoint): Record<string, unknown> {
  return webhookJson(endpoint, api.engine.endpoints);
}
