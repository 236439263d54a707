import Type from 'typebox';
import { known } from '../delivery/known.ts';
import { badField, notFound, PosthornError } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import { mayAct, memberRoles, type Member } from '../model/tenant.ts';
import { route, type ApiContext, type Route } from './route.ts';
import type { Principal } from './principal.ts';
import { duration, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';
import { durationMs } from './webhook-json.ts';

const tag = 'Members';
const HOUR_MS = 3_600_000;
const DEFAULT_MS = 8 * HOUR_MS;
const MIN_MS = 1_000;
const MAX_MS = 30 * 24 * HOUR_MS;

export const sessionRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/sessions',
    role: 'viewer',
    id: 'createSession',
    tag,
    summary: 'Begin a session of a member in a browser',
    description:
      'An owner’s key begins one for any member, a personal key one for its own. The cookie in the answer is for a ' +
      'browser; an application that signs people in itself sets `token` as that cookie. A change needs a page of the ' +
      'same origin. A member has at most 50 at once: the oldest ends for the next.',
    body: Type.Object(
      {
        memberId: Type.Optional(Type.String({ description: '`mem_…`; default the member of the personal key.' })),
        expiresIn: Type.Optional(duration('How long it lasts: 1s to 30d, default 8h.')),
      },
      { additionalProperties: false },
    ),
    bodyIsOptional: true,
    example: { memberId: 'mem_01KF0Z7J3TE5XAY2V8N4R6M0QC', expiresIn: '8h' },
    answer: {
      status: 201,
      description: 'Begun. The token is shown this once.',
      schema: Type.Object(
        {
          token: Type.String({ description: 'Value of the cookie.' }),
          memberId: Type.String(),
          role: oneOf(memberRoles),
          expiresAt: time('When it ends.'),
        },
        { title: 'Session' },
      ),
      headers: { 'Set-Cookie': 'The session as a cookie, `HttpOnly` and `SameSite=Lax`.' },
    },
    async handle({ api, tenantId, principal, body, replyHeaders }) {
      const member = await memberOf(api, tenantId, principal, body.memberId);
      const lastsMs = body.expiresIn === undefined ? DEFAULT_MS : durationMs(body.expiresIn, 'expiresIn');
      if (lastsMs < MIN_MS || lastsMs > MAX_MS) throw badField('expiresIn', 'must be from 1s to 30d');
      const { token, session } = await api.people.sessions.begin(member, lastsMs);
      replyHeaders['set-cookie'] = api.people.sessions.cookie(token, lastsMs);
      const expiresAt = formatTime(session.expiresAt);
      return { token, memberId: prefixes.member + member.id, role: member.role, expiresAt };
    },
  }),
  route({
    method: 'DELETE',
    path: '/v1/session',
    role: 'viewer',
    id: 'endSession',
    tag,
    summary: 'End the session of the cookie',
    answer: {
      status: 204,
      description: 'Ended.',
      headers: { 'Set-Cookie': 'Takes the cookie away.' },
    },
    errors: ['NOT_FOUND'],
    async handle({ api, request, replyHeaders }) {
      const session = await known(api.engine, () => api.people.sessions.find(request.headers.cookie));
      if (!session) throw new PosthornError('NOT_FOUND', 'The request has no cookie of a session that lasts.');
      await api.people.sessions.end(session);
      replyHeaders['set-cookie'] = api.people.sessions.cookie('', 0);
    },
  }),
];

/** Whose session it is to be. Throws where the one who asks may not begin it. */
async function memberOf(
  api: ApiContext,
  tenantId: string,
  principal: Principal,
  id: string | undefined,
): Promise<Member> {
  const { keyId, memberId: own, role } = principal;
  const wanted = id ?? own;
  if (wanted === null) throw badField('memberId', 'is missing; it names the member whose session it is');
  const member = await known(api.engine, () => api.people.find(tenantId, wanted));
  const isOwnKey = keyId !== null && own !== null && member?.id === own;
  if (!isOwnKey && !mayAct(role, 'owner')) {
    throw new PosthornError(
      'FORBIDDEN',
      `A session of another member needs a key with the role owner; yours is ${role}. Without memberId, a personal key begins one for its own member.`,
    );
  }
  if (!member) throw notFound('member', wanted);
  return member;
}
