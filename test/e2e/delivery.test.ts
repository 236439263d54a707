import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { startReceiver, type Received, type Receiver } from './receiver.ts';
import { dataDir, startServer, type Running } from './server.ts';

let receiver: Receiver;
let posthorn: Running;
const data = dataDir();

beforeAll(async () => {
  receiver = await startReceiver();
  posthorn = await startServer(data.path, { retrySchedule: '50ms,50ms' });
});

afterAll(async () => {
  await posthorn.stop();
  await receiver.close();
  data.remove();
});

let paths = 0;
const freshPath = (): string => `/hook-${++paths}`;
const verifies = (secret: string, { body, headers }: Received): unknown =>
  new Webhook(secret).verify(body, headers as Record<string, string>);

describe('a delivery', () => {
  it('arrives signed so that the standardwebhooks package verifies it, byte for byte what was sent', async () => {
    const path = freshPath();
    const { secret } = await posthorn.webhook(receiver.url(path), ['grant.created']);
    const text = '{"n":12345678901234567890,  "s":"\\u00e9 ü 😀"}';
    const { body: event } = await posthorn.call('POST', '/v1/events', `{"type":"grant.created","data":${text}}`);
    const request = await receiver.waitFor((one) => one.path === path);
    expect(verifies(secret, request)).toMatchObject({ type: 'grant.created' });
    expect(request.body).toContain(`"data":${text}`);
    expect(request.headers['webhook-id']).toBe(event.id);
    expect(request.headers['content-type']).toBe('application/json');
  });

  it('is seen in the history with its attempt, the answer and the time of each phase', async () => {
    const path = freshPath();
    receiver.answer(path, (_, response) => response.writeHead(201, { 'x-from': 'test' }).end('thanks'));
    const { id } = await posthorn.webhook(receiver.url(path), [`seen.${paths}`]);
    await posthorn.event(`seen.${paths}`, {});
    const list = await posthorn.until(
      `/v1/webhooks/${id}/deliveries`,
      (body) => body.deliveries[0]?.status === 'delivered',
    );
    const { body } = await posthorn.call('GET', `/v1/deliveries/${list.deliveries[0].id}`);
    expect(body).toMatchObject({ status: 'delivered', webhookId: id, eventType: `seen.${paths}`, attempts: 1 });
    expect(body.attemptLog).toHaveLength(1);
    expect(body.attemptLog[0]).toMatchObject({
      number: 1,
      succeeded: true,
      statusCode: 201,
      responseBody: 'thanks',
      remoteAddress: '127.0.0.1',
    });
    expect(body.attemptLog[0].timing.firstByteMs).toEqual(expect.any(Number));
    expect(body.attemptLog[0].responseHeaders).toMatchObject({ 'x-from': 'test' });
  });

  it('is retried with the same id and bytes and a new timestamp, then ends as a dead letter that tells of every attempt', async () => {
    const path = freshPath();
    receiver.answer(path, 500);
    const { id, secret } = await posthorn.webhook(receiver.url(path), [`fail.${paths}`]);
    await posthorn.event(`fail.${paths}`, { a: 1 });
    const requests = await receiver.waitForCount(3, path);
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(requests.map(({ body }) => body)).size).toBe(1);
    for (const request of requests) verifies(secret, request);
    const { deadLetters } = await posthorn.until('/v1/dead-letters', (body) =>
      body.deadLetters.some((letter: { webhookId: string }) => letter.webhookId === id),
    );
    const letter = deadLetters.find((one: { webhookId: string }) => one.webhookId === id);
    expect(letter).toMatchObject({
      status: 'dead_letter',
      reason: 'schedule_exhausted',
      attempts: 3,
      lastError: '500',
    });

    receiver.answer(path, 200);
    const retried = await posthorn.call('POST', `/v1/dead-letters/${letter.id}/retry`);
    expect(retried.status).toBe(202);
    const all = await receiver.waitForCount(4, path);
    expect(all[3]!.body).toBe(requests[0]!.body);
    expect(all[3]!.headers['webhook-id']).toBe(requests[0]!.headers['webhook-id']);
    const done = await posthorn.until(`/v1/deliveries/${letter.id}`, (body) => body.status === 'delivered');
    expect(done.attemptLog.map(({ number }: { number: number }) => number)).toEqual([1, 2, 3, 4]);
  });

  it('that was redelivered begins its schedule anew', async () => {
    const path = freshPath();
    const { id } = await posthorn.webhook(receiver.url(path), [`again.${paths}`]);
    await posthorn.event(`again.${paths}`, {});
    const { deliveries } = await posthorn.until(
      `/v1/webhooks/${id}/deliveries`,
      (body) => body.deliveries[0]?.status === 'delivered',
    );
    receiver.answer(path, 503);
    await posthorn.call('POST', `/v1/deliveries/${deliveries[0].id}/redeliver`);
    const done = await posthorn.until(`/v1/deliveries/${deliveries[0].id}`, (body) => body.status === 'dead_letter');
    expect(done.attempts).toBe(4);
  });

  it('to a receiver that is not there says so by name', async () => {
    const gone = await startReceiver();
    const url = gone.url();
    await gone.close();
    const { id } = await posthorn.webhook(url, ['nobody.home']);
    await posthorn.event('nobody.home', {});
    const { deliveries } = await posthorn.until(
      `/v1/webhooks/${id}/deliveries`,
      (body) => body.deliveries[0]?.lastError !== null,
    );
    expect(deliveries[0].lastError).toBe('connect_refused');
  });

  it('that meets a 410 ends at once and disables its endpoint', async () => {
    const path = freshPath();
    receiver.answer(path, 410);
    const { id } = await posthorn.webhook(receiver.url(path), [`gone.${paths}`]);
    await posthorn.event(`gone.${paths}`, {});
    const webhook = await posthorn.until(`/v1/webhooks/${id}`, (body) => !body.isActive);
    expect(webhook.disabledReason).toBe('gone');
    const { deliveries } = await posthorn.until(
      `/v1/webhooks/${id}/deliveries`,
      (body) => body.deliveries[0]?.status === 'failed',
    );
    expect(deliveries[0]).toMatchObject({ state: 'dead_letter', reason: 'endpoint_gone', attempts: 1 });
  });

  it('that meets a 429 pauses its whole endpoint as long as Retry-After says', async () => {
    const path = freshPath();
    const type = `busy.${paths}`;
    let refused = 0;
    receiver.answer(path, (_, response) => {
      if (refused++ === 0) response.writeHead(429, { 'retry-after': '1' }).end();
      else response.writeHead(200).end();
    });
    await posthorn.webhook(receiver.url(path), [type]);
    await posthorn.event(type, { n: 1 });
    const [first] = await receiver.waitForCount(1, path);
    // Let the outcome come back before the next event is published.
    await posthorn.until(`/v1/deliveries?type=${type}`, (body) => body.deliveries[0]?.attempts === 1);
    await posthorn.event(type, { n: 2 });
    const requests = await receiver.waitForCount(3, path);
    for (const later of requests.slice(1)) expect(later.at - first!.at).toBeGreaterThanOrEqual(950);
  });
});

