import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PosthornError } from '../../src/errors.ts';
import { startApi, type Api } from './server.ts';

let api: Api;
let failure: Error | null = null;

beforeAll(async () => {
  api = await startApi({
    limits: { maxBodyBytes: 4096 },
    wrap: (engine) => ({
      ...engine,
      publish: (tenantId, input) => (failure ? Promise.reject(failure) : engine.publish(tenantId, input)),
    }),
  });
});
afterAll(() => api.stop());

const publish = (body: unknown, headers: Record<string, string> = {}) =>
  api.call('POST', '/v1/events', { body, headers });

describe('sending an event', () => {
  it('answers 202 with its id and the number of deliveries', async () => {
    const { id: webhookId } = (
      await api.call('POST', '/v1/webhooks', {
        body: { url: 'http://127.0.0.1:9/x', events: ['counted'], isActive: false },
      })
    ).body;
    const { status, body, headers } = await publish({ type: 'counted', data: {} });
    expect(status).toBe(202);
    expect(body).toEqual({ id: expect.stringMatching(/^evt_[0-9A-Z]{26}$/), deliveries: 1 });
    expect(headers.get('idempotency-replayed')).toBeNull();
    const { body: event } = await api.call('GET', `/v1/events/${body.id}`);
    expect(event.deliveries).toMatchObject([{ webhookId, eventId: body.id, eventType: 'counted', status: 'held' }]);
  });

  it('keeps the bytes of its data', async () => {
    const data = '{"n":1.0,  "big":12345678901234567890,"s":"\\u00e9 ü 😀"}';
    const { body } = await publish(`{"type":"a.b","data":${data}}`);
    const { text } = await api.call('GET', `/v1/events/${body.id}`);
    expect(text).toContain(`"data":${data}`);
  });

  it('shows all that was said of it', async () => {
    const said = {
      type: 'order.created',
      id: 'order/1 created'.replaceAll(' ', '-'),
      occurredAt: '2026-01-31T12:00:00.000Z',
      category: 'shop',
      group: 'customer-7',
      source: 'till',
    };
    const { body } = await publish({ ...said, data: { a: 1 } });
    expect(body.id).toBe(said.id);
    const { status, body: event } = await api.call('GET', `/v1/events/${encodeURIComponent(said.id)}`);
    expect(status).toBe(200);
    expect(event).toMatchObject({ ...said, data: { a: 1 }, deliveries: [] });
  });

  it('gives the same answer to the same key or id again, and says so', async () => {
    for (const [more, headers] of [
      [{}, { 'idempotency-key': 'k-1' }],
      [{ id: 'own-1' }, {}],
      [{ idempotencyKey: 'k-2' }, {}],
    ] as [object, Record<string, string>][]) {
      const first = await publish({ type: 'a.b', data: 1, ...more }, headers);
      const again = await publish({ type: 'a.b', data: 1, ...more }, headers);
      expect(again.status).toBe(202);
      expect(again.body).toEqual(first.body);
      expect(first.headers.get('idempotency-replayed')).toBeNull();
      expect(again.headers.get('idempotency-replayed')).toBe('true');
    }
  });

  it('refuses a key with another body', async () => {
    const headers = { 'idempotency-key': 'k-3' };
    await publish({ type: 'a.b', data: 1 }, headers);
    expect(await publish({ type: 'a.b', data: 2 }, headers)).toMatchObject({
      status: 409,
      body: { code: 'IDEMPOTENCY_CONFLICT' },
    });
  });

  it.each([
    ['a space', 'a b'],
    ['256 characters', 'k'.repeat(256)],
    ['nothing', ''],
    ['letters beyond ASCII', 'ä'],
  ])('refuses an Idempotency-Key of %s', async (_, key) => {
    expect(await publish({ type: 'a.b', data: 1 }, { 'idempotency-key': key })).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'Idempotency-Key', message: expect.stringContaining('1 to 255 visible ASCII') }] },
    });
  });

  it('refuses two different keys for one event', async () => {
    const answer = await publish({ type: 'a.b', data: 1, idempotencyKey: 'x' }, { 'idempotency-key': 'y' });
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'idempotencyKey' }] } });
  });

  it('says when to come again where the engine is full, and keeps faults of ours to the log', async () => {
    failure = new PosthornError('OVERLOADED', undefined, { retryAfterSeconds: 5 });
    const full = await publish({ type: 'a.b', data: 1 });
    failure = new PosthornError('STORE_UNAVAILABLE');
    const closed = await publish({ type: 'a.b', data: 1 });
    failure = new Error('secret detail of the inside');
    const broken = await publish({ type: 'a.b', data: 1 });
    failure = null;
    expect(full).toMatchObject({ status: 503, body: { code: 'OVERLOADED' } });
    expect(full.headers.get('retry-after')).toBe('5');
    expect(closed.headers.get('retry-after')).toBe('1');
    expect(broken).toMatchObject({ status: 500, body: { code: 'INTERNAL' } });
    expect(broken.text).not.toContain('secret detail');
    const line = api.log.find(({ requestId }) => requestId === broken.body.requestId);
    expect(line).toMatchObject({ msg: 'request.failed', err: { message: 'secret detail of the inside' } });
    expect((await publish({ type: 'a.b', data: 1 })).status).toBe(202);
  });
});

