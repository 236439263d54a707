import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { startApi, type Api, type Body } from './server.ts';

let api: Api;
let receiver: Receiver;

beforeAll(async () => {
  [api, receiver] = await Promise.all([startApi(), startReceiver()]);
});
afterAll(async () => {
  await api.stop();
  await receiver.close();
});

const url = 'http://127.0.0.1:9/hook';
const create = async (more: object = {}) =>
  (await api.call('POST', '/v1/webhooks', { body: { url, events: ['a.b'], ...more } })).body;

describe('making a webhook', () => {
  it('shows it with its secret, this once', async () => {
    const { status, body } = await api.call('POST', '/v1/webhooks', { body: { url, events: ['b', 'a'] } });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      id: expect.stringMatching(/^wh_[0-9A-Z]{26}$/),
      events: ['b', 'a'],
      isActive: true,
      disabledReason: null,
      wireFormat: 'standard',
      secret: expect.stringMatching(/^whsec_/),
      retrySchedule: null,
      timeout: null,
    });
    const { body: shown } = await api.call('GET', `/v1/webhooks/${body.id}`);
    expect(shown).not.toHaveProperty('secret');
    const { secret, ...rest } = body;
    expect(shown).toEqual(rest);
    expect(JSON.stringify(shown)).not.toContain(secret);
  });

  it('takes every field', async () => {
    const fields = {
      url,
      events: ['order.*'],
      description: 'orders',
      isActive: false,
      wireFormat: 'grantex',
      headers: { 'X-Team': 'billing' },
      retrySchedule: ['250ms', '5s', '1h'],
      timeout: '1500ms',
      concurrency: 4,
      metadata: { owner: 'ada' },
    };
    const body = await create({ ...fields, secret: 'a-secret-of-my-own-long-enough-for-it' });
    expect(body).toMatchObject({
      ...fields,
      disabledReason: 'by_user',
      secret: 'a-secret-of-my-own-long-enough-for-it',
    });
  });

  it('ignores fields it does not know', async () => {
    expect(await create({ name: 'mine', rateLimitz: 7 })).toMatchObject({ isActive: true });
  });

  it.each([
    [{}, ['url: is missing; it must be a string', 'events: is missing; it must be a list']],
    [{ url, events: [] }, ['events: must have at least one event type']],
    [{ url, events: 'a.b' }, ['events: must be a list']],
    [{ url, events: [7] }, ['events[0]: must be a string']],
    [{ url, events: ['a b'] }, ['events[0]: must be an event type like "order.created"']],
    [{ url: 7, events: ['a'] }, ['url: must be a string']],
    [{ url: 'example.com/hook', events: ['a'] }, ['url: ']],
    [{ url: 'ftp://example.com/hook', events: ['a'] }, ['url: ']],
    [{ url: 'https://user:pass@example.com/hook', events: ['a'] }, ['url: ']],
    [{ url: `https://example.com/${'x'.repeat(2048)}`, events: ['a'] }, ['url: ']],
    [{ url, events: ['a'], isActive: 'yes' }, ['isActive: must be true or false']],
    [{ url, events: ['a'], concurrency: '4' }, ['concurrency: must be a whole number from 1 to 1000']],
    [{ url, events: ['a'], timeout: 10 }, ['timeout: must be a duration like']],
    [{ url, events: ['a'], timeout: '2h' }, ['timeout: must be from 500ms to 60s']],
    [{ url, events: ['a'], retrySchedule: ['5s', '5'] }, ['retrySchedule[1]: must be a duration like']],
    [{ url, events: ['a'], retrySchedule: ['99999999999999999d'] }, ['retrySchedule[0]: must be a duration like']],
    [{ url, events: ['a'], wireFormat: 'nosuch' }, ['wireFormat: ']],
    [{ url, events: ['a'], headers: { host: 'x' } }, ['headers: ']],
    [{ url, events: ['a'], headers: { 'x-a': 1 } }, ['headers.x-a: must be a string']],
    [{ url, events: ['a'], secret: 'short' }, ['secret: ']],
    [[], ['body: must be an object']],
  ])('refuses %j and names the field', async (body, messages) => {
    const answer = await api.call('POST', '/v1/webhooks', { body });
    expect([answer.status, answer.body.code]).toEqual([400, 'BAD_REQUEST']);
    const said = answer.body.errors.map(({ field, message }) => `${field}: ${message}`);
    expect(said).toEqual(messages.map((message): unknown => expect.stringContaining(message)));
    expect(answer.body.message).toContain(messages[0]);
  });
});