describe('a fan-out', () => {
  it('reaches every endpoint whose pattern matches and no other, and one failure touches no other', async () => {
    const [a, b, c, d] = [freshPath(), freshPath(), freshPath(), freshPath()];
    receiver.answer(b, 500);
    await posthorn.webhook(receiver.url(a), ['fan.out']);
    await posthorn.webhook(receiver.url(b), ['fan.*']);
    await posthorn.webhook(receiver.url(c), ['*.out', 'other']);
    await posthorn.webhook(receiver.url(d), ['fan.in']);
    const { deliveries } = await posthorn.event('fan.out', {});
    expect(deliveries).toBe(3);
    await Promise.all([receiver.waitForCount(1, a), receiver.waitForCount(3, b), receiver.waitForCount(1, c)]);
    expect(receiver.requests.filter(({ path }) => path === d)).toEqual([]);
  });

  it('stays inside its tenant', async () => {
    const path = freshPath();
    await posthorn.webhook(receiver.url(path), ['*'], {});
    const [mine] = (await posthorn.call('GET', '/v1/webhooks')).body.webhooks;
    const other = { 'posthorn-tenant': 'other' };
    const { body } = await posthorn.call('POST', '/v1/events', { type: 'cross', data: {} }, other);
    expect(body.deliveries).toBe(0);
    expect((await posthorn.call('GET', `/v1/webhooks/${mine.id}`, undefined, other)).status).toBe(404);
    expect((await posthorn.call('GET', `/v1/events/${body.id}`)).status).toBe(404);
    await posthorn.call('DELETE', `/v1/webhooks/${mine.id}`);
  });

  it('of more endpoints than one transaction writes reaches them all', async () => {
    const tenant = { 'posthorn-tenant': 'wide' };
    const path = freshPath();
    const engine = posthorn.server.engine;
    await posthorn.call('POST', '/v1/tenants', { id: 'wide' });
    for (let i = 0; i < 2500; i += 100) {
      await Promise.all(
        Array.from({ length: 100 }, () =>
          engine.endpoints.create('wide', { url: receiver.url(path), events: ['wide'] }),
        ),
      );
    }
    const { body } = await posthorn.call('POST', '/v1/events', { type: 'wide', data: {} }, tenant);
    expect(body.deliveries).toBe(2500);
    await receiver.waitForCount(2500, path);
  });
});