describe('a batch', () => {
  const batch = (events: unknown, headers: Record<string, string> = {}) =>
    api.call('POST', '/v1/events/batch', { body: { events }, headers });

  it('answers in the order given and keeps the bytes of each', async () => {
    const { status, body } = await api.call('POST', '/v1/events/batch', {
      body: '{"events":[{"type":"a.b","data":{"n":1.0}} , {"data":[2.50],"type":"a.b","id":"b-2"}]}',
    });
    expect(status).toBe(202);
    expect(body.events).toMatchObject([{ deliveries: 0 }, { id: 'b-2', deliveries: 0 }]);
    expect((await api.call('GET', `/v1/events/${body.events[0]!.id}`)).text).toContain('"data":{"n":1.0}');
    expect((await api.call('GET', '/v1/events/b-2')).text).toContain('"data":[2.50]');
  });

  it('is safe to repeat with an Idempotency-Key', async () => {
    const events = [
      { type: 'a.b', data: 1 },
      { type: 'a.b', data: 1 },
    ];
    const first = await batch(events, { 'idempotency-key': 'batch-1' });
    const again = await batch(events, { 'idempotency-key': 'batch-1' });
    expect(first.body.events[0]!.id).not.toBe(first.body.events[1]!.id);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    const other = await batch([{ type: 'a.b', data: 2 }], { 'idempotency-key': 'batch-1' });
    expect(other).toMatchObject({ status: 409, body: { code: 'IDEMPOTENCY_CONFLICT' } });
  });

  it.each([
    ['no list', { events: 'x' }, 'events: must be a list'],
    ['an empty list', { events: [] }, 'events: must have at least one event'],
    ['1,001 events', { events: Array(1001).fill(1) }, 'events: must have at most 1000 events'],
    ['an event without a type', { events: [{ type: 'a', data: 1 }, { data: 1 }] }, 'events[1].type: is missing'],
    ['an event that is none', { events: [7] }, 'events[0]: must be an object'],
    ['another member', { events: [], evnts: [] }, 'evnts: is not known; did you mean "events"?'],
    [
      'one id twice',
      { events: [1, 2].map((data) => ({ type: 'a', id: 'twice', data })) },
      'events[1].id: stands twice',
    ],
    ['a bare list', [], 'body: must be an object'],
    [
      'an event larger than one may be',
      { events: [{ type: 'a', data: 'x'.repeat(5000) }] },
      'events[0] is larger than 4096',
    ],
  ])('with %s is refused whole', async (_, body, message) => {
    const answer = await api.call('POST', '/v1/events/batch', { body });
    expect(answer.body.message).toContain(message);
    expect(answer.status).toBe(message.includes('larger') ? 413 : 400);
  });

  it('stores none of its events where one is wrong', async () => {
    await batch([
      { type: 'a.b', id: 'none-1', data: 1 },
      { type: 'a.b', id: 'none 2', data: 1 },
    ]);
    expect((await api.call('GET', '/v1/events/none-1')).status).toBe(404);
  });

  it('may be four times as large as one event, and no larger', async () => {
    const large = (bytes: number) => ({ type: 'a.b', data: 'x'.repeat(bytes) });
    expect((await batch([large(4000), large(4000), large(4000), large(3500)])).status).toBe(202);
    expect((await batch([large(4000), large(4000), large(4000), large(4000), large(4000)])).status).toBe(413);
    expect((await publish(large(4100))).status).toBe(413);
  });
});

