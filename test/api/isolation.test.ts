import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Route } from '../../src/api/route.ts';
import { routes } from '../../src/api/routes.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { OPERATOR_KEY, startApi, type Answer, type Api } from './server.ts';

let api: Api;
let receiver: Receiver;
let a: string;
let b: string;
/** What belongs to tenant A, by the paths it is found under. */
const ids: Record<string, string> = {};
const secrets: string[] = [];
const PAYLOAD_MARK = 'payload-canary-5f1c';

beforeAll(async () => {
  [api, receiver] = await Promise.all([startApi(), startReceiver()]);
  for (const id of ['tenant-a', 'tenant-b']) await api.call('POST', '/v1/tenants', { body: { id } });
  a = await api.newKey({ role: 'owner', tenantId: 'tenant-a' });
  b = await api.newKey({ role: 'owner', tenantId: 'tenant-b' });
  receiver.answer('/dead', 410);
  const webhook = await api.call('POST', '/v1/webhooks', {
    key: a,
    body: { url: receiver.url('/dead'), events: ['a'] },
  });
  const rotated = await api.call('POST', `/v1/webhooks/${webhook.body.id}/rotate-secret`, { key: a });
  const key = await api.call('POST', '/v1/api-keys', { key: a, body: { role: 'viewer' } });
  secrets.push(webhook.body.secret, rotated.body.secret, key.body.key, a, b);
  const event = await api.call('POST', '/v1/events', { key: a, body: { type: 'a', data: { PAYLOAD_MARK } } });
  await receiver.waitFor(({ path }) => path === '/dead');
  let delivery;
  do {
    delivery = (await api.call('GET', `/v1/events/${event.body.id}`, { key: a })).body.deliveries[0]!;
  } while (delivery.status !== 'dead_letter');
  const member = await api.call('POST', '/v1/members', { key: a, body: { role: 'owner', email: 'a@example.com' } });
  ids.members = member.body.id;
  ids.webhooks = webhook.body.id;
  ids.events = event.body.id;
  ids.deliveries = delivery.id;
  ids['dead-letters'] = delivery.id;
  ids['api-keys'] = key.body.id;
});
afterAll(async () => {
  await api.stop();
  await receiver.close();
});

const ofOneThing = routes.filter(({ path, role }) => /:id/.test(path) && role !== 'operator' && role !== 'public');

/** What of tenant A a path names: `/v1/webhooks/:id`, and of the other products’ paths the same by other names. */
function idFor(path: string): string | undefined {
  const kind =
    path.startsWith('/api/v1/org/') || !/^\/v1\/webhooks\/(event|calls)\//.test(path) ? path : '/v1/deliveries/:id';
  return ids[kind.replace('/api/v1/org', '/v1').split('/')[2]!];
}

/** With a key as the route's face takes it. */
function as(key: string, face: Route['face']): { key: string | null; headers?: Record<string, string> } {
  return face?.credentials === 'api-key' ? { key: null, headers: { 'api-key': key } } : { key };
}