describe('publishing', () => {
  it('with a key that was used before answers the same event and sends nothing twice; another body is a conflict', async () => {
    const path = freshPath();
    const type = `once.${paths}`;
    await posthorn.webhook(receiver.url(path), [type]);
    const key = { 'idempotency-key': 'key-1' };
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => posthorn.call('POST', '/v1/events', { type, data: { a: 1 } }, key)),
    );
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(answers.every(({ status }) => status === 202)).toBe(true);
    const conflict = await posthorn.call('POST', '/v1/events', { type, data: { a: 2 } }, key);
    expect([conflict.status, conflict.body.code]).toEqual([409, 'IDEMPOTENCY_CONFLICT']);
    await receiver.waitForCount(1, path);
    await posthorn.event(type, { last: true });
    await receiver.waitForCount(2, path);
    expect(receiver.requests.filter((one) => one.path === path)).toHaveLength(2);
  });

  it('with an id of its own shows it everywhere and takes it once', async () => {
    const path = freshPath();
    const type = `own.${paths}`;
    await posthorn.webhook(receiver.url(path), [type]);
    expect((await posthorn.event(type, { a: 1 }, { id: 'order-42' })).id).toBe('order-42');
    expect((await posthorn.event(type, { a: 1 }, { id: 'order-42' })).id).toBe('order-42');
    expect((await posthorn.call('POST', '/v1/events', { type, data: { a: 3 }, id: 'order-42' })).status).toBe(409);
    const [request] = await receiver.waitForCount(1, path);
    expect(request!.headers['webhook-id']).toBe('order-42');
    const { body } = await posthorn.call('GET', '/v1/events/order-42');
    expect(body).toMatchObject({ id: 'order-42', type, data: { a: 1 } });
    expect(body.deliveries).toHaveLength(1);
  });

  it('of a batch is all or none', async () => {
    const path = freshPath();
    const type = `batch.${paths}`;
    await posthorn.webhook(receiver.url(path), [type]);
    const bad = await posthorn.call('POST', '/v1/events/batch', {
      events: [
        { type, data: 1 },
        { type: 'not a type', data: 2 },
      ],
    });
    expect([bad.status, bad.body.errors[0].field]).toEqual([400, 'events[1].type']);
    await posthorn.event(type, 'first', { id: 'taken' });
    const conflict = await posthorn.call('POST', '/v1/events/batch', {
      events: [
        { type, data: 'x' },
        { type, data: 'y', id: 'taken' },
      ],
    });
    expect(conflict.status).toBe(409);
    const good = await posthorn.call('POST', '/v1/events/batch', {
      events: Array.from({ length: 1000 }, (_, n) => ({ type, data: n })),
    });
    expect(good.status).toBe(202);
    expect(good.body.events).toHaveLength(1000);
    await receiver.waitForCount(1001, path);
    expect(receiver.requests.filter((one) => one.path === path)).toHaveLength(1001);
  });

  it('of a payload that does not match its schema names the path', async () => {
    await posthorn.call('POST', '/v1/event-types', {
      name: 'typed.event',
      schema: {
        type: 'object',
        required: ['total'],
        properties: { total: { type: 'number' }, items: { type: 'array', items: { type: 'string' } } },
      },
    });
    const missing = await posthorn.call('POST', '/v1/events', { type: 'typed.event', data: {} });
    expect([missing.status, missing.body.code, missing.body.errors[0].field]).toEqual([
      422,
      'INVALID_EVENT_DATA',
      'data.total',
    ]);
    const wrong = await posthorn.call('POST', '/v1/events', {
      type: 'typed.event',
      data: { total: 1, items: ['a', 2] },
    });
    expect(wrong.body.errors[0].field).toBe('data.items[1]');
    expect((await posthorn.call('POST', '/v1/events', { type: 'typed.event', data: { total: 1 } })).status).toBe(202);
  });
});

