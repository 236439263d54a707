import Type from 'typebox';
import { known } from '../delivery/known.ts';
import { notFound } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import { memberRoles, type Member } from '../model/tenant.ts';
import { newestFirst, pageInMemory, pageQuery } from './page.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';

const tag = 'Members';

const role = oneOf(memberRoles, { description: 'What they may do: viewer < member < admin < owner.' });
const name = nullable(Type.String({ description: '1 to 128 characters.' }));
const email = nullable(
  Type.String({ maxLength: 254, description: 'An email address; one member of a tenant has it.' }),
);

const MemberShown = Type.Object(
  {
    id: Type.String({ description: '`mem_…`' }),
    name: nullable(Type.String()),
    email: nullable(Type.String()),
    role: oneOf(memberRoles),
    createdAt: time('When they were added.'),
    updatedAt: time('When they were last changed.'),
  },
  { title: 'Member' },
);

export const memberRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/members',
    role: 'admin',
    id: 'listMembers',
    tag,
    summary: 'List the members of the tenant, newest first',
    query: Type.Object(pageQuery),
    answer: {
      status: 200,
      description: 'A page of members.',
      schema: Type.Object({ members: Type.Array(MemberShown), nextCursor: nullable(Type.String()) }),
    },
    handle({ api, tenantId, query }) {
      const { rows, nextCursor } = pageInMemory(api.people.list(tenantId), query, newestFirst);
      return { members: rows.map(memberJson), nextCursor };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/members',
    role: 'owner',
    id: 'createMember',
    tag,
    summary: 'Add a member',
    description: 'They act with personal keys (`POST /v1/api-keys`) and sessions (`POST /v1/sessions`).',
    body: Type.Object(
      { role, name: Type.Optional(name), email: Type.Optional(email) },
      { additionalProperties: false },
    ),
    example: { role: 'admin', name: 'Ada', email: 'ada@example.com' },
    answer: { status: 201, description: 'Added.', schema: MemberShown },
    errors: ['ALREADY_EXISTS'],
    handle: async ({ api, tenantId, body }) => memberJson(await api.people.create(tenantId, body)),
  }),
  route({
    method: 'GET',
    path: '/v1/members/:id',
    role: 'admin',
    id: 'getMember',
    tag,
    summary: 'Get a member',
    answer: { status: 200, description: 'The member.', schema: MemberShown },
    errors: ['NOT_FOUND'],
    async handle({ api, tenantId, params }) {
      const member = await known(api.engine, () => api.people.find(tenantId, params.id));
      if (!member) throw notFound('member', params.id);
      return memberJson(member);
    },
  }),
  route({
    method: 'PATCH',
    path: '/v1/members/:id',
    role: 'owner',
    id: 'updateMember',
    tag,
    summary: 'Change a member',
    description: 'What is not given stays. A new role counts from the next request of their keys and sessions on.',
    body: Type.Object(
      { role: Type.Optional(role), name: Type.Optional(name), email: Type.Optional(email) },
      { additionalProperties: false },
    ),
    example: { role: 'viewer' },
    answer: { status: 200, description: 'The member.', schema: MemberShown },
    errors: ['NOT_FOUND', 'INVALID_STATE', 'ALREADY_EXISTS'],
    handle: async ({ api, tenantId, params, body }) => memberJson(await api.people.update(tenantId, params.id, body)),
  }),
  route({
    method: 'DELETE',
    path: '/v1/members/:id',
    role: 'owner',
    id: 'deleteMember',
    tag,
    summary: 'Remove a member',
    description: 'Their personal keys and sessions end at once. The last owner stays.',
    answer: { status: 204, description: 'Removed.' },
    errors: ['NOT_FOUND', 'INVALID_STATE'],
    handle: ({ api, tenantId, params }) =>
      api.people.remove(tenantId, params.id, (memberId, now) => {
        api.keys.forgetMember(memberId, now);
      }),
  }),
];

function memberJson(member: Member): Record<string, unknown> {
  return {
    id: prefixes.member + member.id,
    name: member.name,
    email: member.email,
    role: member.role,
    createdAt: formatTime(member.createdAt),
    updatedAt: formatTime(member.updatedAt),
  };
}
