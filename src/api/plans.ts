import Type from 'typebox';
import { known } from '../delivery/known.ts';
import { planFeatures, type Plan } from '../model/tenant.ts';
import { pageInMemory, pageQuery } from './page.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';

const tag = 'Plans';
const MAX_COUNT = 1_000_000_000;
const MAX_DAYS = 36_500;
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

const limit = (maximum: number, description: string) => nullable(Type.Integer({ minimum: 0, maximum, description }));

const fields = {
  endpointLimit: limit(MAX_COUNT, 'Webhooks of a tenant at most; null: any number.'),
  eventsPerDay: limit(
    MAX_COUNT,
    'Events a UTC day that are sent at once; those beyond are held until the next. Null: any number.',
  ),
  retentionDays: limit(MAX_DAYS, 'Days for which the history is kept; null: as the instance does, 0: for ever.'),
  features: Type.Array(oneOf(planFeatures), {
    uniqueItems: true,
    description:
      '`webhooks`: to make, change, enable and test webhooks, and to redeliver; `wire_formats`: to choose the wire ' +
      'format of a webhook; `replay`: to send again in bulk.',
  }),
  isDefault: Type.Boolean({ description: 'New tenants get it where none is named; at most one plan is.' }),
};

const PlanContent = Type.Object(
  {
    endpointLimit: Type.Optional(fields.endpointLimit),
    eventsPerDay: Type.Optional(fields.eventsPerDay),
    retentionDays: Type.Optional(fields.retentionDays),
    features: Type.Optional(fields.features),
    isDefault: Type.Optional(fields.isDefault),
  },
  { additionalProperties: false, title: 'PlanContent' },
);

const PlanShown = Type.Object(
  {
    name: Type.String(),
    ...fields,
    createdAt: time('When it was made.'),
    updatedAt: time('When it was last changed.'),
  },
  { title: 'Plan' },
);

export const planRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/plans',
    role: 'operator',
    id: 'listPlans',
    tag,
    summary: 'List plans, by name',
    query: Type.Object(pageQuery),
    answer: {
      status: 200,
      description: 'A page of plans.',
      schema: Type.Object({ plans: Type.Array(PlanShown), nextCursor: nullable(Type.String()) }),
    },
    handle({ api, query }) {
      const { rows, nextCursor } = pageInMemory(api.engine.plans.list(), query, {
        positionOf: ({ name }) => name,
        isPosition: (text) => NAME.test(text),
        isBehind: ({ name }, position) => name > position,
      });
      return { plans: rows.map(planJson), nextCursor };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/plans/:name',
    role: 'operator',
    id: 'getPlan',
    tag,
    summary: 'Get a plan',
    answer: { status: 200, description: 'The plan.', schema: PlanShown },
    errors: ['NOT_FOUND'],
    handle: async ({ api, params }) => planJson(await known(api.engine, () => api.engine.plans.get(params.name))),
  }),
  route({
    method: 'PUT',
    path: '/v1/plans/:name',
    role: 'operator',
    id: 'putPlan',
    tag,
    summary: 'Make or replace a plan',
    description:
      'In force at once for all its tenants. What is not given has its default: no limit, every feature, not the default plan.',
    body: PlanContent,
    example: { endpointLimit: 5, eventsPerDay: 10_000, retentionDays: 7, features: ['webhooks'] },
    answer: { status: 200, description: 'The plan.', schema: PlanShown },
    handle: async ({ api, params, body }) => planJson(await api.engine.plans.put({ name: params.name, ...body })),
  }),
  route({
    method: 'DELETE',
    path: '/v1/plans/:name',
    role: 'operator',
    id: 'deletePlan',
    tag,
    summary: 'Delete a plan that no tenant has',
    answer: { status: 204, description: 'Deleted.' },
    errors: ['NOT_FOUND', 'INVALID_STATE'],
    handle: ({ api, params }) => api.engine.plans.remove(params.name),
  }),
];

function planJson(plan: Plan): Record<string, unknown> {
  return {
    name: plan.name,
    endpointLimit: plan.endpointLimit,
    eventsPerDay: plan.eventsPerDay,
    retentionDays: plan.retentionDays,
    features: plan.features,
    isDefault: plan.isDefault,
    createdAt: formatTime(plan.createdAt),
    updatedAt: formatTime(plan.updatedAt),
  };
}