describe('an endpoint', () => {
  it('that is disabled holds its events and sends them when it is enabled', async () => {
    const path = freshPath();
    const type = `hold.${paths}`;
    const { id } = await posthorn.webhook(receiver.url(path), [type]);
    for (let i = 0; i < 2; i++) expect((await posthorn.call('POST', `/v1/webhooks/${id}/disable`)).status).toBe(200);
    const { deliveries } = await posthorn.event(type, {});
    expect(deliveries).toBe(1);
    await posthorn.until(`/v1/webhooks/${id}/deliveries`, (body) => body.deliveries[0]?.state === 'held');
    expect(receiver.requests.filter((one) => one.path === path)).toEqual([]);
    for (let i = 0; i < 2; i++) expect((await posthorn.call('POST', `/v1/webhooks/${id}/enable`)).status).toBe(200);
    await receiver.waitForCount(1, path);
  });

  it('that is disabled while a retry waits holds it', async () => {
    const path = freshPath();
    const type = `wait.${paths}`;
    receiver.answer(path, 500);
    const { id } = await posthorn.webhook(receiver.url(path), [type], { retrySchedule: ['1h'] });
    await posthorn.event(type, {});
    await posthorn.until(`/v1/webhooks/${id}/deliveries`, (body) => body.deliveries[0]?.attempts === 1);
    await posthorn.call('PATCH', `/v1/webhooks/${id}`, { isActive: false });
    await posthorn.until(`/v1/webhooks/${id}/deliveries`, (body) => body.deliveries[0]?.state === 'held');
    receiver.answer(path, 200);
    await posthorn.call('PATCH', `/v1/webhooks/${id}`, { isActive: true });
    await posthorn.until(`/v1/webhooks/${id}/deliveries`, (body) => body.deliveries[0]?.status === 'delivered');
  });

  it('that is deleted gets no retry, and its history stays', async () => {
    const path = freshPath();
    const type = `del.${paths}`;
    let answer: (() => void) | null = null;
    const arrived = new Promise<void>((resolve) => {
      receiver.answer(path, (_, response) => {
        answer = () => response.writeHead(500).end();
        resolve();
      });
    });
    const { id } = await posthorn.webhook(receiver.url(path), [type]);
    const event = await posthorn.event(type, {});
    await arrived;
    expect((await posthorn.call('DELETE', `/v1/webhooks/${id}`)).status).toBe(204);
    answer!();
    const { deliveries } = await posthorn.until(
      `/v1/events/${event.id}`,
      (body) => body.deliveries[0]?.status === 'cancelled',
    );
    expect(deliveries[0]).toMatchObject({ reason: 'endpoint_deleted', attempts: 1 });
    expect((await posthorn.call('GET', `/v1/webhooks/${id}`)).status).toBe(404);
    expect((await posthorn.call('POST', `/v1/deliveries/${deliveries[0].id}/redeliver`)).status).toBe(409);
  });

  it('whose secret is rotated signs with both until the grace ends', async () => {
    const path = freshPath();
    const type = `rotate.${paths}`;
    const { id, secret: old } = await posthorn.webhook(receiver.url(path), [type]);
    const { status, body } = await posthorn.call('POST', `/v1/webhooks/${id}/rotate-secret`, {});
    expect(status).toBe(200);
    const left = Date.parse(body.previousSecretExpiresAt) - Date.now();
    expect(left).toBeGreaterThan(86_300_000);
    expect(left).toBeLessThanOrEqual(86_400_000);
    await posthorn.event(type, {});
    const [request] = await receiver.waitForCount(1, path);
    verifies(old, request!);
    verifies(body.secret, request!);
    const last = await posthorn.call('POST', `/v1/webhooks/${id}/rotate-secret`, { gracePeriod: '0s' });
    await posthorn.event(type, {});
    const [, second] = await receiver.waitForCount(2, path);
    verifies(last.body.secret, second!);
    expect(() => verifies(old, second!)).toThrow();
    expect(() => verifies(body.secret, second!)).toThrow();
  });

  it('made with a secret and headers of its owner uses them, and shows neither secret again', async () => {
    const path = freshPath();
    const type = `mine.${paths}`;
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
    const { id } = await posthorn.webhook(receiver.url(path), [type], { secret, headers: { 'X-Route-To': 'blue' } });
    await posthorn.event(type, {});
    const [request] = await receiver.waitForCount(1, path);
    verifies(secret, request!);
    expect(request!.rawHeaders).toEqual(expect.arrayContaining(['X-Route-To', 'blue']));
    for (const path of [`/v1/webhooks/${id}`, '/v1/webhooks']) {
      expect(JSON.stringify((await posthorn.call('GET', path)).body)).not.toContain(secret);
    }
  });

  it('is tested with one signed request that leaves no history', async () => {
    const path = freshPath();
    receiver.answer(path, 418);
    const { id, secret } = await posthorn.webhook(receiver.url(path), ['tested.event']);
    const { status, body } = await posthorn.call('POST', `/v1/webhooks/${id}/test`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ succeeded: false, statusCode: 418 });
    const [request] = await receiver.waitForCount(1, path);
    verifies(secret, request!);
    expect((await posthorn.call('GET', `/v1/webhooks/${id}/deliveries`)).body.deliveries).toEqual([]);
  });

  it('is sent the dead letters of a time again when they are replayed, and an event goes to endpoints that missed it', async () => {
    const path = freshPath();
    const type = `replay.${paths}`;
    receiver.answer(path, 500);
    const { id } = await posthorn.webhook(receiver.url(path), [type], { retrySchedule: [] });
    const events = await Promise.all([1, 2, 3].map((n) => posthorn.event(type, { n })));
    await posthorn.until(`/v1/webhooks/${id}/deliveries?status=failed`, (body) => body.total === 3);
    receiver.answer(path, 200);
    const { body } = await posthorn.call('POST', `/v1/webhooks/${id}/replay`, {});
    expect(body.deliveries).toBe(3);
    await receiver.waitForCount(6, path);

    const late = freshPath();
    await posthorn.webhook(receiver.url(late), [type]);
    await posthorn.until(`/v1/webhooks/${id}/deliveries`, (list) =>
      list.deliveries.every(({ status }: { status: string }) => status === 'delivered'),
    );
    const replayed = await posthorn.call('POST', `/v1/events/${events[0]!.id}/replay`, {});
    expect(replayed.body.deliveries).toBe(2);
    await receiver.waitForCount(1, late);
    await receiver.waitForCount(7, path);
  });
});
