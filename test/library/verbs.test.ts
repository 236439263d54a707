import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Posthorn } from '../../src/index.ts';
import { startReceiver, type Received, type Receiver } from '../e2e/receiver.ts';
import { codeOf, eventually, startLibrary, valueOf } from './posthorn.ts';

let posthorn: Posthorn;
let receiver: Receiver;
let paths = 0;
const fresh = (): { path: string; url: string; type: string } => {
  const path = `/hook-${++paths}`;
  return { path, url: receiver.url(path), type: `thing.happened-${paths}` };
};

beforeAll(async () => {
  receiver = await startReceiver();
  posthorn = await startLibrary();
});
afterAll(async () => {
  await posthorn.stop();
  await receiver.close();
});

const countOf = (path: string): number => receiver.requests.filter((request) => request.path === path).length;

/** As a receiver of this format reads them: by exact letter case. */
function header({ rawHeaders }: Received, name: string): string | undefined {
  const at = rawHeaders.findIndex((text, i) => i % 2 === 0 && text === name);
  return at === -1 ? undefined : rawHeaders[at + 1];
}

function signature(secret: string, body: string, algorithm = 'sha256'): string {
  return `${algorithm}=${createHmac(algorithm, secret).update(body).digest('hex')}`;
}

describe('subscriptions', () => {
  it('create gives the subscription with a secret of 32 bytes in hex', async () => {
    const { url } = fresh();
    const made = valueOf(
      await posthorn.subscriptions.create({
        url,
        eventTypes: ['a.b'],
        description: 'mine',
        metadata: { plan: 'gold' },
      }),
    );
    expect(made).toMatchObject({
      url,
      eventTypes: ['a.b'],
      active: true,
      description: 'mine',
      tenantId: null,
      metadata: { plan: 'gold' },
      createdAt: expect.any(Date),
      secret: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(valueOf(await posthorn.subscriptions.get(made.id))).toEqual(made);
  });

  it('refuses URLs that are none, of other schemes, and inside where that is not allowed', async () => {
    for (const url of ['nope', 'ftp://example.com/', 'https://user:pass@example.com/']) {
      expect(codeOf(await posthorn.subscriptions.create({ url })), url).toBe('invalid-url');
    }
    const strict = await startLibrary({ allowPrivateUrls: false });
    try {
      for (const url of ['http://127.0.0.1/', 'https://10.0.0.1/', 'https://localhost/', 'https://[::1]/']) {
        expect(codeOf(await strict.subscriptions.create({ url })), url).toBe('invalid-url');
      }
      expect((await strict.subscriptions.create({ url: 'http://example.com/hook' })).ok).toBe(true);
    } finally {
      await strict.stop();
    }
  });

  it('without event types it gets all of its tenant', async () => {
    const { url } = fresh();
    const made = valueOf(await posthorn.subscriptions.create({ url, tenantId: 'all-types' }));
    expect(made).toMatchObject({ eventTypes: null, tenantId: 'all-types' });
    const { deliveries } = valueOf(
      await posthorn.deliveries.dispatch({ type: 'whatever', payload: 1, tenantId: 'all-types' }),
    );
    expect(deliveries).toBe(1);
  });

  it('lists newest first by tenant, type and activity, in pages', async () => {
    const tenantId = 'lists';
    const ids: string[] = [];
    for (const eventTypes of [['a.b'], ['a.*'], null, ['c.d']]) {
      ids.push(valueOf(await posthorn.subscriptions.create({ url: fresh().url, eventTypes, tenantId })).id);
    }
    valueOf(await posthorn.subscriptions.deactivate(ids[1]!));
    const list = async (filter: object): Promise<string[]> =>
      valueOf(await posthorn.subscriptions.list({ tenantId, ...filter })).map(({ id }) => id);
    expect(await list({})).toEqual([...ids].reverse());
    expect(await list({ eventType: 'a.b' })).toEqual([ids[2], ids[1], ids[0]]);
    expect(await list({ eventType: 'a.b', activeOnly: true })).toEqual([ids[2], ids[0]]);
    expect(await list({ limit: 2, offset: 1 })).toEqual([ids[2], ids[1]]);
  });

  it('update changes what is given and keeps the rest', async () => {
    const { id, url } = valueOf(
      await posthorn.subscriptions.create({ url: fresh().url, description: 'before', tenantId: 'misc' }),
    );
    const changed = valueOf(await posthorn.subscriptions.update(id, { eventTypes: ['x.y'], active: false }));
    expect(changed).toMatchObject({ id, url, eventTypes: ['x.y'], active: false, description: 'before' });
    expect(codeOf(await posthorn.subscriptions.update(id, { url: 'nope' }))).toBe('invalid-url');
  });

  it('every verb on an unknown id is an Err, delete too', async () => {
    const unknown = 'wh_01JXYZ4T8Q2M5N7P9R1S3V5000';
    const { subscriptions } = posthorn;
    for (const result of [
      await subscriptions.get(unknown),
      await subscriptions.get('not an id'),
      await subscriptions.update(unknown, { description: 'x' }),
      await subscriptions.delete(unknown),
      await subscriptions.rotateSecret(unknown),
      await subscriptions.activate(unknown),
      await subscriptions.deactivate(unknown),
    ]) {
      expect(codeOf(result)).toBe('subscription-not-found');
    }
  });

  it('activate and deactivate can be repeated', async () => {
    const { id } = valueOf(await posthorn.subscriptions.create({ url: fresh().url, tenantId: 'misc' }));
    for (const active of [false, false, true, true]) {
      const verb = active ? 'activate' : 'deactivate';
      expect(valueOf(await posthorn.subscriptions[verb](id)).active).toBe(active);
    }
  });

  it('rotation: both secrets verify until the grace ends, the new one is in force', async () => {
    const { path, url, type } = fresh();
    const before = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type] }));
    const { secret, previousSecretExpiresAt } = valueOf(await posthorn.subscriptions.rotateSecret(before.id));
    expect(secret).not.toBe(before.secret);
    const inMs = previousSecretExpiresAt!.getTime() - Date.now();
    expect(inMs).toBeGreaterThan(86_400_000 - 60_000);
    expect(inMs).toBeLessThanOrEqual(86_400_000);
    valueOf(await posthorn.deliveries.dispatch({ type, payload: { n: 1 } }));
    const [request] = await receiver.waitForCount(1, path);
    const signatures = [header(request!, 'X-Webhook-Signature'), header(request!, 'X-Webhook-Signature-Alternate')];
    expect(signatures.sort()).toEqual([before.secret, secret].map((one) => signature(one, request!.body)).sort());
  });

  it('rotation with a secret that does not fit is rotation-failed', async () => {
    const { id } = valueOf(await posthorn.subscriptions.create({ url: fresh().url, tenantId: 'misc' }));
    expect(codeOf(await posthorn.subscriptions.rotateSecret(id, { secret: '' }))).toBe('rotation-failed');
    expect(codeOf(await posthorn.subscriptions.rotateSecret(id, { graceMs: -1 }))).toBe('rotation-failed');
  });
});

