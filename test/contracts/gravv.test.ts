import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { Client, KEY } from '../e2e/server.ts';
import { bearer, hexHmac, plain, same, startPosthorn, type Posthorn } from './posthorn.ts';

const HISTORY = '/v1/webhooks/history';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const GROUP = '0ff6cf9a-8da0-466d-a71c-714eb4bde248';

let posthorn: Posthorn;
let receiver: Receiver;
/** With the header `Api-Key`. */
let business: Client;
/** The same business, natively. */
let native: Client;
let stranger: Client;

beforeAll(async () => {
  receiver = await startReceiver();
  posthorn = await startPosthorn();
  await posthorn.tenant('dfa96ede-fc13-43cf-8328-8b910d1cd1d2', { wireFormat: 'gravv' });
  await posthorn.tenant('other');
  const key = await posthorn.key('dfa96ede-fc13-43cf-8328-8b910d1cd1d2', { role: 'owner', prefix: 'grvSec_sandbox_' });
  expect(key).toMatch(/^grvSec_sandbox_/);
  business = apiKey(key);
  native = bearer(posthorn, key);
  stranger = apiKey(await posthorn.key('other', { role: 'owner', prefix: 'grvSec_live_' }));
});

afterAll(async () => {
  await posthorn.close();
  await receiver.close();
});

