import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { Client } from '../e2e/server.ts';
import { bearer, hexHmac, plain, same, startPosthorn, type Posthorn } from './posthorn.ts';

let posthorn: Posthorn;
let receiver: Receiver;
let developer: Client;
let stranger: Client;

beforeAll(async () => {
  receiver = await startReceiver();
  posthorn = await startPosthorn({ catalogue: 'closed' });
  for (const name of ['grant.created', 'grant.revoked', 'token.issued']) {
    await posthorn.call('PUT', `/v1/event-types/${name}`, {});
  }
  const { body } = await posthorn.call('POST', '/v1/signup', { name: 'Ada' }, { authorization: '' });
  developer = bearer(posthorn, body.apiKey);
  const other = await posthorn.call('POST', '/v1/signup', { name: 'Eve' }, { authorization: '' });
  stranger = bearer(posthorn, other.body.apiKey);
});

afterAll(async () => {
  await posthorn.close();
  await receiver.close();
});

let paths = 0;
const freshPath = (): string => `/grantex-${++paths}`;

/** As the documentation of the contract has its receivers do it. */
function verifyWebhookSignature(payload: string, signature: string, secret: string): boolean {
  return same(`sha256=${hexHmac(secret, payload)}`, signature);
}

describe('sign-up', () => {
  it('gives a stranger an id and a key that works at once, and its events arrive in the Grantex format', async () => {
    const anybody = new Client(posthorn.base, { authorization: '' });
    const { status, body } = await anybody.call('POST', '/v1/signup', { name: 'Grace', email: 'grace@example.com' });
    expect(status).toBe(201);
    expect(body).toMatchObject({ name: 'Grace', email: 'grace@example.com', mode: 'live' });
    expect(body.developerId).toEqual(expect.any(String));
    expect(Date.parse(body.createdAt)).not.toBeNaN();
    expect(body.apiKey).toMatch(/^gx_live_/);

    const grace = bearer(posthorn, body.apiKey);
    const path = freshPath();
    const webhook = await grace.webhook(receiver.url(path), ['grant.created']);
    const data = {
      grantId: 'g1',
      agentId: 'a1',
      principalId: 'p1',
      scopes: ['read'],
      expiresAt: '2027-01-01T00:00:00Z',
    };
    const event = await grace.event('grant.created', data);
    const arrived = await receiver.waitFor((request) => request.path === path);
    expect(verifyWebhookSignature(arrived.body, arrived.headers['x-grantex-signature'] as string, webhook.secret)).toBe(
      true,
    );
    expect(JSON.parse(arrived.body)).toEqual({
      id: event.id,
      type: 'grant.created',
      createdAt: expect.any(String),
      data,
    });
    expect(arrived.headers['content-type']).toBe('application/json');
    const history = await grace.until(
      `/v1/webhooks/${webhook.id}/deliveries`,
      ({ deliveries }) => deliveries[0]?.status === 'delivered',
    );
    expect(history).toMatchObject({ total: 1, page: 1, pageSize: 20 });
  });

  it('makes a sandbox key where that is asked for', async () => {
    const { body } = await posthorn.call('POST', '/v1/signup', { name: 'Tess', mode: 'sandbox' });
    expect(body.apiKey).toMatch(/^gx_test_/);
    expect(body).toMatchObject({ mode: 'sandbox', email: null });
  });

  it('answers 403 where the operator closed it', async () => {
    const closed = await startPosthorn({ signup: 'closed' });
    const { status, body } = await closed.call('POST', '/v1/signup', { name: 'Ada' });
    await closed.close();
    expect(status).toBe(403);
    expect(body).toMatchObject({ code: 'FORBIDDEN', message: expect.any(String), requestId: expect.any(String) });
  });
});

