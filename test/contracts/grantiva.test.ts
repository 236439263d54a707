import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Received, type Receiver } from '../e2e/receiver.ts';
import type { Client } from '../e2e/server.ts';
import { bearer, hexHmac, plain, raw, same, startPosthorn, type Posthorn } from './posthorn.ts';

const LIST = '/api/v1/org/webhooks';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let posthorn: Posthorn;
let receiver: Receiver;
let admin: Client;
let stranger: Client;

beforeAll(async () => {
  receiver = await startReceiver();
  posthorn = await startPosthorn({ catalogue: 'closed' });
  for (const name of ['attestation.completed', 'risk_threshold_exceeded', 'device_blocked', 'device.high_risk']) {
    await posthorn.call('PUT', `/v1/event-types/${name}`, {});
  }
  await posthorn.tenant('org');
  await posthorn.tenant('other');
  admin = bearer(posthorn, await posthorn.key('org', { role: 'admin', prefix: 'aat_' }));
  stranger = bearer(posthorn, await posthorn.key('other', { role: 'owner', prefix: 'aat_' }));
});

afterAll(async () => {
  await posthorn.close();
  await receiver.close();
});

let paths = 0;
const freshPath = (): string => `/grantiva-${++paths}`;

/** An endpoint, made through this face. */
async function webhook(url: string, events = ['device.high_risk']): Promise<{ id: string; secret: string }> {
  const { status, body } = await admin.call('POST', LIST, { url, events });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}

/** The receiver of the product's own quick start: it hashes the JSON that it parsed and wrote again. */
function isGenuine({ headers, body }: Received, secret: string): boolean {
  const expected = `sha256=${hexHmac(secret, JSON.stringify(JSON.parse(body)))}`;
  return same(expected, headers['x-grantiva-signature'] as string);
}