describe('dispatch', () => {
  it('sends the payload alone, compact, with the four headers in their exact letter case', async () => {
    const { path, url, type } = fresh();
    const { secret } = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type] }));
    const payload = { total: 10.5, name: 'Jürgen', list: [1, { deep: null }] };
    const { eventId, deliveries } = valueOf(await posthorn.deliveries.dispatch({ type, payload }));
    expect(deliveries).toBe(1);
    const [request] = await receiver.waitForCount(1, path);
    expect(request!.body).toBe(JSON.stringify(payload));
    expect(header(request!, 'X-Webhook-Signature')).toBe(signature(secret, request!.body));
    expect(header(request!, 'X-Webhook-Event-Type')).toBe(type);
    expect(header(request!, 'X-Webhook-Event-ID')).toBe(eventId);
    expect(header(request!, 'X-Webhook-Timestamp')).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('reaches all of 250 subscriptions, and one that fails touches no other', async () => {
    const tenantId = 'fan-out';
    const path = '/fan-out';
    receiver.answer('/fan-out-broken', 500);
    for (let i = 0; i < 250; i++) {
      const url = receiver.url(i === 100 ? '/fan-out-broken' : path);
      valueOf(await posthorn.subscriptions.create({ url, tenantId }));
    }
    expect(valueOf(await posthorn.deliveries.dispatch({ type: 'x', payload: {}, tenantId })).deliveries).toBe(250);
    expect(await receiver.waitForCount(249, path)).toHaveLength(249);
  });

  it('never crosses tenants', async () => {
    const { url, type } = fresh();
    for (const tenantId of ['one', 'two', null]) {
      valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type], tenantId }));
    }
    for (const tenantId of ['one', null]) {
      expect(valueOf(await posthorn.deliveries.dispatch({ type, payload: {}, tenantId })).deliveries).toBe(1);
    }
    expect(valueOf(await posthorn.deliveries.dispatch({ type, payload: {}, tenantId: 'three' })).deliveries).toBe(0);
  });

  it('answers once it is durable, not once it is delivered', async () => {
    const { path, url, type } = fresh();
    let release = (): void => {};
    receiver.answer(path, (_, response) => {
      release = () => response.writeHead(200).end();
    });
    const { id } = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type] }));
    valueOf(await posthorn.deliveries.dispatch({ type, payload: {} }));
    await receiver.waitForCount(1, path);
    expect(valueOf(await posthorn.attempts.list({ subscriptionId: id }))).toEqual([]);
    expect(valueOf(await posthorn.attempts.list({ subscriptionId: id, status: 'pending' }))).toMatchObject([
      { attemptNumber: 1, attemptedAt: null, status: 'pending' },
    ]);
    release();
    await eventually(
      async () => valueOf(await posthorn.attempts.list({ subscriptionId: id })),
      ([attempt]) => attempt?.status === 'delivered',
    );
  });

  it('takes its own ids and keys once', async () => {
    const event = { id: `own-${++paths}`, type: 'x.y', payload: { a: 1 } };
    const first = valueOf(await posthorn.deliveries.dispatch(event));
    expect(first).toMatchObject({ eventId: event.id, duplicate: false });
    expect(valueOf(await posthorn.deliveries.dispatch(event))).toMatchObject({ eventId: event.id, duplicate: true });
    const conflict = await posthorn.deliveries.dispatch({ ...event, payload: { a: 2 } });
    expect(codeOf(conflict)).toBe('idempotency-conflict');
  });

  it('what cannot be an event is an Err that names the field', async () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    for (const [event, field] of [
      [{ type: 'not a type', payload: 1 }, 'type'],
      [{ type: 'a.b', payload: undefined }, 'payload'],
      [{ type: 'a.b', payload: circular }, 'payload'],
      [{ type: 'a.b', payload: 1n }, 'payload'],
      [{ type: 'a.b', payload: 1, id: 'with space' }, 'id'],
      [{ type: 'a.b', payload: 1, occurredAt: new Date(Number.NaN) }, 'occurredAt'],
    ] as const) {
      const result = await posthorn.deliveries.dispatch(event);
      expect(result).toMatchObject({ ok: false, error: { code: 'bad-request', fields: [{ field }] } });
    }
  });

  it('deactivation stops retries, and activation lets them go on', async () => {
    const { path, url, type } = fresh();
    receiver.answer(path, 500);
    const { id } = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type] }));
    valueOf(await posthorn.deliveries.dispatch({ type, payload: {} }));
    await eventually(
      async () => valueOf(await posthorn.attempts.list({ subscriptionId: id })),
      (list) => list.length > 0,
    );
    valueOf(await posthorn.subscriptions.deactivate(id));
    const [next] = await eventually(
      async () => valueOf(await posthorn.attempts.list({ subscriptionId: id, status: 'pending' })),
      // Nothing is on the wire, and nothing is due.
      (list) => list[0]?.nextRetryAt === null && list[0].attemptNumber === countOf(path) + 1,
    );
    const made = next!.attemptNumber - 1;
    receiver.answer(path, 200);
    valueOf(await posthorn.subscriptions.activate(id));
    await receiver.waitForCount(made + 1, path);
  });
});