function apiKey(key: string): Client {
  const client = new Client(posthorn.base);
  return Object.assign(client, {
    call: async (method: string, path: string, body?: unknown) => {
      const headers = { 'api-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
      const answer = await plain(posthorn, method, path, {
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return {
        status: answer.status,
        headers: answer.headers,
        body: answer.text === '' ? null : JSON.parse(answer.text),
      };
    },
  });
}

let paths = 0;
const freshPath = (): string => `/gravv-${++paths}`;

/** An event of a type of its own for an endpoint of its own. */
async function sent(more: Record<string, unknown> = {}, endpoint: Record<string, unknown> = {}) {
  const path = freshPath();
  const type = `transfer.case-${paths}.completed`;
  const webhook = await native.webhook(receiver.url(path), [type], endpoint);
  return { path, type, webhook, send: () => native.event(type, { status: 'completed' }, more) };
}

interface Item {
  id: string;
  status: string;
  created_at: string;
  last_attempt: string | null;
}

/** The one item of the history of a type, once it fits. */
async function itemOf(type: string, fits: (item: Item) => boolean): Promise<Item> {
  const { data } = await business.until(`${HISTORY}?event_type=${type}`, ({ data: { items } }) => {
    return items.length > 0 && fits(items[0]);
  });
  return data.items[0];
}

describe('the envelope', () => {
  it('has the seven members of the contract and a bare hex signature over the raw body', async () => {
    const { path, type, webhook, send } = await sent({ group: GROUP });
    await send();
    const { body, headers } = await receiver.waitFor((request) => request.path === path);
    const signature = headers['x-gravv-signature'] as string;
    expect(signature).toMatch(/^[0-9a-f]{64}$/);
    expect(same(hexHmac(webhook.secret, body), signature)).toBe(true);
    expect(JSON.parse(body)).toEqual({
      event_id: expect.stringMatching(UUID),
      tenant_id: 'dfa96ede-fc13-43cf-8328-8b910d1cd1d2',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/),
      event_data: { status: 'completed' },
      event_type: type,
      event_category: 'transfer',
      event_group_id: GROUP,
    });
  });

  it('has the category that was given', async () => {
    const { path, send } = await sent({ category: 'payout' });
    await send();
    const { body } = await receiver.waitFor((request) => request.path === path);
    expect(JSON.parse(body).event_category).toBe('payout');
  });
});

describe('GET /v1/webhooks/history', () => {
  it('shows a delivery with its answer, wrapped in data and error', async () => {
    const { path, type, send } = await sent({ group: GROUP });
    await send();
    await itemOf(type, ({ status }) => status === 'sent');
    const { status, headers, body } = await business.call('GET', `${HISTORY}?event_type=${type}`);
    expect(status).toBe(200);
    expect(headers.get('x-request-id')).toMatch(/^req_/);
    expect(headers.get('x-ratelimit-remaining')).toMatch(/^\d+$/);
    expect(body).toEqual({
      data: {
        items: [
          {
            id: expect.stringMatching(UUID),
            transaction_id: GROUP,
            event_type: type,
            path: receiver.url(path),
            http_method: 'POST',
            status: 'sent',
            response_status_code: 200,
            created_at: expect.any(String),
            last_attempt: expect.any(String),
          },
        ],
        items_per_page: 50,
        page: 1,
        total_items: 1,
        total_pages: 1,
      },
      error: null,
    });
  });

  it('filters by transaction, and pages', async () => {
    const group = 'group-of-three';
    const { type, send } = await sent({ group });
    for (let i = 0; i < 3; i++) await send();
    const query = `${HISTORY}?transaction_id=${group}&limit=2`;
    const first = await business.call('GET', query);
    expect(first.body.data).toMatchObject({ items_per_page: 2, page: 1, total_items: 3, total_pages: 2 });
    expect(first.body.data.items.map((item: Record<string, unknown>) => item.event_type)).toEqual([type, type]);
    const second = await business.call('GET', `${query}&page=2`);
    expect(second.body.data.items).toHaveLength(1);
    const none = await business.call('GET', `${query}&page=3`);
    expect(none.body.data).toMatchObject({ items: [], total_items: 3 });
    const nothing = await business.call('GET', `${HISTORY}?transaction_id=nothing`);
    expect(nothing.body.data).toMatchObject({ items: [], total_items: 0, total_pages: 0 });
  });

  it('takes both dates as included', async () => {
    const { type, send } = await sent();
    await send();
    const { created_at: at } = await itemOf(type, () => true);
    const just = (ms: number): string => encodeURIComponent(new Date(Date.parse(at) + ms).toISOString());
    for (const [query, items] of [
      [`start_date=${just(0)}&end_date=${just(0)}`, 1],
      [`start_date=${just(1)}`, 0],
      [`end_date=${just(-1)}`, 0],
      [`start_date=${encodeURIComponent('2020-01-01T00:00:00+02:00')}`, 1],
    ] as const) {
      const { body } = await business.call('GET', `${HISTORY}?event_type=${type}&${query}`);
      expect([query, body.data.items.length]).toEqual([query, items]);
    }
  });

  it('tells pending, processing, sent, retrying and failed apart, in the list and in the filter', async () => {
    const is: Record<string, string> = {};

    const pending = await sent({}, { isActive: false });
    await pending.send();
    is.pending = pending.type;

    const processing = await sent();
    const held: (() => void)[] = [];
    receiver.answer(processing.path, (_, response) => void held.push(() => response.end()));
    await processing.send();
    await receiver.waitForCount(1, processing.path);
    is.processing = processing.type;

    const delivered = await sent();
    await delivered.send();
    is.sent = delivered.type;

    const retrying = await sent({}, { retrySchedule: ['1h'] });
    receiver.answer(retrying.path, 500);
    await retrying.send();
    is.retrying = retrying.type;

    const failed = await sent({}, { retrySchedule: [] });
    receiver.answer(failed.path, 500);
    await failed.send();
    is.failed = failed.type;

    for (const [status, type] of Object.entries(is)) {
      const item = await itemOf(type, (found) => found.status === status);
      expect(item.status).toBe(status);
      for (const filter of Object.keys(is)) {
        const { body } = await business.call('GET', `${HISTORY}?event_type=${type}&status=${filter}`);
        expect([type, filter, body.data.total_items]).toEqual([type, filter, filter === status ? 1 : 0]);
      }
    }
    held[0]!();
  });

  it.each([
    ['limit=0', /limit/],
    ['limit=101', /limit/],
    ['limit=ten', /limit/],
    ['page=0', /page/],
    ['page=1000000', /page/],
    ['status=done', /status/],
    ['start_date=2024-01-01', /start_date/],
    ['end_date=yesterday', /end_date/],
    ['start_date=2024-02-01T00:00:00Z&end_date=2024-01-01T00:00:00Z', /start_date/],
  ])('answers 400 in its own body for %s', async (query, why) => {
    const { status, body } = await business.call('GET', `${HISTORY}?${query}`);
    expect(status).toBe(400);
    expect(body).toEqual({ data: null, error: expect.stringMatching(why) });
  });

  it('ignores parameters that it does not know', async () => {
    expect((await business.call('GET', `${HISTORY}?colour=red`)).status).toBe(200);
  });

  it('of another business shows nothing of this one', async () => {
    const { body } = await stranger.call('GET', HISTORY);
    expect(body.data).toMatchObject({ items: [], total_items: 0 });
  });
});

describe('GET /v1/webhooks/event/:id', () => {
  it('shows request and response of a delivery, the payload byte for byte', async () => {
    const { path, type, webhook } = await sent({}, { headers: { 'X-Mine': 'yes' }, retrySchedule: ['1h', '2h'] });
    receiver.answer(path, (_, response) => response.writeHead(500, { 'x-from': 'test' }).end('{"ok":false}'));
    const text = '{"n":12345678901234567890,"status":"completed"}';
    await native.call('POST', '/v1/events', `{"type":"${type}","group":"g","data":${text}}`);
    const item = await itemOf(type, ({ status }) => status === 'retrying');
    const [request] = await receiver.waitForCount(1, path);
    const { body } = await business.call('GET', `/v1/webhooks/event/${item.id}`);
    expect(body).toEqual({
      data: {
        id: item.id,
        event_id: JSON.parse(request!.body).event_id,
        event_type: type,
        status: 'retrying',
        path: receiver.url(path),
        http_method: 'POST',
        request_headers: expect.objectContaining({ 'X-Mine': 'yes' }),
        payload: JSON.parse(request!.body),
        response_headers: expect.objectContaining({ 'x-from': 'test' }),
        response_status_code: 500,
        response_body: { ok: false },
        attempts: 1,
        max_retries: 2,
        last_attempt: item.last_attempt,
        next_attempt: expect.any(String),
        created_at: item.created_at,
        updated_at: expect.any(String),
      },
      error: null,
    });
    expect(JSON.stringify(body)).not.toContain(webhook.secret);
    const answer = await fetch(`${posthorn.base}/v1/webhooks/event/${item.id}`, {
      headers: { 'api-key': KEY, 'posthorn-tenant': 'dfa96ede-fc13-43cf-8328-8b910d1cd1d2' },
    });
    expect(await answer.text()).toContain(`"payload":${request!.body}}`);
  });

  it('shows what has not been tried, and a response that is no JSON as its text', async () => {
    const waiting = await sent({}, { isActive: false });
    await waiting.send();
    const item = await itemOf(waiting.type, () => true);
    const { body } = await business.call('GET', `/v1/webhooks/event/${item.id}`);
    expect(body.data).toMatchObject({
      status: 'pending',
      attempts: 0,
      last_attempt: null,
      response_headers: null,
      response_status_code: null,
      response_body: null,
    });
    const text = await sent();
    receiver.answer(text.path, (_, response) => response.end('thanks'));
    await text.send();
    const { id } = await itemOf(text.type, ({ status }) => status === 'sent');
    const detail = await business.call('GET', `/v1/webhooks/event/${id}`);
    expect(detail.body.data).toMatchObject({ response_body: 'thanks', next_attempt: null });
  });
});

describe('GET /v1/webhooks/calls/:id', () => {
  it('shows every attempt in order', async () => {
    const { path, type, send } = await sent({}, { retrySchedule: ['0s'] });
    let calls = 0;
    receiver.answer(path, (_, response) => response.writeHead(++calls === 1 ? 503 : 200).end('answer'));
    await send();
    const item = await itemOf(type, ({ status }) => status === 'sent');
    const { body } = await business.call('GET', `/v1/webhooks/calls/${item.id}`);
    expect(body.error).toBeNull();
    expect(body.data).toHaveLength(2);
    expect(body.data[0]).toEqual({
      id: expect.stringMatching(UUID),
      attempt: 1,
      status: 'failed',
      path: receiver.url(path),
      http_method: 'POST',
      response_status_code: 503,
      response_headers: expect.any(Object),
      response_body: 'answer',
      error: null,
      duration_ms: expect.any(Number),
      created_at: expect.any(String),
    });
    expect(body.data[1]).toMatchObject({ attempt: 2, status: 'sent', response_status_code: 200 });
  });
});

describe('POST /v1/webhooks/event/send/:id', () => {
  it('sends the original bytes now and answers with what came of it', async () => {
    const { path, type, send } = await sent({ category: 'payout' }, { retrySchedule: [] });
    receiver.answer(path, 500);
    await send();
    const item = await itemOf(type, ({ status }) => status === 'failed');
    receiver.answer(path, (_, response) => response.writeHead(202).end('{"received":true}'));
    const { status, body } = await business.call('POST', `/v1/webhooks/event/send/${item.id}`);
    expect(status).toBe(200);
    expect(body).toEqual({
      data: {
        id: item.id,
        tenant_id: 'dfa96ede-fc13-43cf-8328-8b910d1cd1d2',
        event_category: 'payout',
        target_url: receiver.url(path),
        status_code: 202,
        duration_ms: expect.any(Number),
        response_body: { received: true },
      },
      error: null,
    });
    expect(Number.isInteger(body.data.duration_ms)).toBe(true);
    const [first, second] = await receiver.waitForCount(2, path);
    expect(second!.body).toBe(first!.body);
    expect((await itemOf(type, () => true)).status).toBe('sent');
  });

  it('answers with a failure of the receiver as a value, and nothing where it cannot be reached', async () => {
    const { path, type, send } = await sent({}, { retrySchedule: [] });
    receiver.answer(path, (_, response) => response.destroy());
    await send();
    const item = await itemOf(type, ({ status }) => status === 'failed');
    const { status, body } = await business.call('POST', `/v1/webhooks/event/send/${item.id}`);
    expect(status).toBe(200);
    expect(body.data).toMatchObject({ event_category: 'transfer', status_code: null, response_body: null });
  });

  it('refuses a delivery of a disabled endpoint', async () => {
    const { type, send } = await sent({}, { isActive: false });
    await send();
    const item = await itemOf(type, () => true);
    const { status, body } = await business.call('POST', `/v1/webhooks/event/send/${item.id}`);
    expect([status, body.data]).toEqual([409, null]);
    expect(body.error).toMatch(/disabled/);
  });
});

describe('every answer that refuses', () => {
  const known = '01890000-0000-7000-8000-000000000000';

  it.each([
    ['GET', HISTORY],
    ['GET', `/v1/webhooks/event/${known}`],
    ['GET', `/v1/webhooks/calls/${known}`],
    ['POST', `/v1/webhooks/event/send/${known}`],
  ])(
    '%s %s is 401 in its own body without a key, with a wrong one, and with one in another face’s header',
    async (method, path) => {
      for (const headers of [{}, { 'api-key': 'grvSec_live_0123456789abcdef' }, { authorization: `Bearer ${KEY}` }]) {
        const answer = await plain(posthorn, method, path, { headers: headers as Record<string, string> });
        expect(answer.status).toBe(401);
        expect(JSON.parse(answer.text)).toEqual({ data: null, error: expect.any(String) });
        expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
        expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
      }
    },
  );

  it('is 404 in its own body for what is unknown, no id at all, or another business’s', async () => {
    const { type, send } = await sent();
    await send();
    const { id } = await itemOf(type, () => true);
    for (const [client, unknown] of [
      [business, known],
      [business, 'no-id'],
      [stranger, id],
    ] as const) {
      for (const [method, path] of [
        ['GET', '/v1/webhooks/event'],
        ['GET', '/v1/webhooks/calls'],
        ['POST', '/v1/webhooks/event/send'],
      ] as const) {
        const { status, body } = await client.call(method, `${path}/${unknown}`);
        expect([path, status]).toEqual([path, 404]);
        expect(body).toEqual({ data: null, error: expect.any(String) });
      }
    }
  });

  it('is 405 in its own body for another method, also where a native path has that method', async () => {
    for (const [method, path, allow] of [
      ['PATCH', HISTORY, 'GET, HEAD'],
      ['DELETE', HISTORY, 'GET, HEAD'],
      ['POST', `/v1/webhooks/event/test`, 'GET, HEAD'],
      ['POST', `/v1/webhooks/calls/enable`, 'GET, HEAD'],
      ['GET', `/v1/webhooks/event/send/${known}`, 'POST'],
    ] as const) {
      const { status, headers, body } = await business.call(method, path);
      expect([method, path, status]).toEqual([method, path, 405]);
      expect(body).toEqual({ data: null, error: expect.any(String) });
      expect(headers.get('allow')).toBe(allow);
    }
  });

  it('is in its own body for paths that are too long, not validly encoded, or go nowhere', async () => {
    for (const [path, status] of [
      [`/v1/webhooks/event/${'x'.repeat(600)}`, 414],
      ['/v1/webhooks/event/%zz', 400],
      ['/v1/webhooks/event/a/b/c', 404],
      ['/v1/webhooks/calls/', 404],
    ] as const) {
      const answer = await business.call('GET', path);
      expect([path, answer.status, answer.body]).toEqual([path, status, { data: null, error: expect.any(String) }]);
    }
  });

  it('is 403 for a key that may only look, and for one without the scope', async () => {
    const tenant = 'dfa96ede-fc13-43cf-8328-8b910d1cd1d2';
    const viewer = apiKey(await posthorn.key(tenant, { role: 'viewer', prefix: 'grvSec_live_' }));
    expect((await viewer.call('GET', HISTORY)).status).toBe(200);
    const refused = await viewer.call('POST', `/v1/webhooks/event/send/${known}`);
    expect(refused).toMatchObject({ status: 403, body: { data: null } });
    const narrow = apiKey(await posthorn.key(tenant, { role: 'owner', scopes: ['events:write'] }));
    expect(await narrow.call('GET', HISTORY)).toMatchObject({ status: 403, body: { data: null } });
  });

  it('is 429 with Retry-After once the minute’s requests are used up', async () => {
    const limited = await startPosthorn({ rateLimit: '1' });
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push(await plain(limited, 'GET', HISTORY, { headers: { 'api-key': KEY } }));
    await limited.close();
    const refused = answers.find(({ status }) => status === 429)!;
    expect(JSON.parse(refused.text)).toEqual({ data: null, error: expect.any(String) });
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  });
});