describe('every answer', () => {
  it.each([
    ['no key', {}],
    ['a wrong key', { authorization: 'Bearer gx_live_0123456789abcdef0123456789abcdef' }],
    ['a key of too few characters', { authorization: 'Bearer short' }],
    ['another scheme', { authorization: 'Basic Z3g6Z3g=' }],
    ['the key in the header of another face', { 'api-key': 'dev-api-key-local' }],
  ])('is 401 with message, code and requestId for %s', async (_, headers: Record<string, string>) => {
    const answer = await plain(posthorn, 'GET', '/v1/webhooks', { headers });
    const body = JSON.parse(answer.text);
    expect(answer.status).toBe(401);
    expect(body).toMatchObject({ code: 'UNAUTHORIZED', message: expect.any(String) });
    expect(answer.headers.get('x-request-id')).toBe(body.requestId);
  });

  it('carries an x-request-id, and integers of the rate limit with the seconds to go', async () => {
    for (const { headers } of [
      await developer.call('GET', '/v1/webhooks'),
      await developer.call('GET', '/v1/webhooks/wh_00000000000000000000000000'),
    ]) {
      expect(headers.get('x-request-id')).toMatch(/^req_/);
      const [limit, remaining, reset] = ['limit', 'remaining', 'reset'].map((name) =>
        headers.get(`x-ratelimit-${name}`),
      );
      expect(limit).toMatch(/^\d+$/);
      expect(remaining).toMatch(/^\d+$/);
      expect(Number(remaining)).toBeLessThan(Number(limit));
      expect(reset).toMatch(/^\d+$/);
      expect(Number(reset)).toBeGreaterThan(0);
      expect(Number(reset)).toBeLessThanOrEqual(60);
    }
  });

  it('is 429 with Retry-After once the minute’s requests of the key are used up, and events go on', async () => {
    const limited = await startPosthorn({ rateLimit: '3' });
    const answers = [];
    for (let i = 0; i < 7; i++) answers.push(await limited.call('GET', '/v1/webhooks'));
    const event = await limited.call('POST', '/v1/events', { type: 'a', data: {} });
    await limited.close();
    // Seven, so that no minute can end without one too many.
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.body).toMatchObject({ code: 'TOO_MANY_REQUESTS', message: expect.any(String) });
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(refused.headers.get('x-ratelimit-limit')).toBe('3');
    expect(refused.headers.get('x-ratelimit-remaining')).toBe('0');
    expect(refused.headers.get('x-ratelimit-reset')).toBe(refused.headers.get('retry-after'));
    expect(event.status).toBe(202);
    expect(event.headers.get('x-ratelimit-limit')).toBeNull();
  });
});