describe('attempts and dead letters', () => {
  it('every attempt is listed newest first with its number; the last one of a schedule is the dead letter', async () => {
    const { path, url, type } = fresh();
    receiver.answer(path, 503);
    const { id } = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type], tenantId: 'dead' }));
    const { eventId } = valueOf(
      await posthorn.deliveries.dispatch({ type, payload: { kept: true }, tenantId: 'dead' }),
    );
    const [letter] = await eventually(
      async () => valueOf(await posthorn.deadLetters.list({ subscriptionId: id })),
      (list) => list.length === 1,
    );
    const attempts = valueOf(await posthorn.attempts.list({ subscriptionId: id }));
    expect(attempts.map(({ attemptNumber, status }) => [attemptNumber, status])).toEqual([
      [3, 'dead_letter'],
      [2, 'failed'],
      [1, 'failed'],
    ]);
    expect(attempts[0]).toMatchObject({
      subscriptionId: id,
      eventId,
      eventType: type,
      statusCode: 503,
      attemptedAt: expect.any(Date),
      nextRetryAt: null,
      errorMessage: 'HTTP 503',
      durationMs: expect.any(Number),
    });
    expect(letter).toMatchObject({ eventType: type, errorMessage: 'HTTP 503', payload: { kept: true } });
    expect(letter!.attempts.map(({ attemptNumber }) => attemptNumber)).toEqual([1, 2, 3]);
    expect(valueOf(await posthorn.attempts.list({ subscriptionId: id, status: 'dead_letter' }))).toHaveLength(1);
    expect(valueOf(await posthorn.attempts.list({ eventId, limit: 1, offset: 1 }))).toMatchObject([
      { attemptNumber: 2 },
    ]);
    expect(valueOf(await posthorn.attempts.countRecentFailures(id, new Date(Date.now() - 60_000)))).toBe(3);
    expect(valueOf(await posthorn.attempts.countRecentFailures(id, new Date(Date.now() + 60_000)))).toBe(0);

    expect(valueOf(await posthorn.deadLetters.count({ tenantId: 'dead' }))).toBe(1);
    receiver.answer(path, 200);
    valueOf(await posthorn.deadLetters.retry(letter!.id));
    const request = await receiver.waitFor((one) => one.path === path && one.body === '{"kept":true}');
    expect(request.body).toBe('{"kept":true}');
    const after = await eventually(
      async () => valueOf(await posthorn.attempts.list({ subscriptionId: id })),
      (list) => list.length === 4,
    );
    expect(after[0]).toMatchObject({ attemptNumber: 4, status: 'delivered' });
    expect(valueOf(await posthorn.deadLetters.count({ tenantId: 'dead' }))).toBe(0);
    expect(codeOf(await posthorn.deadLetters.retry(letter!.id))).toBe('attempt-not-found');
  });

  it('an acknowledged dead letter is no longer listed or counted', async () => {
    const { path, url, type } = fresh();
    receiver.answer(path, 410);
    const { id } = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type], tenantId: 'acknowledged' }));
    valueOf(await posthorn.deliveries.dispatch({ type, payload: {}, tenantId: 'acknowledged' }));
    const [letter] = await eventually(
      async () => valueOf(await posthorn.deadLetters.list({ subscriptionId: id })),
      (list) => list.length === 1,
    );
    valueOf(await posthorn.deadLetters.acknowledge(letter!.id));
    expect(valueOf(await posthorn.deadLetters.list({ subscriptionId: id }))).toEqual([]);
    expect(valueOf(await posthorn.deadLetters.count({ subscriptionId: id }))).toBe(0);
  });

  it('redeliver sends the original payload again, by attempt or by delivery', async () => {
    const { path, url, type } = fresh();
    const { id } = valueOf(await posthorn.subscriptions.create({ url, eventTypes: [type] }));
    const payload = { original: [1, 2, 3] };
    valueOf(await posthorn.deliveries.dispatch({ type, payload }));
    const [first] = await eventually(
      async () => valueOf(await posthorn.attempts.list({ subscriptionId: id })),
      (list) => list.length === 1,
    );
    const { deliveryId, nextAttemptNumber } = valueOf(await posthorn.deliveries.redeliver(first!.id));
    expect(nextAttemptNumber).toBe(2);
    await receiver.waitForCount(2, path);
    await eventually(
      async () => valueOf(await posthorn.attempts.list({ subscriptionId: id })),
      (list) => list.length === 2,
    );
    valueOf(await posthorn.deliveries.redeliver(deliveryId));
    const requests = await receiver.waitForCount(3, path);
    expect(requests.map(({ body }) => body)).toEqual(Array(3).fill(JSON.stringify(payload)));
    for (const unknown of ['att_01JXYZ4T8Q2M5N7P9R1S3V5001', 'nope']) {
      expect(codeOf(await posthorn.deliveries.redeliver(unknown))).toBe('attempt-not-found');
    }
    valueOf(await posthorn.subscriptions.deactivate(id));
    expect(codeOf(await posthorn.deliveries.redeliver(first!.id))).toBe('subscription-inactive');
  });

  it('an unknown dead letter is attempt-not-found', async () => {
    expect(codeOf(await posthorn.deadLetters.retry('whd_01JXYZ4T8Q2M5N7P9R1S3V5000'))).toBe('attempt-not-found');
    expect(codeOf(await posthorn.deadLetters.acknowledge('nope'))).toBe('attempt-not-found');
  });
});
