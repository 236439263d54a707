import Type from 'typebox';
import { PosthornError } from '../errors.ts';
import { newId } from '../model/id.ts';
import { parseAddress, unmap } from '../transport/address.ts';
import { checkPerson } from './people.ts';
import { route, type Route } from './route.ts';
import { nullable, oneOf, time } from './schema.ts';
import { formatTime } from './time.ts';

const modes = ['live', 'sandbox'] as const;
const TENANT_PREFIX = 'dev_';

export const signupRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/signup',
    role: 'public',
    id: 'signUp',
    tag: 'Tenants',
    summary: 'Make oneself a tenant',
    description:
      'Where the operator allows it. The tenant has the default plan and the wire format `grantex`; the answer shows ' +
      'an owner’s API key for it, this once. At most 10 a minute from one address. Unknown fields are ignored.',
    body: Type.Object(
      {
        name: Type.String({ description: '1 to 128 characters.' }),
        email: Type.Optional(nullable(Type.String({ maxLength: 254, description: 'An email address.' }))),
        mode: Type.Optional(oneOf(modes, { description: '`sandbox` makes a `gx_test_…` key instead of `gx_live_…`.' })),
      },
      { title: 'SignUp' },
    ),
    example: { name: 'Ada', email: 'ada@example.com' },
    answer: {
      status: 201,
      description: 'Made.',
      schema: Type.Object(
        {
          developerId: Type.String({ description: 'Id of the tenant: `dev_…`' }),
          apiKey: Type.String({ description: 'The key; shown this once.' }),
          name: Type.String(),
          email: nullable(Type.String()),
          mode: oneOf(modes),
          createdAt: time('When it was made.'),
        },
        { title: 'SignedUp' },
      ),
    },
    errors: ['FORBIDDEN', 'TOO_MANY_REQUESTS', 'STORE_UNAVAILABLE', 'STORE_FULL', 'SHUTTING_DOWN'],
    async handle({ api, body, request }) {
      const { signups } = api.people;
      if (signups === null) {
        throw new PosthornError('FORBIDDEN', 'Sign-up is closed here; ask the operator for a key.');
      }
      if (api.isStopping()) throw new PosthornError('SHUTTING_DOWN');
      const { name, email = null, mode = 'live' } = body;
      checkPerson(name, email);
      signups.take(networkOf(request.socket.remoteAddress ?? ''));
      const id = TENANT_PREFIX + newId(Date.now());
      const tenant = await api.engine.tenants.create({ id, name, wireFormat: 'grantex' });
      await api.people.create(tenant.id, { role: 'owner', name, email });
      const { key } = await api.keys.create({
        role: 'owner',
        tenantId: tenant.id,
        name: 'sign-up',
        prefix: mode === 'live' ? 'gx_live_' : 'gx_test_',
      });
      return { developerId: tenant.id, apiKey: key, name, email, mode, createdAt: formatTime(tenant.createdAt) };
    },
  }),
];

/** An address as it is counted: of IPv6 its first half, since whoever has one address there has all that share it. */
export function networkOf(text: string): string {
  const address = parseAddress(text.replace(/%.*/, ''));
  if (address === null) return text;
  const { family, words } = unmap(address);
  return family === 4 ? String(words[3]) : `${words[0]}:${words[1]}`;
}
