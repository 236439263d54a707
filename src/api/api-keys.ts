import Type from 'typebox';
import { PosthornError } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import { roles, type ApiKey } from '../model/tenant.ts';
import { mayAct } from './access.ts';
import { newestFirst, pageInMemory, pageQuery } from './page.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime, parseTime } from './time.ts';

const tag = 'API keys';

const shown = {
  id: Type.String({ description: '`key_…`' }),
  tenantId: nullable(Type.String({ description: 'The tenant it acts for; null for an operator’s.' })),
  role: oneOf(roles),
  name: nullable(Type.String()),
  hint: Type.String({ description: 'Its first characters.' }),
  createdAt: time('When it was made.'),
  lastUsedAt: nullable(time('When it was last used, to the minute.')),
  expiresAt: nullable(time('When it ends.')),
  revokedAt: nullable(time('When it was revoked.')),
};

const KeyShown = Type.Object(shown, { title: 'ApiKey' });
const KeyWithText = Type.Object(
  { ...shown, key: Type.String({ description: 'The key; shown this once.' }) },
  { title: 'ApiKeyWithText' },
);

export const apiKeyRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/api-keys',
    role: 'owner',
    id: 'listApiKeys',
    tag,
    summary: 'List API keys, newest first',
    description: 'Those of the tenant, revoked ones too; for operators also the keys of operators. Never their text.',
    query: Type.Object(pageQuery),
    answer: {
      status: 200,
      description: 'A page of API keys.',
      schema: Type.Object({ apiKeys: Type.Array(KeyShown), nextCursor: nullable(Type.String()) }),
    },
    handle({ api, tenantId, principal, query }) {
      const all = [...api.keys.list(tenantId), ...(principal.role === 'operator' ? api.keys.list(null) : [])];
      all.sort((a, b) => (a.id < b.id ? 1 : -1));
      const { rows, nextCursor } = pageInMemory(all, query, newestFirst);
      return { apiKeys: rows.map(keyJson), nextCursor };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/api-keys',
    role: 'owner',
    id: 'createApiKey',
    tag,
    summary: 'Make an API key',
    description: 'The answer shows the key, this once. Its role is at most that of the key that makes it.',
    body: Type.Object(
      {
        role: oneOf(roles, { description: 'What it may do: viewer < member < admin < owner < operator.' }),
        name: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 128, description: 'What it is for.' }))),
        expiresAt: Type.Optional(nullable(time('When it ends; default never.'))),
      },
      { additionalProperties: false },
    ),
    example: { role: 'member', name: 'ci', expiresAt: '2030-01-01T00:00:00Z' },
    answer: { status: 201, description: 'Made.', schema: KeyWithText },
    async handle({ api, tenantId, principal, body }) {
      if (!mayAct(principal.role, body.role)) {
        throw new PosthornError(
          'FORBIDDEN',
          `A key with the role ${principal.role} makes no key with the role ${body.role}.`,
        );
      }
      const { key, apiKey } = await api.keys.create({
        role: body.role,
        tenantId: body.role === 'operator' ? null : tenantId,
        name: body.name ?? null,
        expiresAt: body.expiresAt == null ? null : parseTime(body.expiresAt),
      });
      return { ...keyJson(apiKey), key };
    },
  }),
  route({
    method: 'DELETE',
    path: '/v1/api-keys/:id',
    role: 'owner',
    id: 'revokeApiKey',
    tag,
    summary: 'Revoke an API key',
    description: 'At once. It stays in the list. Revoking it again does nothing.',
    answer: { status: 204, description: 'Revoked.' },
    errors: ['NOT_FOUND'],
    // Operators also revoke the keys of operators, which belong to no tenant.
    handle: ({ api, tenantId, principal, params }) =>
      api.keys.revoke(params.id, principal.role === 'operator' ? [tenantId, null] : [tenantId]),
  }),
];

function keyJson(key: ApiKey): Record<string, unknown> {
  return {
    id: prefixes.apiKey + key.id,
    tenantId: key.tenantId,
    role: key.role,
    name: key.name,
    hint: key.hint,
    createdAt: formatTime(key.createdAt),
    lastUsedAt: formatTime(key.lastUsedAt),
    expiresAt: formatTime(key.expiresAt),
    revokedAt: formatTime(key.revokedAt),
  };
}