describe('the list of events', () => {
  it('pages through all, newest first, without their data', async () => {
    const sent: string[] = [];
    for (let i = 0; i < 5; i++) sent.push((await publish({ type: 'paged', data: { i } })).body.id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { body } = await api.call('GET', `/v1/events?type=paged&limit=2${query}`);
      expect(body.events.length).toBeLessThanOrEqual(2);
      expect(body.events[0]).not.toHaveProperty('data');
      seen.push(...body.events.map(({ id }) => id));
      cursor = body.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(sent.reverse());
  });

  it('chooses by group and time', async () => {
    const { body } = await publish({ type: 'chosen', group: 'g-1', data: 1 });
    await publish({ type: 'chosen', group: 'g-2', data: 1 });
    expect((await api.call('GET', '/v1/events?group=g-1')).body.events).toMatchObject([{ id: body.id }]);
    expect((await api.call('GET', '/v1/events?type=chosen&to=2020-01-01T00:00:00Z')).body.events).toEqual([]);
    expect((await api.call('GET', '/v1/events?type=chosen&from=2020-01-01T00:00:00Z')).body.events).toHaveLength(2);
  });

  it.each([
    ['limit=0', 'limit: must be a whole number from 1 to 200'],
    ['limit=201', 'limit: must be a whole number from 1 to 200'],
    ['limit=ten', 'limit: must be a whole number from 1 to 200'],
    ['limit=1&limit=2', 'limit: is given more than once'],
    ['cursor=nonsense', 'cursor: is not a cursor of this list'],
    ['cursor=', 'cursor: is not a cursor of this list'],
    ['from=yesterday', 'from: must be a time like'],
    ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'to: must be later than "from"'],
    ['tpye=a', 'tpye: is not known; did you mean "type"?'],
  ])('refuses ?%s', async (query, message) => {
    const { status, body } = await api.call('GET', `/v1/events?${query}`);
    expect([status, body.message]).toEqual([400, expect.stringContaining(message)]);
  });
});

describe('replaying an event', () => {
  it('sends it to webhooks that match it by now, or to one of them', async () => {
    const { body: event } = await publish({ type: 'replayed', data: 1 });
    expect(event.deliveries).toBe(0);
    const make = () =>
      api.call('POST', '/v1/webhooks', {
        body: { url: 'http://127.0.0.1:9/x', events: ['replayed'], isActive: false },
      });
    const [one] = [(await make()).body, (await make()).body];
    const single = await api.call('POST', `/v1/events/${event.id}/replay`, { body: { webhookId: one.id } });
    expect(single).toMatchObject({ status: 202, body: { deliveries: 1 } });
    const all = await api.call('POST', `/v1/events/${event.id}/replay`);
    expect(all.body.deliveries).toBe(2);
  });

  it('refuses webhooks that are none, and events that are not there', async () => {
    const { body: event } = await publish({ type: 'a.b', data: 1 });
    for (const webhookId of ['nonsense', 'wh_01KF0Z7J3TE5XAY2V8N4R6M0QC']) {
      const answer = await api.call('POST', `/v1/events/${event.id}/replay`, { body: { webhookId } });
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: 'webhookId' }] } });
    }
    expect((await api.call('POST', '/v1/events/evt_nothing/replay')).status).toBe(404);
    expect((await api.call('GET', '/v1/events/evt_nothing')).status).toBe(404);
  });
});