describe('who may', () => {
  it.each([
    ['GET', LIST],
    ['POST', LIST],
    ['GET', `${LIST}/x`],
    ['PATCH', `${LIST}/x`],
    ['DELETE', `${LIST}/x`],
    ['POST', `${LIST}/x/test`],
    ['GET', `${LIST}/x/deliveries`],
    ['POST', `${LIST}/x/deliveries/y/retry`],
  ])('%s %s answers 401 in its own body without a key, and with a wrong one', async (method, path) => {
    for (const headers of [{}, { authorization: 'Bearer gpat_0123456789abcdef0123' }, { 'api-key': 'aat_12345678' }]) {
      const answer = await plain(posthorn, method, path, { headers: headers as Record<string, string> });
      expect(answer.status).toBe(401);
      const body = JSON.parse(answer.text);
      expect(body).toMatchObject({ error: expect.any(String), code: 'unauthorized' });
      expect(body.requestId).toBe(answer.headers.get('x-request-id'));
      expect(Object.keys(body).filter((name) => !['error', 'code', 'hint', 'requestId'].includes(name))).toEqual([]);
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    }
  });

  it('asks for the role admin to show or change an endpoint, and lets any member see its deliveries', async () => {
    const { id } = await webhook('https://a.example/roles');
    for (const role of ['viewer', 'member'] as const) {
      const client = bearer(posthorn, await posthorn.key('org', { role, prefix: 'aat_' }));
      for (const [method, path, body] of [
        ['GET', LIST],
        ['POST', LIST, { url: 'https://a.example', events: ['device_blocked'] }],
        ['PATCH', `${LIST}/${id}`, { isActive: false }],
        ['DELETE', `${LIST}/${id}`],
        ['POST', `${LIST}/${id}/test`],
      ] as const) {
        const answer = await client.call(method, path, body);
        expect([role, method, answer.status, answer.body.code]).toEqual([role, method, 403, 'forbidden']);
      }
      expect((await client.call('GET', `${LIST}/${id}/deliveries`)).status).toBe(200);
    }
  });

  it('takes personal keys, whose role is their member’s at that moment', async () => {
    const own = { 'posthorn-tenant': 'org' };
    const member = await posthorn.call('POST', '/v1/members', { role: 'admin', email: 'ann@example.com' }, own);
    const client = bearer(posthorn, await posthorn.key('org', { memberId: member.body.id }));
    expect((await client.call('GET', LIST)).status).toBe(200);
    await posthorn.call('PATCH', `/v1/members/${member.body.id}`, { role: 'member' }, own);
    expect((await client.call('GET', LIST)).status).toBe(403);
  });

  it('takes the session cookie of a member', async () => {
    const own = { 'posthorn-tenant': 'org' };
    const member = await posthorn.call('POST', '/v1/members', { role: 'admin', email: 'bob@example.com' }, own);
    const session = await posthorn.call('POST', '/v1/sessions', { memberId: member.body.id }, own);
    const cookie = session.headers.get('set-cookie')!.split(';', 1)[0]!;
    const answer = await plain(posthorn, 'GET', LIST, { headers: { cookie } });
    expect(answer.status).toBe(200);
    const body = JSON.stringify({ url: 'https://a.example/cookie', events: ['device_blocked'] });
    const json = { cookie, 'content-type': 'application/json' };
    const foreign = await plain(posthorn, 'POST', LIST, { headers: { ...json, origin: 'https://evil.example' }, body });
    expect([foreign.status, JSON.parse(foreign.text).code]).toEqual([403, 'forbidden']);
    expect((await plain(posthorn, 'POST', LIST, { headers: json, body })).status).toBe(201);
  });

  it('narrows keys by scope', async () => {
    const { id } = await webhook('https://a.example/scopes');
    const create = { url: 'https://a.example', events: ['device_blocked'] };
    const calls = [
      ['webhooks:read', 'GET', LIST],
      ['webhooks:read', 'GET', `${LIST}/${id}/deliveries`],
      ['webhooks:write', 'POST', LIST, create],
      ['webhooks:write', 'PATCH', `${LIST}/${id}`, {}],
      ['webhooks:test', 'POST', `${LIST}/${id}/test`],
      ['webhooks:delete', 'DELETE', `${LIST}/${id}`],
    ] as const;
    for (const scope of ['webhooks:read', 'webhooks:write', 'webhooks:test', 'webhooks:delete']) {
      const key = await posthorn.key('org', { role: 'admin', scopes: [scope], prefix: 'aat_' });
      for (const [needed, method, path, body] of calls) {
        const { status } = await bearer(posthorn, key).call(method, path, body);
        expect([scope, method, path, status === 403]).toEqual([scope, method, path, scope !== needed]);
      }
    }
  });

  it('finds nothing of another organisation', async () => {
    const { id } = await webhook('https://a.example/mine');
    for (const [method, path, body] of [
      ['GET', `${LIST}/${id}`],
      ['PATCH', `${LIST}/${id}`, { isActive: false }],
      ['DELETE', `${LIST}/${id}`],
      ['POST', `${LIST}/${id}/test`],
      ['GET', `${LIST}/${id}/deliveries`],
      ['POST', `${LIST}/${id}/deliveries/${id}/retry`],
    ] as const) {
      const answer = await stranger.call(method, path, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 404, 'not_found']);
    }
  });

  it('refuses an organisation whose plan has no webhooks, and one endpoint too many, with 403', async () => {
    await posthorn.call('PUT', '/v1/plans/free', { features: [] });
    await posthorn.call('PUT', '/v1/plans/pro', { endpointLimit: 1 });
    await posthorn.tenant('free-org', { plan: 'free' });
    await posthorn.tenant('pro-org', { plan: 'pro' });
    const request = { url: 'https://a.example', events: ['device_blocked'] };
    const free = bearer(posthorn, await posthorn.key('free-org', { role: 'owner' }));
    const refused = await free.call('POST', LIST, request);
    expect([refused.status, refused.body.code]).toEqual([403, 'plan_feature_required']);
    expect(refused.body).not.toHaveProperty('fields');
    const pro = bearer(posthorn, await posthorn.key('pro-org', { role: 'owner' }));
    const answers = await Promise.all(Array.from({ length: 5 }, () => pro.call('POST', LIST, request)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    const full = answers.filter(({ status }) => status !== 201);
    expect(full.map(({ status, body }) => [status, body.code])).toEqual(
      Array.from({ length: 4 }, () => [403, 'plan_limit_exceeded']),
    );
  });

  it('is told its rate limit with the unix time at which it begins anew', async () => {
    const { headers } = await admin.call('GET', LIST);
    const reset = Number(headers.get('x-ratelimit-reset'));
    const now = Date.now() / 1000;
    expect(Number.isInteger(reset)).toBe(true);
    expect(reset).toBeGreaterThan(now - 1);
    expect(reset).toBeLessThan(now + 61);
    const limited = await startPosthorn({ rateLimit: '1' });
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push(await limited.call('GET', LIST));
    await limited.close();
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.body).toMatchObject({ code: 'rate_limited', error: expect.any(String) });
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(Number(refused.headers.get('x-ratelimit-reset'))).toBeGreaterThan(now - 1);
  });
});