describe('POST /v1/webhooks', () => {
  it('answers 201 with id, url, the events in their order, the secret and the time; unknown fields are ignored', async () => {
    const url = 'https://receiver.example/hook';
    const events = ['token.issued', 'grant.created'];
    const { status, body } = await developer.call('POST', '/v1/webhooks', { url, events, colour: 'red' });
    expect(status).toBe(201);
    expect(body).toMatchObject({ id: expect.stringMatching(/^wh_/), url, events });
    expect(body.secret).toEqual(expect.any(String));
    expect(Date.parse(body.createdAt)).not.toBeNaN();
  });

  it('has the contract’s schedule of five attempts and its 10 seconds', async () => {
    const { id } = await developer.webhook('https://receiver.example/hook', ['grant.created']);
    const { body } = await developer.call('GET', `/v1/webhooks/${id}`);
    expect(body).toMatchObject({ wireFormat: 'grantex', retrySchedule: ['30s', '1m', '2m', '4m'], timeout: '10s' });
  });

  it('signs with the secret that is given, and with the next one after PATCH', async () => {
    const path = freshPath();
    const webhook = await developer.webhook(receiver.url(path), ['token.issued'], { secret: 'mine-0123456789abcdef' });
    expect(webhook.secret).toBe('mine-0123456789abcdef');
    await developer.event('token.issued', { tokenId: 't1' });
    const [first] = await receiver.waitForCount(1, path);
    expect(first!.headers['x-grantex-signature']).toBe(`sha256=${hexHmac('mine-0123456789abcdef', first!.body)}`);
    const patched = await developer.call('PATCH', `/v1/webhooks/${webhook.id}`, { secret: 'next-0123456789abcdef' });
    expect(patched.status).toBe(200);
    expect(JSON.stringify(patched.body)).not.toContain('next-0123456789abcdef');
    await developer.event('token.issued', { tokenId: 't2' });
    const [, second] = await receiver.waitForCount(2, path);
    expect(second!.headers['x-grantex-signature']).toBe(`sha256=${hexHmac('next-0123456789abcdef', second!.body)}`);
  });

  it.each<[string, unknown, RegExp]>([
    ['no body', undefined, /content-type|body/i],
    ['a body that is no JSON', '{"url":', /body/],
    ['a list', [], /body: must be an object/],
    ['no url', { events: ['grant.created'] }, /url: is missing/],
    ['no events', { url: 'https://a.example' }, /events: is missing/],
    ['events that are no list', { url: 'https://a.example', events: 'grant.created' }, /events: must be a list/],
    ['an empty list of events', { url: 'https://a.example', events: [] }, /events: must have at least one/],
    ['an event that is no text', { url: 'https://a.example', events: [7] }, /events\[0\]: must be a string/],
    ['a url that is none', { url: 'nowhere', events: ['grant.created'] }, /url: /],
    ['another scheme', { url: 'ftp://a.example', events: ['grant.created'] }, /url: /],
    ['a url with credentials', { url: 'https://u:p@a.example', events: ['grant.created'] }, /url: /],
    ['a url of 2,049 characters', { url: `https://a.example/${'x'.repeat(2031)}`, events: ['grant.created'] }, /url: /],
  ])('answers 400 or 415 that says why for %s', async (_, body, why) => {
    const answer = await developer.call('POST', '/v1/webhooks', body);
    expect(answer.body.message).toMatch(why);
    expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
    expect([answer.status, answer.body.code]).toEqual([400, 'BAD_REQUEST']);
  });

  it('names the unknown event types and the valid ones', async () => {
    const { status, body } = await developer.call('POST', '/v1/webhooks', {
      url: 'https://a.example',
      events: ['grant.created', 'grant.invented'],
    });
    expect(status).toBe(400);
    expect(body.code).toBe('BAD_REQUEST');
    expect(body.message).toMatch(/grant\.invented.*grant\.created, grant\.revoked, token\.issued/);
  });

  it('answers 402 PLAN_LIMIT_EXCEEDED where the plan has no room, also to many at once', async () => {
    await posthorn.call('PUT', '/v1/plans/two', { endpointLimit: 2 });
    await posthorn.tenant('small', { plan: 'two' });
    const small = bearer(posthorn, await posthorn.key('small', { role: 'admin', prefix: 'gx_live_' }));
    const request = { url: 'https://a.example', events: ['grant.created'] };
    const answers = await Promise.all(Array.from({ length: 8 }, () => small.call('POST', '/v1/webhooks', request)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(2);
    for (const { status, body } of answers.filter((answer) => answer.status !== 201)) {
      expect([status, body.code]).toEqual([402, 'PLAN_LIMIT_EXCEEDED']);
      expect(body.message).toEqual(expect.any(String));
    }
  });

  it('repeated with the same idempotency key answers with the same webhook and secret', async () => {
    const request = { url: 'https://a.example/repeat', events: ['grant.created'] };
    const headers = { 'idempotency-key': 'create-1' };
    const first = await developer.call('POST', '/v1/webhooks', request, headers);
    const again = await developer.call('POST', '/v1/webhooks', request, headers);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    const other = await developer.call('POST', '/v1/webhooks', { ...request, events: ['grant.revoked'] }, headers);
    expect([other.status, other.body.code]).toEqual([409, 'IDEMPOTENCY_CONFLICT']);
  });
});

describe('webhooks of a tenant', () => {
  it('are listed newest first, never with a secret', async () => {
    const first = await stranger.webhook('https://a.example/1', ['grant.created']);
    const second = await stranger.webhook('https://a.example/2', ['grant.created']);
    const { status, body } = await stranger.call('GET', '/v1/webhooks');
    expect(status).toBe(200);
    expect(body.webhooks.map(({ id }: { id: string }) => id)).toEqual([second.id, first.id]);
    expect(body.webhooks[0]).toMatchObject({ url: 'https://a.example/2', events: ['grant.created'] });
    expect(JSON.stringify(body)).not.toMatch(/"secret"|whsec/);
  });

  it('are got and changed by id', async () => {
    const { id } = await developer.webhook('https://a.example/3', ['grant.created']);
    const change = { url: 'https://a.example/4', events: ['grant.revoked'], description: 'new', isActive: false };
    const patched = await developer.call('PATCH', `/v1/webhooks/${id}`, change);
    const got = await developer.call('GET', `/v1/webhooks/${id}`);
    expect([patched.status, got.status]).toEqual([200, 200]);
    expect(got.body).toMatchObject({ id, ...change });
    expect(patched.body).toEqual(got.body);
    expect(got.body).not.toHaveProperty('secret');
  });

  it('are deleted with 204 and no body at all; then they are not found, and their history is', async () => {
    const path = freshPath();
    const { id } = await developer.webhook(receiver.url(path), ['grant.revoked']);
    const event = await developer.event('grant.revoked', { grantId: 'g', cascade: true });
    await receiver.waitForCount(1, path);
    const deleted = await developer.call('DELETE', `/v1/webhooks/${id}`);
    expect([deleted.status, deleted.body]).toEqual([204, null]);
    expect(deleted.headers.get('content-type')).toBeNull();
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await developer.call(method, `/v1/webhooks/${id}`);
      expect([method, status, body.code]).toEqual([method, 404, 'NOT_FOUND']);
    }
    const { body } = await developer.call('GET', `/v1/events/${event.id}`);
    expect(body.deliveries.map(({ webhookId }: { webhookId: string }) => webhookId)).toContain(id);
  });

  it('of somebody else are not found, whatever is asked', async () => {
    const { id } = await developer.webhook('https://a.example/5', ['grant.created']);
    for (const [method, path, body] of [
      ['GET', `/v1/webhooks/${id}`],
      ['PATCH', `/v1/webhooks/${id}`, { isActive: false }],
      ['DELETE', `/v1/webhooks/${id}`],
      ['GET', `/v1/webhooks/${id}/deliveries`],
    ] as const) {
      const answer = await stranger.call(method, path, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 404, 'NOT_FOUND']);
    }
  });
});