describe('one tenant', () => {
  it.each(ofOneThing.map((route) => [`${route.method} ${route.path}`, route] as const))(
    'gets 404 from %s for what is another’s, and changes nothing',
    async (_, { method, path, body, bodyIsOptional, face }) => {
      const id = idFor(path)!;
      const call = { ...as(b, face), ...(body && !bodyIsOptional ? { body: {} } : {}) };
      const at = (one: string) => path.replace(':id', one).replace(':deliveryId', ids.deliveries!);
      const answer = await api.call(method, at(id), call);
      expect(answer.status).toBe(404);
      // As if it were not there at all.
      const nothing = await api.call(method, at(id.slice(0, -8) + 'ZZZZZ000'), call);
      const words = ({ text }: Answer) => text.replaceAll(/(wh|whd|evt|key|mem|req)_\w+/g, '…');
      expect(words(nothing)).toBe(words(answer));
      const webhook = await api.call('GET', `/v1/webhooks/${ids.webhooks}`, { key: a });
      expect(webhook.body).toMatchObject({ disabledReason: 'gone', events: ['a'] });
    },
  );

  it('sees nothing of another in any list', async () => {
    for (const { path, face } of routes.filter(
      ({ method, path, role }) => method === 'GET' && !path.includes(':') && role !== 'operator' && role !== 'public',
    )) {
      const { text } = await api.call('GET', path, as(b, face));
      for (const id of Object.values(ids)) expect(text).not.toContain(id);
    }
    for (const filter of [`webhookId=${ids.webhooks}`, `eventId=${ids.events}`]) {
      expect((await api.call('GET', `/v1/deliveries?${filter}`, { key: b })).body.deliveries).toEqual([]);
      const bulk = { webhookId: ids.webhooks, dryRun: true };
      expect((await api.call('POST', '/v1/deliveries/redeliver', { key: b, body: bulk })).body.deliveries).toBe(0);
    }
  });

  it('cannot send an event again to another’s webhook', async () => {
    const event = await api.call('POST', '/v1/events', { key: b, body: { type: 'a', data: 1 } });
    expect(event.body.deliveries).toBe(0);
    const replay = await api.call('POST', `/v1/events/${event.body.id}/replay`, {
      key: b,
      body: { webhookId: ids.webhooks },
    });
    expect(replay.status).toBe(400);
  });

  it('can use the keys and ids another uses', async () => {
    const body = { type: 'b', id: 'shared', data: 1 };
    const headers = { 'idempotency-key': 'shared' };
    const one = await api.call('POST', '/v1/events', { key: a, body, headers });
    const other = await api.call('POST', '/v1/events', { key: b, body: { ...body, data: 2 }, headers });
    expect([one.status, other.status]).toEqual([202, 202]);
    expect((await api.call('GET', '/v1/events/shared', { key: b })).body.data).toBe(2);
  });
});

describe('a secret', () => {
  it('is in no answer of any GET', async () => {
    for (const { path, face } of routes.filter(({ method }) => method === 'GET')) {
      const url = path.replace(':id', idFor(path) ?? 'tenant-a').replace(':name', 'a');
      for (const key of [a, OPERATOR_KEY]) {
        const call = as(key, face);
        const { text } = await api.call('GET', url, {
          ...call,
          headers: { ...call.headers, ...(key === a ? {} : { 'posthorn-tenant': 'tenant-a' }) },
        });
        for (const secret of secrets) expect(text).not.toContain(secret);
      }
    }
  });

  it('is in no line of the log, and no payload either', () => {
    const log = JSON.stringify(api.log);
    expect(api.log.length).toBeGreaterThan(5);
    for (const secret of [...secrets, PAYLOAD_MARK]) expect(log).not.toContain(secret);
  });

  it('in what was refused is in no error', async () => {
    const secret = 'whsec_not-base64-canary-77aa';
    const answer = await api.call('POST', '/v1/webhooks', {
      key: a,
      body: { url: 'http://127.0.0.1:9', events: ['a'], secret },
    });
    expect(answer.status).toBe(400);
    expect(answer.text).not.toContain('canary');
    const header = await api.call('GET', '/v1/webhooks', { key: 'ph_live_canary-of-a-bad-key-00000000' });
    expect(header.text).not.toContain('canary');
    expect(JSON.stringify(api.log)).not.toContain('canary');
  });
});

describe('a note for operators', () => {
  it('on an attempt is shown to operators alone', async () => {
    const { body: webhook } = await api.call('POST', '/v1/webhooks', {
      key: a,
      body: { url: 'http://127.0.0.1:9/', events: ['noted'], retrySchedule: [] },
    });
    await api.call('POST', '/v1/events', { key: a, body: { type: 'noted', data: 1 } });
    let listed;
    do {
      listed = (await api.call('GET', `/v1/deliveries?webhookId=${webhook.id}`, { key: a })).body.deliveries[0]!;
    } while (listed.endedAt === null);
    const path = `/v1/deliveries/${listed.id}`;
    const operator = await api.call('GET', path, { headers: { 'posthorn-tenant': 'tenant-a' } });
    expect(operator.body.attemptLog[0]!.note).toContain('ECONNREFUSED');
    const tenant = await api.call('GET', path, { key: a });
    expect(tenant.body.attemptLog[0]).not.toHaveProperty('note');
  });
});