describe('endpoints', () => {
  it('are made with 201 and the secret, this once', async () => {
    const url = 'https://example.com/hooks/grantiva';
    const events = ['risk_threshold_exceeded', 'attestation.completed'];
    const { status, body } = await admin.call('POST', LIST, { url, events, description: 'Production', colour: 'red' });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: expect.stringMatching(UUID),
      url,
      events,
      isActive: true,
      description: 'Production',
      secret: expect.stringMatching(/^whsec_/),
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    });
    const native = await admin.call('GET', `/v1/webhooks/${body.id}`);
    expect(native.body).toMatchObject({
      wireFormat: 'grantiva',
      retrySchedule: ['1m', '5m', '30m'],
      timeout: '10s',
      id: expect.stringMatching(/^wh_/),
    });
  });

  it('are listed as a bare array, newest first, without secrets', async () => {
    const first = await stranger.call('POST', LIST, { url: 'https://a.example/1', events: ['device_blocked'] });
    const second = await stranger.call('POST', LIST, { url: 'https://a.example/2', events: ['device_blocked'] });
    const { status, body } = await stranger.call('GET', LIST);
    expect(status).toBe(200);
    expect(body.map(({ id }: { id: string }) => id)).toEqual([second.body.id, first.body.id]);
    expect(body[0]).toEqual({
      id: second.body.id,
      url: 'https://a.example/2',
      events: ['device_blocked'],
      isActive: true,
      description: null,
      createdAt: second.body.createdAt,
      updatedAt: expect.any(String),
    });
  });

  it('are changed by what is given, and by nothing that is null', async () => {
    const { id } = await webhook('https://a.example/patch');
    const changed = await admin.call('PATCH', `${LIST}/${id}`, {
      isActive: false,
      events: ['device_blocked', 'attestation.completed'],
      description: 'Updated label',
    });
    expect(changed.status).toBe(200);
    expect(changed.body).toMatchObject({
      id,
      isActive: false,
      events: ['device_blocked', 'attestation.completed'],
      description: 'Updated label',
    });
    expect(changed.body).not.toHaveProperty('secret');
    const nothing = await admin.call('PATCH', `${LIST}/${id}`, { isActive: null, events: null, description: null });
    expect(nothing.body).toMatchObject({ isActive: false, description: 'Updated label' });
    expect((await admin.call('GET', `${LIST}/${id}`)).body).toEqual(nothing.body);
  });

  it('are deleted with 204 and no body', async () => {
    const { id } = await webhook('https://a.example/delete');
    const { status, body } = await admin.call('DELETE', `${LIST}/${id}`);
    expect([status, body]).toEqual([204, null]);
    const again = await admin.call('DELETE', `${LIST}/${id}`);
    expect([again.status, again.body.code]).toEqual([404, 'not_found']);
  });

  it('are found by either spelling of their id', async () => {
    const { id } = await webhook('https://a.example/spelling');
    const native = await admin.call('GET', `/v1/webhooks/${id}`);
    const { body } = await admin.call('GET', `${LIST}/${native.body.id}`);
    expect(body.id).toBe(id);
    expect((await admin.call('GET', `${LIST}/${id.toUpperCase()}`)).body.id).toBe(id);
  });

  it('that were imported keep the ids they had', async () => {
    const owner = bearer(posthorn, await posthorn.key('org', { role: 'owner' }));
    const ids = ['550e8400-e29b-41d4-a716-446655440000', 'hook-7'];
    const webhooks = ids.map((id) => ({ id, url: 'https://a.example/moved', events: ['device_blocked'] }));
    const { body } = await owner.call('POST', '/v1/webhooks/import', { webhooks });
    expect(body).toMatchObject({ created: 2, invalid: 0 });
    for (const id of ids) expect((await admin.call('GET', `${LIST}/${id}`)).body.id).toBe(id);
  });

  it('are made once where the same idempotency key comes twice', async () => {
    const request = { url: 'https://a.example/twice', events: ['device_blocked'] };
    const headers = { 'idempotency-key': 'grantiva-1' };
    const first = await admin.call('POST', LIST, request, headers);
    const again = await admin.call('POST', LIST, request, headers);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
  });
});

