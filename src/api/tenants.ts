import Type from 'typebox';
import { known } from '../delivery/known.ts';
import { notFound } from '../errors.ts';
import { isTenantId, type Tenant } from '../model/tenant.ts';
import { pageInMemory, pageQuery } from './page.ts';
import { route, type Route } from './route.ts';
import { nullable, time, WireFormat } from './schema.ts';
import { formatTime } from './time.ts';

const tag = 'Tenants';

const name = Type.Optional(nullable(Type.String({ maxLength: 256 })));
const wireFormat = Type.Optional(
  Type.Unsafe<string | object | null>({
    ...WireFormat,
    type: ['string', 'object', 'null'],
    description: 'Wire format of new webhooks that choose none; null: the instance’s.',
  }),
);
const plan = Type.Optional(nullable(Type.String({ description: 'Name of a plan; null: no limits, every feature.' })));

const TenantShown = Type.Object(
  {
    id: Type.String(),
    name: nullable(Type.String()),
    wireFormat: Type.Unsafe<string | object | null>({ type: ['string', 'object', 'null'] }),
    plan: nullable(Type.String({ description: 'Name of its plan; null: no limits, every feature.' })),
    createdAt: time('When it was made.'),
  },
  { title: 'Tenant' },
);

export const tenantRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/tenants',
    role: 'operator',
    id: 'listTenants',
    tag,
    summary: 'List tenants, by id',
    query: Type.Object(pageQuery),
    answer: {
      status: 200,
      description: 'A page of tenants.',
      schema: Type.Object({ tenants: Type.Array(TenantShown), nextCursor: nullable(Type.String()) }),
    },
    handle({ api, query }) {
      const all = [...api.engine.tenants.list()].sort((a, b) => (a.id < b.id ? -1 : 1));
      const { rows, nextCursor } = pageInMemory(all, query, {
        positionOf: ({ id }) => id,
        isPosition: isTenantId,
        isBehind: ({ id }, position) => id > position,
      });
      return { tenants: rows.map(tenantJson), nextCursor };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/tenants',
    role: 'operator',
    id: 'createTenant',
    tag,
    summary: 'Make a tenant',
    description: 'Without `plan` it gets the default plan, where there is one.',
    body: Type.Object(
      { id: Type.String({ description: 'Yours to choose: `acme`, a UUID.' }), name, wireFormat, plan },
      { additionalProperties: false },
    ),
    example: { id: 'acme', name: 'Acme Ltd' },
    answer: { status: 201, description: 'Made.', schema: TenantShown },
    errors: ['ALREADY_EXISTS'],
    handle: async ({ api, body }) => tenantJson(await api.engine.tenants.create(body, { mustBeNew: true })),
  }),
  route({
    method: 'GET',
    path: '/v1/tenants/:id',
    role: 'operator',
    id: 'getTenant',
    tag,
    summary: 'Get a tenant',
    answer: { status: 200, description: 'The tenant.', schema: TenantShown },
    errors: ['NOT_FOUND'],
    async handle({ api, params }) {
      const tenant = await known(api.engine, () => api.engine.tenants.find(params.id));
      if (!tenant) throw notFound('tenant', params.id);
      return tenantJson(tenant);
    },
  }),
  route({
    method: 'PATCH',
    path: '/v1/tenants/:id',
    role: 'operator',
    id: 'updateTenant',
    tag,
    summary: 'Change a tenant',
    body: Type.Object({ name, wireFormat, plan }, { additionalProperties: false }),
    example: { wireFormat: 'grantex' },
    answer: { status: 200, description: 'The tenant.', schema: TenantShown },
    errors: ['NOT_FOUND'],
    async handle({ api, params, body }) {
      return tenantJson(await api.engine.tenants.update(params.id, body));
    },
  }),
];

function tenantJson(tenant: Tenant): Record<string, unknown> {
  const { id, name, wireFormat, plan, createdAt } = tenant;
  return { id, name, wireFormat, plan, createdAt: formatTime(createdAt) };
}