describe('making a webhook with an idempotency key', () => {
  const post = (key: string, body: object = { url, events: ['idempotent'] }) =>
    api.call('POST', '/v1/webhooks', { body, headers: { 'idempotency-key': key, 'posthorn-tenant': 'once' } });

  it('makes one, however many ask at once, and shows all of them its secret', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('one-and-the-same')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(19);
    const { body } = await api.call('GET', '/v1/webhooks', { headers: { 'posthorn-tenant': 'once' } });
    expect(body.webhooks).toHaveLength(1);
  });

  it('refuses the key for another one, and once what it made is gone', async () => {
    const { body } = await post('reused');
    const other = await post('reused', { url, events: ['another'] });
    expect(other).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_CONFLICT' } });
    expect((await post('reused')).body.id).toBe(body.id);
    await api.call('DELETE', `/v1/webhooks/${body.id}`, { headers: { 'posthorn-tenant': 'once' } });
    expect(await post('reused')).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_CONFLICT' } });
  });

  it('keeps the keys of tenants apart', async () => {
    const { body } = await post('shared');
    const headers = { 'idempotency-key': 'shared', 'posthorn-tenant': 'once-more' };
    const other = await api.call('POST', '/v1/webhooks', { body: { url, events: ['other'] }, headers });
    expect([other.status, other.body.id === body.id]).toEqual([201, false]);
  });
});

describe('a webhook that signs with ed25519', () => {
  it('shows its public key, and to everybody all that are in force', async () => {
    const { body } = await api.call('POST', '/v1/webhooks', {
      body: { url, events: ['a'], wireFormat: 'standard-ed25519' },
    });
    expect(body).toMatchObject({
      secret: expect.stringMatching(/^whsk_/),
      publicKey: expect.stringMatching(/^whpk_/),
    });
    const publicKeys = async () =>
      (await api.call('GET', `/v1/webhooks/${body.id}/public-keys`, { key: null })).body.publicKeys as unknown;
    expect(await publicKeys()).toEqual([{ key: body.publicKey, createdAt: body.createdAt, expiresAt: null }]);
    const { body: rotated } = await api.call('POST', `/v1/webhooks/${body.id}/rotate-secret`);
    expect(rotated.publicKey).not.toBe(body.publicKey);
    expect(await publicKeys()).toMatchObject([
      { key: rotated.publicKey, expiresAt: null },
      { key: body.publicKey, expiresAt: rotated.previousSecretExpiresAt },
    ]);
  });

  it('differs in that from those that sign with HMAC, and those that are not there', async () => {
    const body = await create();
    expect(body.publicKey).toBeNull();
    const at = (id: string) => api.call('GET', `/v1/webhooks/${id}/public-keys`, { key: null });
    expect((await at(body.id)).body.publicKeys).toEqual([]);
    expect(await at('wh_nothing')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
  });
});

describe('a webhook without a wire format of its own', () => {
  it.each([
    ['ph_live_', 'standard'],
    ['gx_live_', 'grantex'],
    ['aat_', 'grantiva'],
    ['grvSec_live_', 'gravv'],
  ] as const)('made with a key %s… has the one that its clients expect: %s', async (prefix, wireFormat) => {
    const key = await api.newKey({ role: 'admin', tenantId: 'default', prefix });
    const { body } = await api.call('POST', '/v1/webhooks', { key, body: { url, events: ['a'] } });
    expect(body.wireFormat).toBe(wireFormat);
  });
});

describe('in production', () => {
  let production: Api;
  beforeAll(async () => {
    production = await startApi({ production: true, catalogue: 'closed' });
  });
  afterAll(() => production.stop());

  it.each([
    'http://example.com/',
    'https://127.0.0.1/',
    'http://2130706433/',
    'https://[::ffff:169.254.169.254]/',
    'https://localhost/',
    'https://example.com:22/',
  ])('a webhook at %s is refused', async (unsafe) => {
    const answer = await production.call('POST', '/v1/webhooks', { body: { url: unsafe, events: ['*'] } });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'url' }] } });
  });

  it('a closed catalogue refuses types it does not have, and names those it has', async () => {
    await production.call('POST', '/v1/event-types', { body: { name: 'order.created' } });
    const hook = await production.call('POST', '/v1/webhooks', {
      body: { url: 'https://example.com/', events: ['order.creatd'] },
    });
    expect(hook).toMatchObject({ status: 400, body: { errors: [{ field: 'events' }] } });
    expect(hook.body.message).toContain('order.created');
    const event = await production.call('POST', '/v1/events', { body: { type: 'order.creatd', data: {} } });
    expect(event).toMatchObject({ status: 422, body: { code: 'UNKNOWN_EVENT_TYPE', errors: [{ field: 'type' }] } });
    expect(event.body.message).toContain('order.created');
  });
});