describe('bad input', () => {
  it.each<[string, unknown, string]>([
    ['no url', { events: ['device_blocked'] }, 'url'],
    ['no events', { url: 'https://a.example' }, 'events'],
    ['an empty list of events', { url: 'https://a.example', events: [] }, 'events'],
    ['an event that is no text', { url: 'https://a.example', events: [1] }, 'events[0]'],
    ['an event that is not in the catalogue', { url: 'https://a.example', events: ['device.exploded'] }, 'events'],
    ['a url that is none', { url: 'nowhere', events: ['device_blocked'] }, 'url'],
    [
      'a description of the wrong type',
      { url: 'https://a.example', events: ['device_blocked'], description: 1 },
      'description',
    ],
  ])('answers 422 that names the field for %s', async (_, request, field) => {
    const { status, body } = await admin.call('POST', LIST, request);
    expect(status).toBe(422);
    expect(body).toEqual({
      error: expect.any(String),
      code: 'unprocessable_entity',
      requestId: expect.stringMatching(/^req_/),
      fields: [{ field, message: expect.any(String) }],
    });
  });

  it('asks for https where the operator does not allow http', async () => {
    const strict = await startPosthorn({ allowHttp: 'false' });
    const { status, body } = await strict.call('POST', LIST, { url: 'http://a.example', events: ['a'] });
    await strict.close();
    expect([status, body.code, body.fields[0].field]).toEqual([422, 'unprocessable_entity', 'url']);
    expect(body.fields[0].message).toMatch(/https/);
  });

  it.each<[string, string, string | undefined, Record<string, string>, number, string]>([
    ['malformed JSON', LIST, '{"url":', {}, 400, 'bad_request'],
    ['no body', LIST, undefined, {}, 400, 'bad_request'],
    ['a list', LIST, '[]', {}, 400, 'bad_request'],
    ['another media type', LIST, 'url=x', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['a body too large', LIST, `"${'x'.repeat(300_000)}"`, {}, 413, 'payload_too_large'],
    ['an unknown path', '/api/v1/org/nothing', '{}', {}, 404, 'not_found'],
    ['a path that is not validly encoded', `${LIST}/%zz/test`, '{}', {}, 400, 'bad_request'],
    ['an id too long', `${LIST}/${'x'.repeat(600)}/test`, '{}', {}, 414, 'uri_too_long'],
  ])('answers in its own body to %s', async (_, path, body, headers, status, code) => {
    const answer = await admin.call('POST', path, body, headers);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
    expect(answer.body).not.toHaveProperty('type');
    expect(answer.body).not.toHaveProperty('fields');
  });

  it('answers 405 with the methods there are, in its own body', async () => {
    for (const [method, path, allow] of [
      ['PUT', LIST, 'GET, HEAD, POST'],
      ['POST', `${LIST}/x`, 'GET, HEAD, PATCH, DELETE'],
      ['GET', `${LIST}/x/test`, 'POST'],
      ['OPTIONS', LIST, 'GET, HEAD, POST'],
    ] as const) {
      const answer = await admin.call(method, path);
      expect([method, answer.status, answer.body.code]).toEqual([method, 405, 'method_not_allowed']);
      expect(answer.headers.get('allow')).toBe(allow);
    }
  });

  it('answers in its own body also where the request was no whole HTTP request', async () => {
    const answer = await raw(
      posthorn,
      `GET ${LIST} HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ code: 'request_header_fields_too_large' });
  });
});

describe('a delivery', () => {
  it('arrives in the format of the contract, and the receiver that writes the JSON anew before hashing accepts it', async () => {
    const path = freshPath();
    const { secret } = await webhook(receiver.url(path));
    const text = '{ "b": 1.50, "a": "\\u00e9 \\/ ü 😀", "10": true,  "2": null }';
    await admin.call('POST', '/v1/events', `{"type":"device.high_risk","data":${text}}`);
    const arrived = await receiver.waitFor((request) => request.path === path);
    expect(isGenuine(arrived, secret)).toBe(true);
    expect(arrived.headers['x-grantiva-signature']).toBe(`sha256=${hexHmac(secret, arrived.body)}`);
    expect(arrived.headers['x-grantiva-event']).toBe('device.high_risk');
    expect(arrived.headers['x-grantiva-delivery']).toMatch(UUID);
    const body = JSON.parse(arrived.body);
    expect(Object.keys(body)).toEqual(['event', 'timestamp', 'data']);
    expect(body).toMatchObject({ event: 'device.high_risk', data: JSON.parse(text) });
    expect(isGenuine({ ...arrived, body: arrived.body.replace('true', 'false') }, secret)).toBe(false);
  });

  it('is seen with what the receiver answered, in pages', async () => {
    const path = freshPath();
    receiver.answer(path, (_, response) => response.writeHead(200).end('😀'.repeat(300)));
    const { id } = await webhook(receiver.url(path), ['device_blocked']);
    await admin.event('device_blocked', { n: 1 });
    await admin.event('device_blocked', { n: 2 });
    const list = `${LIST}/${id}/deliveries`;
    const all = await admin.until(list, ({ items }) => items.length === 2 && items.every(isSuccess));
    expect(all.metadata).toEqual({ page: 1, per: 20, total: 2 });
    const { body } = await admin.call('GET', `${list}?page=2&per=1&unknown=1`);
    expect(body.metadata).toEqual({ page: 2, per: 1, total: 2 });
    expect(body.items).toEqual([all.items[1]]);
    expect(body.items[0]).toEqual({
      id: expect.stringMatching(UUID),
      webhookId: id,
      eventType: 'device_blocked',
      status: 'success',
      httpStatus: 200,
      responseBody: '😀'.repeat(200),
      error: null,
      attemptCount: 1,
      nextRetryAt: null,
      deliveredAt: expect.any(String),
      createdAt: expect.any(String),
    });
    const [sent] = await receiver.waitForCount(2, path);
    expect([all.items[0].id, all.items[1].id]).toContain(sent!.headers['x-grantiva-delivery']);
    expect((await admin.call('GET', `${list}?per=1000`)).body.metadata.per).toBe(100);
    for (const query of ['page=0', 'page=x', 'per=0', 'page=1&page=2']) {
      const refused = await admin.call('GET', `${list}?${query}`);
      expect([query, refused.status, refused.body.code]).toEqual([query, 422, 'unprocessable_entity']);
    }
  });

  it('that failed says why and when it is tried again, and can be retried with its whole budget', async () => {
    const path = freshPath();
    receiver.answer(path, (_, response) => response.writeHead(500).end('broken'));
    const { id } = await webhook(receiver.url(path), ['attestation.completed']);
    await admin.event('attestation.completed', { device_id: 'd' });
    const list = `${LIST}/${id}/deliveries`;
    const { items } = await admin.until(list, (body) => body.items[0]?.attemptCount === 1);
    expect(items[0]).toMatchObject({
      status: 'pending',
      httpStatus: 500,
      responseBody: 'broken',
      error: 'HTTP 500',
      deliveredAt: null,
    });
    // A minute after the attempt, give or take a fifth.
    const waits = (Date.parse(items[0].nextRetryAt) - Date.parse(items[0].createdAt)) / 1000;
    expect(waits).toBeGreaterThan(40);
    expect(waits).toBeLessThan(80);

    receiver.answer(path, 200);
    const retry = `${list}/${items[0].id}/retry`;
    const retried = await admin.call('POST', retry);
    expect(retried.status).toBe(200);
    expect(retried.body).toEqual({
      ...items[0],
      status: 'pending',
      attemptCount: 0,
      httpStatus: null,
      responseBody: null,
      error: null,
      nextRetryAt: null,
    });
    const [first, second] = await receiver.waitForCount(2, path);
    expect(second!.body).toBe(first!.body);
    const after = await admin.until(list, (body) => isSuccess(body.items[0]));
    expect(after.items[0]).toMatchObject({ attemptCount: 1, httpStatus: 200, error: null });
  });

  it('of an inactive endpoint answers 422 to a retry, and one of another endpoint 404', async () => {
    const path = freshPath();
    const { id } = await webhook(receiver.url(path), ['risk_threshold_exceeded']);
    const elsewhere = await webhook('https://a.example/elsewhere');
    await admin.event('risk_threshold_exceeded', {});
    const { items } = await admin.until(`${LIST}/${id}/deliveries`, (body) => isSuccess(body.items[0]));
    const wrong = await admin.call('POST', `${LIST}/${elsewhere.id}/deliveries/${items[0].id}/retry`);
    expect([wrong.status, wrong.body.code]).toEqual([404, 'not_found']);
    await admin.call('PATCH', `${LIST}/${id}`, { isActive: false });
    const { status, body } = await admin.call('POST', `${LIST}/${id}/deliveries/${items[0].id}/retry`);
    expect([status, body.code]).toEqual([422, 'unprocessable_entity']);
    expect(body).not.toHaveProperty('fields');
  });

  it('on the wire when its endpoint is deleted is not tried again', async () => {
    const path = freshPath();
    const held: (() => void)[] = [];
    receiver.answer(path, (_, response) => void held.push(() => response.writeHead(500).end()));
    const { id } = await webhook(receiver.url(path));
    await admin.call('PATCH', `/v1/webhooks/${id}`, { retrySchedule: ['0s', '0s'] });
    const event = await admin.event('device.high_risk', { deleted: true });
    await receiver.waitForCount(1, path);
    await admin.call('DELETE', `${LIST}/${id}`);
    held[0]!();
    await admin.until(`/v1/events/${event.id}`, ({ deliveries }) =>
      deliveries.some(({ status }: { status: string }) => status === 'cancelled'),
    );
    expect(receiver.requests.filter((request) => request.path === path)).toHaveLength(1);
  });
});

describe('a test send', () => {
  it('is signed, marked, and tells what came of it', async () => {
    const path = freshPath();
    receiver.answer(path, (_, response) => response.writeHead(201).end('x'.repeat(500)));
    const { id, secret } = await webhook(receiver.url(path));
    const { status, body } = await admin.call('POST', `${LIST}/${id}/test`);
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      httpStatus: 201,
      responseBody: 'x'.repeat(200),
      latencyMs: expect.any(Number),
      error: null,
    });
    expect(Number.isInteger(body.latencyMs)).toBe(true);
    const [request] = await receiver.waitForCount(1, path);
    expect(isGenuine(request!, secret)).toBe(true);
    expect(request!.headers['x-grantiva-delivery']).toMatch(/^test-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(request!.headers['x-grantiva-event']).toBe('attestation.completed');
    const { event, data } = JSON.parse(request!.body);
    expect([event, data.is_test]).toEqual(['attestation.completed', 'true']);
    expect(Object.values(data).every((value) => typeof value === 'string')).toBe(true);
    const list = await admin.call('GET', `${LIST}/${id}/deliveries`);
    expect(list.body.items).toEqual([]);
  });

  it('that fails is not tried again', async () => {
    const path = freshPath();
    receiver.answer(path, 503);
    const { id } = await webhook(receiver.url(path));
    const failed = await admin.call('POST', `${LIST}/${id}/test`);
    expect(failed.body).toMatchObject({ success: false, httpStatus: 503, error: 'HTTP 503' });
    const gone = await startReceiver();
    const url = gone.url();
    await gone.close();
    const unreachable = await webhook(url);
    const { body } = await admin.call('POST', `${LIST}/${unreachable.id}/test`);
    expect(body).toMatchObject({ success: false, httpStatus: null, responseBody: null, error: 'connect_refused' });
    expect(receiver.requests.filter((request) => request.path === path)).toHaveLength(1);
  });
});

function isSuccess(item: { status: string } | undefined): boolean {
  return item?.status === 'success';
}
