import Type from 'typebox';
import { known } from '../delivery/known.ts';
import { badField } from '../errors.ts';
import { deliveryStatuses, type DeliveryStatus } from '../model/delivery.ts';
import type { Attempt, AttemptDetail } from '../model/attempt.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { attemptId, prefixes } from '../model/id.ts';
import type { DeliveryFilter, DeliveryRow } from '../store/store.ts';
import { beginningOf, Delivery, deliveryJson } from './delivery-json.ts';
import { pageById, pageQuery } from './page.ts';
import { route, type ApiContext } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';

const DEFAULT_PAGE_SIZE = 20;
const MAX_PAGE_SIZE = 100;
/** Rows that a page by number passes over at most: the store walks past each of them. */
const MAX_OFFSET = 100_000;

/** What a state is called in the contract. */
const word: Record<DeliveryStatus, 'pending' | 'delivered' | 'failed'> = {
  pending: 'pending',
  sending: 'pending',
  held: 'pending',
  delivered: 'delivered',
  dead_letter: 'failed',
  cancelled: 'failed',
};

const statesOf = (called: 'pending' | 'failed'): DeliveryStatus[] =>
  deliveryStatuses.filter((status) => word[status] === called);

/** What a filter asks for: the contract's words stand for several states each; the others for themselves. */
const wanted: Record<string, readonly DeliveryStatus[]> = {
  ...Object.fromEntries(deliveryStatuses.map((status) => [status, [status]])),
  pending: statesOf('pending'),
  failed: statesOf('failed'),
};

const WebhookDelivery = Type.Object(
  {
    ...Delivery.properties,
    status: oneOf(['pending', 'delivered', 'failed'], { description: 'In the words of the Grantex contract.' }),
    state: oneOf(deliveryStatuses, { description: 'Its status exactly; see docs/state-machine.md.' }),
    url: Type.String({ description: 'Where the webhook is now.' }),
    maxAttempts: Type.Integer({ description: 'Attempts after which it is a dead letter.' }),
    deliveredAt: nullable(time('When it was delivered.')),
    lastAttempt: nullable(
      Type.Object({
        id: Type.String({ description: '`att_…`' }),
        number: Type.Integer({ description: 'From 1, over the delivery’s whole life.' }),
        startedAt: time('When the exchange began.'),
        durationMs: Type.Number(),
        statusCode: nullable(Type.Integer({ description: 'HTTP status; null where no response arrived.' })),
        failure: nullable(Type.String({ description: 'Why there is no complete response.' })),
        responseBody: nullable(Type.String({ description: 'Its first 200 characters.' })),
      }),
    ),
  },
  { title: 'WebhookDelivery' },
);

/** Pages by number, as the Grantex contract has it, or by cursor, as every other list. */
export const listWebhookDeliveries = route({
  method: 'GET',
  path: '/v1/webhooks/:id/deliveries',
  role: 'viewer',
  scope: 'webhooks:read',
  id: 'listWebhookDeliveries',
  tag: 'Webhooks',
  summary: 'List the deliveries of a webhook, newest first',
  description:
    'By page number (`page`, `pageSize`), or by cursor (`limit`, `cursor`), which stays exact while new ones come. ' +
    '`status=pending` has those that are not at an end, `status=failed` those that ended without being delivered.',
  query: Type.Object({
    status: Type.Optional(
      oneOf(Object.keys(wanted).sort(), { description: '`pending`, `delivered`, `failed`, or one status exactly.' }),
    ),
    page: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
    pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE, default: DEFAULT_PAGE_SIZE })),
    ...pageQuery,
  }),
  answer: {
    status: 200,
    description: 'A page of deliveries.',
    schema: Type.Object({
      deliveries: Type.Array(WebhookDelivery),
      total: Type.Integer({ description: 'All that match, counted up to 100,000.' }),
      page: Type.Integer(),
      pageSize: Type.Integer(),
      nextCursor: nullable(Type.String()),
    }),
  },
  errors: ['NOT_FOUND'],
  async handle({ api, tenantId, params, query }) {
    const endpoint = await known(api.engine, () => api.engine.endpoints.get(tenantId, params.id));
    const filter: DeliveryFilter = { tenantId, endpointId: endpoint.id };
    if (query.status !== undefined) filter.status = wanted[query.status]!;
    const byCursor = query.limit !== undefined || query.cursor !== undefined;
    if (byCursor && (query.page !== undefined || query.pageSize !== undefined)) {
      throw badField('page', 'goes with "pageSize", not with "limit" and "cursor"; choose one way to page');
    }
    const page = query.page ?? 1;
    const limit = query.limit ?? (byCursor ? undefined : (query.pageSize ?? DEFAULT_PAGE_SIZE));
    const offset = byCursor || limit === undefined ? 0 : (page - 1) * limit;
    if (offset > MAX_OFFSET) throw badField('page', `goes no further than ${MAX_OFFSET} deliveries; use "cursor"`);
    const [{ rows, nextCursor }, total] = await Promise.all([
      pageById({ ...query, ...(limit === undefined ? {} : { limit }) }, (rowsOf) =>
        api.engine.deliveries.list(filter, { ...rowsOf, offset, withLastAttempt: true }),
      ),
      api.engine.deliveries.count(filter, MAX_OFFSET),
    ]);
    const deliveries = rows.map((row) => webhookDeliveryJson(row, endpoint, api));
    return { deliveries, total, page, pageSize: limit ?? rows.length, nextCursor };
  },
});

function webhookDeliveryJson(row: DeliveryRow, endpoint: Endpoint, api: ApiContext): Record<string, unknown> {
  const delivery = deliveryJson(row);
  const schedule = endpoint.retryScheduleMs ?? api.retryScheduleMs;
  return {
    ...delivery,
    status: word[row.status],
    state: row.status,
    url: endpoint.url,
    maxAttempts: row.scheduleStart + schedule.length + 1,
    deliveredAt: row.status === 'delivered' ? delivery.endedAt : null,
    lastAttempt: row.lastAttempt ? lastAttemptJson(row.lastAttempt) : null,
  };
}

function lastAttemptJson(attempt: Attempt): Record<string, unknown> {
  const { responseBody = null } = JSON.parse(attempt.detail) as AttemptDetail;
  return {
    id: prefixes.attempt + attemptId(attempt.deliveryId, attempt.number),
    number: attempt.number,
    startedAt: formatTime(attempt.startedAt),
    durationMs: attempt.durationMs,
    statusCode: attempt.statusCode,
    failure: attempt.failure,
    responseBody: beginningOf(responseBody),
  };
}
