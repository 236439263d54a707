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

let names = 0;

/** Asks again until the answer fits: nothing announces that an attempt was written. */
async function until(path: string, fits: (body: Body) => boolean): Promise<Body> {
  const end = Date.now() + 10_000;
  for (;;) {
    const { body } = await api.call('GET', path);
    if (fits(body)) return body;
    if (Date.now() > end) throw new Error(`still not so: ${JSON.stringify(body)}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A webhook whose receiver answers so, tried once, and its deliveries of some events when all are at an end. */
async function delivered(status: number, count = 1, more: object = {}) {
  const type = `type-${++names}`;
  receiver.answer(`/${type}`, (_, response) => response.writeHead(status, { 'X-One': 'a', 'x-two': 'b' }).end('said'));
  const { body: webhook } = await api.call('POST', '/v1/webhooks', {
    body: { url: receiver.url(`/${type}`), events: [type], retrySchedule: [], ...more },
  });
  const events: string[] = [];
  for (let i = 0; i < count; i++) {
    events.unshift((await api.call('POST', '/v1/events', { body: { type, data: { i } } })).body.id);
  }
  const { deliveries } = await until(`/v1/deliveries?webhookId=${webhook.id}&limit=200`, (body) =>
    body.deliveries.every(({ endedAt }) => endedAt !== null),
  );
  return { type, webhook, events, deliveries };
}

describe('a delivery', () => {
  it('is shown with every attempt: answer, headers, times', async () => {
    const { deliveries, events, webhook, type } = await delivered(200);
    const { status, body } = await api.call('GET', `/v1/deliveries/${deliveries[0]!.id}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      id: expect.stringMatching(/^whd_[0-9A-Z]{26}$/),
      webhookId: webhook.id,
      eventId: events[0],
      eventType: type,
      status: 'delivered',
      reason: null,
      attempts: 1,
      nextAttemptAt: null,
      lastError: null,
      acknowledgedAt: null,
      url: webhook.url,
      attemptLog: [
        {
          number: 1,
          succeeded: true,
          statusCode: 200,
          failure: null,
          remoteAddress: '127.0.0.1',
          responseHeaders: { 'x-one': 'a', 'x-two': 'b' },
          responseBody: 'said',
          responseTruncated: false,
        },
      ],
    });
    expect(body.attemptLog[0]!.timing.firstByteMs).toBeGreaterThanOrEqual(0);
    const byAttempt = await api.call('GET', `/v1/deliveries/${body.attemptLog[0]!.id}`);
    expect(byAttempt.body).toEqual(body);
  });

  it('names a failure that gave no answer', async () => {
    const type = `type-${++names}`;
    const { body: webhook } = await api.call('POST', '/v1/webhooks', {
      body: { url: 'http://127.0.0.1:9/', events: [type], retrySchedule: [] },
    });
    await api.call('POST', '/v1/events', { body: { type, data: 1 } });
    const { deliveries } = await until(
      `/v1/deliveries?webhookId=${webhook.id}`,
      (body) => body.deliveries[0]!.endedAt !== null,
    );
    expect(deliveries[0]).toMatchObject({
      status: 'dead_letter',
      reason: 'schedule_exhausted',
      lastError: 'connect_refused',
    });
    const { body } = await api.call('GET', `/v1/deliveries/${deliveries[0]!.id}`);
    expect(body.attemptLog[0]).toMatchObject({
      succeeded: false,
      statusCode: null,
      failure: 'connect_refused',
      responseBody: null,
    });
  });

  it('is not found under ids that are none', async () => {
    for (const id of ['whd_nothing', 'nonsense', 'whd_01KF0Z7J3TE5XAY2V8N4R6M000', 'wh_01KF0Z7J3TE5XAY2V8N4R6M000']) {
      expect((await api.call('GET', `/v1/deliveries/${id}`)).status).toBe(404);
      expect((await api.call('POST', `/v1/deliveries/${id}/redeliver`)).status).toBe(404);
      expect((await api.call('POST', `/v1/dead-letters/${id}/retry`)).status).toBe(404);
      expect((await api.call('POST', `/v1/dead-letters/${id}/acknowledge`)).status).toBe(404);
    }
  });
});

