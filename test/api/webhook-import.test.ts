import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { startApi, type Api } from './server.ts';

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
const secret = 'a-secret-that-the-receiver-has';
const uuid = '5f0c2a52-9f2b-4b7e-8a54-0f6f7a8d2c11';

async function tenant(id: string) {
  await api.call('POST', '/v1/tenants', { body: { id } });
  const key = await api.newKey({ role: 'owner', tenantId: id });
  const take = (webhooks: unknown, more: object = {}) =>
    api.call('POST', '/v1/webhooks/import', { key, body: { webhooks, ...more } });
  return { key, take };
}

describe('taking webhooks over', () => {
  it('keeps id, secret, state and age, whatever their ids look like', async () => {
    const { key, take } = await tenant('moving');
    const old = { url, events: ['a.b', 'c'], secret, wireFormat: 'grantex' };
    const { status, body } = await take([
      {
        ...old,
        id: uuid,
        createdAt: '2020-02-03T04:05:06Z',
        isActive: false,
        description: 'old',
        metadata: { a: 'b' },
      },
      { ...old, id: 'endpoint/77' },
      { ...old, secret: undefined },
    ]);
    expect(status).toBe(200);
    expect(body).toMatchObject({ dryRun: false, created: 3, existing: 0, invalid: 0 });
    expect(body.results.map(({ index, status: one, errors }) => [index, one, errors])).toEqual([
      [0, 'created', []],
      [1, 'created', []],
      [2, 'created', []],
    ]);
    const [first, second, third] = body.results;
    expect(first).not.toHaveProperty('secret');
    expect(third!.secret).toMatch(/\S{16,}/);
    expect(second!.id).toBe('endpoint/77');
    const shown = await api.call('GET', `/v1/webhooks/${uuid}`, { key });
    expect(shown.body).toMatchObject({
      id: first!.id,
      createdAt: '2020-02-03T04:05:06.000Z',
      isActive: false,
      events: ['a.b', 'c'],
      description: 'old',
      metadata: { a: 'b' },
      wireFormat: 'grantex',
    });
    const own = await api.call('GET', `/v1/webhooks/${encodeURIComponent('endpoint/77')}`, { key });
    expect(own.body.id).toBe('endpoint/77');
  });

  it('signs with the secret that the receiver has', async () => {
    const { key, take } = await tenant('signing');
    await take([{ url: receiver.url('/taken-over'), events: ['a'], id: 'old-1', secret, wireFormat: 'grantex' }]);
    await api.call('POST', '/v1/events', { key, body: { type: 'a', data: 1 } });
    const { headers, body } = await receiver.waitFor(({ path }) => path === '/taken-over');
    const { createHmac } = await import('node:crypto');
    const hex = createHmac('sha256', secret).update(body).digest('hex');
    expect(headers['x-grantex-signature']).toBe(`sha256=${hex}`);
  });

  it('goes on past a row that does not fit, and says of each what is wrong', async () => {
    const { key, take } = await tenant('mixed');
    const { body } = await take([
      { url, events: ['a'], id: 'good' },
      { url: 'nowhere', events: ['a'], id: 'bad-url' },
      'not a webhook',
      { url, events: ['a'], id: 'good' },
      { url, events: ['a'], previousSecret: 7, unknown: 1 },
      { url, events: ['a'], id: 'also good' },
      { url, events: ['a'], wireFormat: 'grantex', secret: '' },
    ]);
    expect(body).toMatchObject({ created: 1, existing: 0, invalid: 6 });
    const faults = body.results.map(({ errors }) => errors.map(({ field }) => field));
    expect(faults).toEqual([
      [],
      ['url'],
      ['webhook'],
      ['id'],
      ['unknown', 'previousSecret'].map(() => expect.any(String)),
      ['id'],
      ['secret'],
    ]);
    expect((await api.call('GET', '/v1/webhooks', { key })).body.webhooks.map(({ id }) => id)).toEqual(['good']);
  });

  it('may be repeated: what is here the same already is left as it is, what differs is refused', async () => {
    const { take } = await tenant('again');
    const row = {
      url,
      events: ['a'],
      id: uuid.replace('5f', '6f'),
      secret: `whsec_${Buffer.alloc(32).toString('base64')}`,
    };
    expect((await take([row])).body).toMatchObject({ created: 1 });
    expect((await take([row])).body).toMatchObject({ created: 0, existing: 1, invalid: 0 });
    const { body } = await take([{ ...row, events: ['b'] }]);
    expect(body.results).toMatchObject([{ status: 'invalid', id: null, errors: [{ field: 'id' }] }]);
  });

  it('never takes the id of another tenant’s webhook', async () => {
    const [one, other] = [await tenant('first-owner'), await tenant('late-comer')];
    const row = { url, events: ['a'], id: uuid.replace('5f', '7f') };
    expect((await one.take([row])).body.created).toBe(1);
    expect((await other.take([row])).body).toMatchObject({ created: 0, invalid: 1 });
    expect((await other.take([row], { dryRun: true })).body).toMatchObject({ created: 0, invalid: 1 });
  });

  it('keeps nothing in a dry run, and says what would be', async () => {
    const { key, take } = await tenant('rehearsal');
    const rows = [
      { url, events: ['a'], id: 'a' },
      { url, events: ['a'] },
      { url: 'x', events: ['a'] },
    ];
    const { body } = await take(rows, { dryRun: true });
    expect(body).toMatchObject({ dryRun: true, created: 2, invalid: 1 });
    expect(body.results.map(({ id, secret: made }) => [id, made])).toEqual([
      ['a', undefined],
      [null, undefined],
      [null, undefined],
    ]);
    expect((await api.call('GET', '/v1/webhooks', { key })).body.webhooks).toEqual([]);
  });

  it.each([true, false])('takes as many as the plan has room for, the first ones (dry run: %s)', async (dryRun) => {
    const id = `roomless-${dryRun}`;
    const { take } = await tenant(id);
    await api.call('PUT', '/v1/plans/three', { body: { endpointLimit: 3 } });
    await api.call('PATCH', `/v1/tenants/${id}`, { body: { plan: 'three' } });
    const rows = Array.from({ length: 6 }, (_, i) => ({ url: i === 1 ? 'bad' : url, events: ['a'] }));
    const { body } = await take(rows, { dryRun });
    const statuses = body.results.map(({ status }) => status);
    expect(statuses).toEqual(['created', 'invalid', 'created', 'created', 'invalid', 'invalid']);
    expect(body.results[5]!.errors).toMatchObject([{ field: 'plan' }]);
  });

  it('takes 500 in a request, and finds each again', async () => {
    const { key, take } = await tenant('many');
    const rows = Array.from({ length: 500 }, (_, i) => ({ url, events: ['a'], id: `old-${i}` }));
    expect((await take(rows)).body).toMatchObject({ created: 500 });
    expect((await api.call('GET', '/v1/webhooks/old-499', { key })).status).toBe(200);
    expect((await take([...rows, rows[0]])).body.message).toContain('at most 500');
  });

  it.each([
    [[], 'body'],
    [{}, 'webhooks'],
    [{ webhooks: {} }, 'webhooks'],
    [{ webhooks: [] }, 'webhooks'],
    [{ webhooks: [{}], dryRun: 'yes' }, 'dryRun'],
    [{ webhooks: [{}], dryrun: true }, 'dryrun'],
  ])('is refused as a whole as %j', async (body, field) => {
    const answer = await api.call('POST', '/v1/webhooks/import', { body });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field }] } });
  });
});
