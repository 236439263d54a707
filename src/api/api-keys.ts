import Type from 'typebox';
import { badField, PosthornError } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import { scopes } from '../model/scope.ts';
import { mayAct, roles, type ApiKey } from '../model/tenant.ts';
import { keyPrefixes } from './key-text.ts';
import type { KeyVerifier } from './keys.ts';
import { newestFirst, pageInMemory, pageQuery } from './page.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime, parseTime } from './time.ts';

const tag = 'API keys';

const shown = {
  id: Type.String({ description: '`key_…`' }),
  tenantId: nullable(Type.String({ description: 'The tenant it acts for; null for an operator’s.' })),
  role: nullable(oneOf(roles, { description: 'What it may do now; null once the member of a personal key is gone.' })),
  memberId: nullable(Type.String({ description: 'The member a personal key speaks for; null for application keys.' })),
  scopes: nullable(Type.Array(oneOf(scopes), { description: 'Null: all that the role may.' })),
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
      return { apiKeys: rows.map((key) => keyJson(api.keys, key)), nextCursor };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/api-keys',
    role: 'owner',
    id: 'createApiKey',
    tag,
    summary: 'Make an API key',
    description:
      'The answer shows the key, this once. Its role is at most that of the key that makes it. With `memberId` it is a ' +
      'personal key: its role is that of its member, at every moment.',
    body: Type.Object(
      {
        role: Type.Optional(
          oneOf(roles, {
            description: 'What it may do: viewer < member < admin < owner < operator. Needed, but not with `memberId`.',
          }),
        ),
        memberId: Type.Optional(nullable(Type.String({ description: '`mem_…`: the member it speaks for.' }))),
        scopes: Type.Optional(
          nullable(
            Type.Array(oneOf(scopes), {
              minItems: 1,
              description: 'Narrows it to these of what its role may; null: all of it.',
              'x-item': 'scope',
            }),
          ),
        ),
        prefix: Type.Optional(
          oneOf(keyPrefixes, {
            description: 'How it begins; default `ph_live_`. `gpat_` is for personal keys and is their default.',
          }),
        ),
        key: Type.Optional(
          Type.String({
            pattern: '^[\\x21-\\x7e]{16,512}$',
            description: 'The text of a key that clients hold already. For operators alone.',
            'x-rule': 'must be 16 to 512 visible ASCII characters',
          }),
        ),
        name: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 128, description: 'What it is for.' }))),
        expiresAt: Type.Optional(nullable(time('When it ends; default never.'))),
      },
      { additionalProperties: false },
    ),
    example: { role: 'member', name: 'ci', scopes: ['events:write'], expiresAt: '2030-01-01T00:00:00Z' },
    answer: { status: 201, description: 'Made.', schema: KeyWithText },
    errors: ['ALREADY_EXISTS'],
    async handle({ api, tenantId, principal, body }) {
      const { role, memberId = null, scopes: narrowed = null, prefix, key: text, name = null, expiresAt } = body;
      if (memberId !== null && role !== undefined) throw badField('role', 'is that of the member; leave it out');
      if (memberId === null && role === undefined) {
        throw badField('role', `is missing; it must be one of ${roles.join(', ')}`);
      }
      if (role !== undefined && !mayAct(principal.role, role)) {
        throw new PosthornError(
          'FORBIDDEN',
          `A key with the role ${principal.role} makes no key with the role ${role}.`,
        );
      }
      if (text !== undefined && principal.role !== 'operator') {
        throw new PosthornError('FORBIDDEN', 'To give the text of a key needs a key with the role operator.');
      }
      if (text !== undefined && prefix !== undefined) throw badField('prefix', 'goes not with "key"; leave it out');
      const { key, apiKey } = await api.keys.create({
        ...(role === undefined ? {} : { role }),
        tenantId: role === 'operator' ? null : tenantId,
        memberId,
        scopes: narrowed,
        ...(prefix === undefined ? {} : { prefix }),
        ...(text === undefined ? {} : { text }),
        name,
        expiresAt: expiresAt == null ? null : parseTime(expiresAt),
      });
      return { ...keyJson(api.keys, apiKey), key };
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

function keyJson(keys: KeyVerifier, key: ApiKey): Record<string, unknown> {
  return {
    id: prefixes.apiKey + key.id,
    tenantId: key.tenantId,
    role: keys.roleOf(key),
    memberId: key.memberId === null ? null : prefixes.member + key.memberId,
    scopes: key.scopes,
    name: key.name,
    hint: key.hint,
    createdAt: formatTime(key.createdAt),
    lastUsedAt: formatTime(key.lastUsedAt),
    expiresAt: formatTime(key.expiresAt),
    revokedAt: formatTime(key.revokedAt),
  };
}