describe('the list of webhooks', () => {
  it('holds all of a tenant, newest first, where no limit is given, and pages where one is', async () => {
    const headers = { 'posthorn-tenant': 'listing' };
    const ids: string[] = [];
    for (let i = 0; i < 60; i++) {
      ids.unshift((await api.call('POST', '/v1/webhooks', { body: { url, events: ['a'] }, headers })).body.id);
    }
    const idsOf = (body: Body) => body.webhooks.map(({ id }) => id);
    const all = await api.call('GET', '/v1/webhooks', { headers });
    expect([idsOf(all.body), all.body.nextCursor]).toEqual([ids, null]);
    const first = await api.call('GET', '/v1/webhooks?limit=40', { headers });
    // What the cursor points behind may be gone by then.
    await api.call('DELETE', `/v1/webhooks/${ids[39]}`, { headers });
    const rest = await api.call('GET', `/v1/webhooks?limit=40&cursor=${first.body.nextCursor}`, { headers });
    expect([...idsOf(first.body), ...idsOf(rest.body)]).toEqual(ids);
    expect(rest.body.nextCursor).toBeNull();
  });
});

describe('changing a webhook', () => {
  it('changes what is given and nothing else', async () => {
    const { id, secret: _, ...before } = await create({ description: 'old', timeout: '5s' });
    const { status, body } = await api.call('PATCH', `/v1/webhooks/${id}`, {
      body: { events: ['c'], timeout: null, unknown: 1 },
    });
    expect(status).toBe(200);
    expect(body).toEqual({ ...before, id, events: ['c'], timeout: null, updatedAt: body.updatedAt });
  });

  it('refuses what making one refuses', async () => {
    const { id } = await create();
    for (const body of [{ url: 'ftp://x/' }, { events: [] }, { events: null }, { isActive: 1 }, { timeout: 'x' }]) {
      const answer = await api.call('PATCH', `/v1/webhooks/${id}`, { body });
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: Object.keys(body)[0] }] } });
    }
    expect((await api.call('PATCH', `/v1/webhooks/${id}`)).status).toBe(400);
  });

  it('enables and disables, as often as one likes', async () => {
    const { id } = await create();
    for (const [verb, isActive] of [
      ['disable', false],
      ['disable', false],
      ['enable', true],
      ['enable', true],
    ] as const) {
      const { status, body } = await api.call('POST', `/v1/webhooks/${id}/${verb}`);
      expect([status, body.isActive, body.disabledReason]).toEqual([200, isActive, isActive ? null : 'by_user']);
    }
  });

  it('deletes with an empty 204, once', async () => {
    const { id } = await create();
    const gone = await api.call('DELETE', `/v1/webhooks/${id}`);
    expect([gone.status, gone.text]).toEqual([204, '']);
    expect((await api.call('DELETE', `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await api.call('GET', `/v1/webhooks/${id}`)).status).toBe(404);
  });

  it('takes an id in any of its spellings', async () => {
    const { id } = await create();
    for (const spelling of [id.slice(3), id.toLowerCase()]) {
      expect((await api.call('GET', `/v1/webhooks/${spelling}`)).body.id).toBe(id);
    }
  });
});

describe('rotating a secret', () => {
  it('shows the new one, this once, and until when the old one signs too', async () => {
    const { id, secret } = await create();
    const before = Date.now();
    const { status, body } = await api.call('POST', `/v1/webhooks/${id}/rotate-secret`, {
      body: { gracePeriod: '2h' },
    });
    expect(status).toBe(200);
    expect(body.secret).not.toBe(secret);
    const until = Date.parse(body.previousSecretExpiresAt);
    expect(until).toBeGreaterThanOrEqual(before + 7_200_000);
    expect(until).toBeLessThanOrEqual(Date.now() + 7_200_000);
    const shown = await api.call('GET', `/v1/webhooks/${id}`);
    expect(shown.body.previousSecretExpiresAt).toBe(body.previousSecretExpiresAt);
    expect(shown.text).not.toContain(body.secret);
  });

  it('defaults to a day, ends the old one at once with 0s, and takes a secret of one’s own', async () => {
    const { id } = await create();
    const day = await api.call('POST', `/v1/webhooks/${id}/rotate-secret`);
    expect(Date.parse(day.body.previousSecretExpiresAt) - Date.now()).toBeGreaterThan(86_000_000);
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    const own = await api.call('POST', `/v1/webhooks/${id}/rotate-secret`, { body: { gracePeriod: '0s', secret } });
    expect(own.body).toMatchObject({ secret, previousSecretExpiresAt: null });
  });

  it.each([
    [{ gracePeriod: '8d' }, 'gracePeriod'],
    [{ gracePeriod: 3600 }, 'gracePeriod'],
    [{ secret: 'short' }, 'secret'],
    [{ grace: '1h' }, 'grace'],
  ])('refuses %j', async (body, field) => {
    const { id } = await create();
    const answer = await api.call('POST', `/v1/webhooks/${id}/rotate-secret`, { body });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field }] } });
  });
});

describe('testing a webhook', () => {
  it('sends one signed delivery now and tells what came of it', async () => {
    receiver.answer('/tested', (_, response) => response.writeHead(418).end('short and stout'));
    const { id } = await create({ url: receiver.url('/tested') });
    const { status, body } = await api.call('POST', `/v1/webhooks/${id}/test`, {
      body: '{"type":"order.created","data":{"n":1.0}}',
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ succeeded: false, statusCode: 418, failure: null, responseBody: 'short and stout' });
    const request = await receiver.waitFor(({ path }) => path === '/tested');
    expect(request.headers['webhook-signature']).toMatch(/^v1,/);
    expect(request.body).toContain('"data":{"n":1.0}');
    expect((await api.call('GET', `/v1/webhooks/${id}/deliveries`)).body.total).toBe(0);
  });

  it('needs no body, and names a failure', async () => {
    const { id } = await create();
    const { body } = await api.call('POST', `/v1/webhooks/${id}/test`);
    expect(body).toMatchObject({ succeeded: false, statusCode: null, failure: 'connect_refused' });
  });
});