describe('the list of deliveries', () => {
  it('chooses by status, webhook, event, type and time, and pages', async () => {
    const { webhook, events, type } = await delivered(200, 3);
    const list = async (query: string) => (await api.call('GET', `/v1/deliveries?${query}`)).body;
    const count = async (query: string) => (await list(query)).deliveries.length;
    expect(await count(`webhookId=${webhook.id}`)).toBe(3);
    expect(await count(`type=${type}&status=delivered`)).toBe(3);
    expect(await count(`type=${type}&status=pending,delivered`)).toBe(3);
    expect(await count(`type=${type}&status=pending&status=delivered`)).toBe(3);
    expect(await count(`type=${type}&status=pending`)).toBe(0);
    expect(await count(`eventId=${events[0]}`)).toBe(1);
    expect(await count('eventId=no-such-event')).toBe(0);
    expect(await count(`type=${type}&to=2020-01-01T00:00:00Z`)).toBe(0);
    expect(await count(`type=${type}&from=2020-01-01T00:00:00Z`)).toBe(3);
    const first = await list(`type=${type}&limit=2`);
    const rest = await list(`type=${type}&limit=2&cursor=${first.nextCursor}`);
    const seen = [...first.deliveries, ...rest.deliveries].map(({ eventId }) => eventId);
    expect([seen, rest.nextCursor]).toEqual([events, null]);
  });

  it.each([
    ['status=sent', 'status[0]: must be one of "pending"'],
    ['webhookId=nonsense', 'webhookId: must be the id of a webhook'],
    ['cursor=MTIz', 'cursor: is not a cursor'],
  ])('refuses ?%s', async (query, message) => {
    const { status, body } = await api.call('GET', `/v1/deliveries?${query}`);
    expect([status, body.message]).toEqual([400, expect.stringContaining(message)]);
  });
});

describe('the deliveries of a webhook', () => {
  it('page by number, as the Grantex contract has it', async () => {
    const { webhook, events } = await delivered(200, 3);
    const page = await api.call('GET', `/v1/webhooks/${webhook.id}/deliveries?page=2&pageSize=2&status=delivered`);
    expect(page.body).toMatchObject({ total: 3, page: 2, pageSize: 2, nextCursor: null });
    expect(page.body.deliveries).toMatchObject([
      { eventId: events[2], url: webhook.url, attempts: 1, maxAttempts: 1, deliveredAt: expect.any(String) },
    ]);
    const plain = await api.call('GET', `/v1/webhooks/${webhook.id}/deliveries`);
    expect(plain.body).toMatchObject({ total: 3, page: 1, pageSize: 20 });
    expect(plain.body.deliveries.map(({ eventId }) => eventId)).toEqual(events);
  });

  it('page by cursor, as every list', async () => {
    const { webhook, events } = await delivered(500, 3);
    const path = `/v1/webhooks/${webhook.id}/deliveries?status=failed&limit=2`;
    const first = await api.call('GET', path);
    const rest = await api.call('GET', `${path}&cursor=${first.body.nextCursor}`);
    const seen = [...first.body.deliveries, ...rest.body.deliveries];
    expect(seen.map(({ eventId }) => eventId)).toEqual(events);
    expect(seen[0]).toMatchObject({ status: 'failed', state: 'dead_letter', lastError: '500', deliveredAt: null });
    expect(rest.body.nextCursor).toBeNull();
  });

  it('with status=pending are all that are not at an end', async () => {
    const { webhook, type } = await delivered(200);
    await api.call('POST', `/v1/webhooks/${webhook.id}/disable`);
    await api.call('POST', '/v1/events', { body: { type, data: 1 } });
    const { body } = await api.call('GET', `/v1/webhooks/${webhook.id}/deliveries?status=pending`);
    expect(body.deliveries).toMatchObject([{ status: 'pending', state: 'held' }]);
  });

  it('refuse two ways to page at once, and pages that are none', async () => {
    const { webhook } = await delivered(200);
    for (const query of [
      'page=1&limit=2',
      'page=0',
      'pageSize=101',
      'pageSize=0',
      'status=lost',
      'page=100000&pageSize=100',
    ]) {
      expect([query, (await api.call('GET', `/v1/webhooks/${webhook.id}/deliveries?${query}`)).status]).toEqual([
        query,
        400,
      ]);
    }
  });

  it('are summed up in its stats', async () => {
    const { webhook } = await delivered(200, 2);
    const { body } = await api.call('GET', `/v1/webhooks/${webhook.id}/stats`);
    expect(body).toMatchObject({ hours: 24, deliveries: { delivered: 2, dead_letter: 0 }, successRate: 1 });
    expect(body.durationMsP99).toBeGreaterThanOrEqual(body.durationMsP50);
  });
});

