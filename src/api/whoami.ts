import Type from 'typebox';
import { prefixes } from '../model/id.ts';
import { scopes } from '../model/scope.ts';
import { roles } from '../model/tenant.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf } from './schema.ts';

export const whoamiRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/whoami',
    role: 'viewer',
    id: 'whoAmI',
    tag: 'API keys',
    summary: 'Whom the key or the session speaks for',
    answer: {
      status: 200,
      description: 'The caller.',
      schema: Type.Object(
        {
          keyId: nullable(Type.String({ description: '`key_…`; null for sessions and keys of the settings.' })),
          memberId: nullable(Type.String({ description: '`mem_…`; null for application keys.' })),
          role: oneOf(roles, { description: 'What it may do at this moment.' }),
          tenantId: Type.String({ description: 'The tenant this request acts for.' }),
          scopes: nullable(Type.Array(oneOf(scopes), { description: 'Null: all that the role may.' })),
        },
        { title: 'WhoAmI' },
      ),
    },
    handle: ({ principal: { keyId, memberId, role, scopes: held }, tenantId }) => ({
      keyId,
      memberId: memberId === null ? null : prefixes.member + memberId,
      role,
      tenantId,
      scopes: held,
    }),
  }),
];