describe('GET /v1/webhooks/:id/deliveries', () => {
  it('pages newest first, in the contract’s words', async () => {
    const path = freshPath();
    const { id } = await developer.webhook(receiver.url(path), ['grant.created'], { retrySchedule: [] });
    receiver.answer(path, (request, response) => {
      response.writeHead(JSON.parse(request.body).data.n === 2 ? 500 : 204).end();
    });
    for (const n of [1, 2, 3]) {
      await developer.event('grant.created', { n });
      await receiver.waitForCount(n, path);
    }
    const list = `/v1/webhooks/${id}/deliveries`;
    await developer.until(`${list}?status=pending`, ({ total }) => total === 0);
    const { body } = await developer.call('GET', `${list}?page=1&pageSize=2`);
    expect(body).toMatchObject({ total: 3, page: 1, pageSize: 2 });
    expect(body.deliveries).toHaveLength(2);
    const [newest, failed] = body.deliveries;
    expect(newest).toMatchObject({
      id: expect.stringMatching(/^whd_/),
      webhookId: id,
      eventId: expect.stringMatching(/^evt_/),
      eventType: 'grant.created',
      status: 'delivered',
      state: 'delivered',
      attempts: 1,
      maxAttempts: 1,
      url: receiver.url(path),
      lastError: null,
    });
    expect(Date.parse(newest.deliveredAt)).toBeGreaterThanOrEqual(Date.parse(newest.createdAt));
    expect(failed).toMatchObject({ status: 'failed', state: 'dead_letter', lastError: '500', deliveredAt: null });
    const second = await developer.call('GET', `${list}?page=2&pageSize=2`);
    expect(second.body.deliveries).toHaveLength(1);
    for (const [status, total] of [
      ['delivered', 2],
      ['failed', 1],
      ['pending', 0],
    ]) {
      const filtered = await developer.call('GET', `${list}?status=${status}`);
      expect([status, filtered.body.total]).toEqual([status, total]);
    }
  });

  it('shows what waits as pending, with its exact state beside it', async () => {
    const { id } = await developer.webhook('https://a.example/held', ['token.issued'], { isActive: false });
    await developer.event('token.issued', {});
    const { body } = await developer.call('GET', `/v1/webhooks/${id}/deliveries`);
    expect(body.deliveries[0]).toMatchObject({ status: 'pending', state: 'held', attempts: 0, maxAttempts: 5 });
  });

  it.each(['page=0', 'page=x', 'pageSize=101', 'pageSize=0', 'status=done', 'size=3'])(
    'answers 400 for %s',
    async (query) => {
      const { id } = await developer.webhook('https://a.example/6', ['grant.created']);
      const { status, body } = await developer.call('GET', `/v1/webhooks/${id}/deliveries?${query}`);
      expect([status, body.code]).toEqual([400, 'BAD_REQUEST']);
    },
  );
});