describe('sending again', () => {
  it('goes out with the same bytes and the next number', async () => {
    const { deliveries, type } = await delivered(200);
    const again = await api.call('POST', `/v1/deliveries/${deliveries[0]!.id}/redeliver`);
    expect([again.status, again.body.id]).toEqual([202, deliveries[0]!.id]);
    const [first, second] = await receiver.waitForCount(2, `/${type}`);
    expect(second!.body).toBe(first!.body);
    const body = await until(`/v1/deliveries/${deliveries[0]!.id}`, ({ attempts }) => attempts === 2);
    expect(body.attemptLog.map(({ number }) => number)).toEqual([1, 2]);
  });

  it('is refused where the webhook is disabled, or gone', async () => {
    const { deliveries, webhook } = await delivered(500);
    const path = `/v1/deliveries/${deliveries[0]!.id}/redeliver`;
    await api.call('POST', `/v1/webhooks/${webhook.id}/disable`);
    expect(await api.call('POST', path)).toMatchObject({ status: 409, body: { code: 'INVALID_STATE' } });
    expect((await api.call('POST', `/v1/webhooks/${webhook.id}/replay`)).status).toBe(409);
    await api.call('DELETE', `/v1/webhooks/${webhook.id}`);
    expect((await api.call('POST', path)).body.message).toContain('deleted');
  });

  it('in bulk counts first where asked, and then sends what matches', async () => {
    const { type, webhook } = await delivered(500, 3);
    const filter = { status: 'dead_letter', type, webhookId: webhook.id, from: '2020-01-01T00:00:00Z' };
    const bulk = (body: object) => api.call('POST', '/v1/deliveries/redeliver', { body });
    expect(await bulk({ ...filter, dryRun: true })).toMatchObject({
      status: 202,
      body: { deliveries: 3, dryRun: true },
    });
    expect((await bulk({ ...filter, eventId: 'no-such-event' })).body).toEqual({ deliveries: 0, dryRun: false });
    receiver.answer(`/${type}`, 200);
    expect((await bulk({ ...filter, status: ['dead_letter', 'held'], ratePerSecond: 1000 })).body.deliveries).toBe(3);
    await receiver.waitForCount(6, `/${type}`);
  });

  it.each([
    [{ status: 'sent' }, 'status: must be among pending'],
    [{ status: [] }, 'status: must have at least one'],
    [{ status: 7 }, 'status: must be among pending'],
    [{ status: 'cancelled' }, 'status: '],
    [{ ratePerSecond: 0 }, 'ratePerSecond: must be'],
    [{ dryRun: 'yes' }, 'dryRun: must be true or false'],
    [{ webhook: 'wh_1' }, 'webhook: is not known; did you mean "webhookId"?'],
  ])('in bulk refuses %j', async (body, message) => {
    const answer = await api.call('POST', '/v1/deliveries/redeliver', { body });
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(message)]);
  });

  it('of all that a webhook did not get is its replay', async () => {
    const { webhook, type } = await delivered(500, 2);
    receiver.answer(`/${type}`, 200);
    const replay = (body?: object) => api.call('POST', `/v1/webhooks/${webhook.id}/replay`, body ? { body } : {});
    expect((await replay({ to: '2020-01-01T00:00:00Z' })).body.deliveries).toBe(0);
    expect((await replay({ status: ['held'] })).body.deliveries).toBe(0);
    expect(await replay()).toMatchObject({ status: 202, body: { deliveries: 2 } });
    await receiver.waitForCount(4, `/${type}`);
    expect((await replay({ status: ['lost'] })).status).toBe(400);
  });
});

describe('a dead letter', () => {
  it('is listed until it is acknowledged, and then as such', async () => {
    const { deliveries, type } = await delivered(500);
    const list = async (query: string) =>
      (await api.call('GET', `/v1/dead-letters?type=${type}${query}`)).body.deadLetters;
    expect(await list('')).toMatchObject([{ status: 'dead_letter', eventType: type, lastError: '500' }]);
    expect(await list('&acknowledged=true')).toEqual([]);
    const seen = await api.call('POST', `/v1/dead-letters/${deliveries[0]!.id}/acknowledge`);
    expect([seen.status, seen.body.acknowledgedAt]).toEqual([200, expect.any(String)]);
    expect(await list('&acknowledged=true')).toHaveLength(1);
    expect(await list('&acknowledged=false')).toEqual([]);
    expect((await api.call('GET', '/v1/dead-letters?acknowledged=maybe')).status).toBe(400);
  });

  it('is sent again by its retry', async () => {
    const { deliveries, type } = await delivered(500);
    receiver.answer(`/${type}`, 200);
    expect((await api.call('POST', `/v1/dead-letters/${deliveries[0]!.id}/retry`)).status).toBe(202);
    await until(`/v1/deliveries/${deliveries[0]!.id}`, ({ status }) => status === 'delivered');
  });

  it('is not what was delivered: that is neither retried nor acknowledged here', async () => {
    const { deliveries } = await delivered(200);
    for (const verb of ['retry', 'acknowledge']) {
      const answer = await api.call('POST', `/v1/dead-letters/${deliveries[0]!.id}/${verb}`);
      expect(answer).toMatchObject({ status: 409, body: { code: 'INVALID_STATE' } });
    }
  });
});