describe('a delivery', () => {
  it('carries both signatures, made anew at every attempt, and is tried again after a failure', async () => {
    const path = freshPath();
    let calls = 0;
    receiver.answer(path, (_, response) => response.writeHead(++calls === 1 ? 503 : 200).end());
    const { id, secret } = await developer.webhook(receiver.url(path), ['grant.created']);
    await developer.call('PATCH', `/v1/webhooks/${id}`, { retrySchedule: ['1100ms'] });
    await developer.event('grant.created', { grantId: 'g' });
    const [first, second] = await receiver.waitForCount(2, path);
    expect(second!.body).toBe(first!.body);
    for (const { body, headers } of [first!, second!]) {
      const timestamp = headers['x-grantex-timestamp'] as string;
      expect(timestamp).toMatch(/^\d{10}$/);
      expect(headers['x-grantex-signature']).toBe(`sha256=${hexHmac(secret, body)}`);
      expect(headers['x-grantex-signature-v2']).toBe(`sha256=${hexHmac(secret, `${timestamp}.${body}`)}`);
    }
    expect(second!.headers['x-grantex-timestamp']).not.toBe(first!.headers['x-grantex-timestamp']);
  });

  it('does not follow a redirect: that is a failure', async () => {
    const [path, elsewhere] = [freshPath(), freshPath()];
    receiver.answer(path, (_, response) => response.writeHead(307, { location: receiver.url(elsewhere) }).end());
    const { id } = await developer.webhook(receiver.url(path), ['grant.created'], { retrySchedule: [] });
    await developer.event('grant.created', {});
    const history = await developer.until(
      `/v1/webhooks/${id}/deliveries`,
      ({ deliveries }) => deliveries[0]?.status === 'failed',
    );
    expect(history.deliveries[0].lastError).toBe('307');
    expect(receiver.requests.filter((request) => request.path === elsewhere)).toHaveLength(0);
  });

  it('is not delayed by an endpoint that does not answer', async () => {
    const [slow, quick] = [freshPath(), freshPath()];
    receiver.answer(slow, () => undefined);
    await developer.webhook(receiver.url(slow), ['token.issued'], { timeout: '500ms', retrySchedule: [] });
    await developer.webhook(receiver.url(quick), ['token.issued']);
    for (let i = 0; i < 20; i++) await developer.event('token.issued', { i });
    const arrived = await receiver.waitForCount(20, quick);
    expect(arrived).toHaveLength(20);
  });
});
