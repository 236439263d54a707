import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Posthorn, PosthornError } from '../src/index.ts';
import type { PosthornOptions } from '../src/index.ts';
import { waitBefore } from '../src/backoff.ts';
import { hangUp, json, misbehaving, problem, stall, type Asked, type Behaviour } from './misbehaving-server.ts';

const published = json(202, { id: 'evt_1', deliveries: 1 });
const event = { type: 'order.paid', data: { n: 1 } };
const closers: (() => unknown)[] = [];

// The least wait: half of 500 ms for the first retry, half of 1 s for the second.
beforeEach(() => {
  vi.spyOn(Math, 'random').mockReturnValue(0);
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closers.splice(0)) await close();
});

async function start(
  behaviours: Behaviour[],
  options: Partial<PosthornOptions> = {},
): Promise<{ posthorn: Posthorn; asked: Asked[] }> {
  const { url, asked, close } = await misbehaving(...behaviours);
  closers.push(close);
  return { posthorn: new Posthorn({ baseUrl: url, apiKey: 'a-key', ...options }), asked };
}

async function errorOf(call: PromiseLike<unknown>): Promise<PosthornError> {
  const error: unknown = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(PosthornError);
  return error as PosthornError;
}

describe('what is tried again', () => {
  it.each([408, 429, 502, 503, 504])('a call that was answered %i', async (status) => {
    const { posthorn, asked } = await start([problem(status, 'OVERLOADED'), published]);
    expect(await posthorn.events.send(event)).toEqual({ id: 'evt_1', deliveries: 1 });
    expect(asked).toHaveLength(2);
  });

  it('a call whose connection broke, with the same idempotency key and body', async () => {
    const { posthorn, asked } = await start([hangUp, hangUp, published]);
    await posthorn.events.send(event);
    const keys = asked.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toEqual([keys[0], keys[0], keys[0]]);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(asked.map(({ body }) => body)).size).toBe(1);
    await posthorn.events.send(event);
    expect(asked[3]!.headers['idempotency-key']).not.toBe(keys[0]);
  });

  it('a call that was not answered in its time', async () => {
    const { posthorn, asked } = await start([stall, published], { timeoutMs: 100 });
    await posthorn.events.send(event, { idempotencyKey: 'mine' });
    expect(asked.map(({ headers }) => headers['idempotency-key'])).toEqual(['mine', 'mine']);
  });

  it('not what is wrong for good', async () => {
    for (const status of [400, 401, 404, 409, 422, 500, 507]) {
      const { posthorn, asked } = await start([problem(status, 'BAD_REQUEST'), published]);
      expect((await errorOf(posthorn.events.send(event))).status).toBe(status);
      expect(asked).toHaveLength(1);
    }
  });

  it('not a POST without an idempotency key that may have been carried out', async () => {
    for (const behaviour of [
      hangUp,
      problem(502, 'INTERNAL'),
      problem(504, 'INTERNAL'),
      problem(408, 'REQUEST_TIMEOUT'),
    ]) {
      const { posthorn, asked } = await start([behaviour, json(200, {})]);
      await errorOf(posthorn.webhooks.rotateSecret('wh_1'));
      expect(asked).toHaveLength(1);
    }
    const { posthorn, asked } = await start([problem(503, 'OVERLOADED'), json(200, { secret: 's' })]);
    expect(await posthorn.webhooks.rotateSecret('wh_1')).toEqual({ secret: 's' });
    expect(asked).toHaveLength(2);
  });

  it('as often as maxRetries says, of the client or of the call', async () => {
    const { posthorn, asked } = await start([problem(503, 'OVERLOADED')], { maxRetries: 1 });
    await errorOf(posthorn.usage());
    expect(asked).toHaveLength(2);
    await errorOf(posthorn.usage({ maxRetries: 0 }));
    expect(asked).toHaveLength(3);
  });

  it('a delete that had been carried out when its answer got lost counts as done', async () => {
    const { posthorn } = await start([hangUp, problem(404, 'NOT_FOUND')]);
    expect(await posthorn.webhooks.delete('wh_1')).toBeUndefined();
    const again = await start([problem(503, 'OVERLOADED'), problem(404, 'NOT_FOUND')]);
    expect((await errorOf(again.posthorn.webhooks.delete('wh_1'))).code).toBe('NOT_FOUND');
  });
});

describe('how long it waits', () => {
  it('as long as Retry-After says, in seconds or as a date', async () => {
    for (const spell of [() => '1', () => new Date(Date.now() + 2000).toUTCString()]) {
      const { posthorn } = await start([problem(429, 'TOO_MANY_REQUESTS', { 'retry-after': spell() }), published]);
      const begun = performance.now();
      await posthorn.events.send(event);
      expect(performance.now() - begun).toBeGreaterThan(950);
    }
  });

  it('not longer than a minute: the error says how long', async () => {
    const { posthorn, asked } = await start([problem(429, 'TOO_MANY_REQUESTS', { 'retry-after': '61' })]);
    expect((await errorOf(posthorn.events.send(event))).retryAfterSeconds).toBe(61);
    expect(asked).toHaveLength(1);
  });

  it('as if nothing was said, where Retry-After is neither seconds nor a date', async () => {
    for (const value of ['-5', '1.5', '1e9', 'soon', '']) {
      const { posthorn } = await start([problem(400, 'BAD_REQUEST', { 'retry-after': value })]);
      expect([value, (await errorOf(posthorn.usage())).retryAfterSeconds]).toEqual([value, null]);
    }
    const { posthorn, asked } = await start([problem(503, 'OVERLOADED', { 'retry-after': '9'.repeat(30) })]);
    expect((await errorOf(posthorn.usage())).retryAfterSeconds).toBe(1e30);
    expect(asked).toHaveLength(1);
  });

  it('longer each time, half of it by chance, and by chance longer than Retry-After', () => {
    const retries = [0, 1, 2, 3, 4, 5];
    expect(retries.map((n) => waitBefore(n, null, 0))).toEqual([250, 500, 1000, 2000, 4000, 4000]);
    expect(retries.map((n) => waitBefore(n, null, 1))).toEqual([500, 1000, 2000, 4000, 8000, 8000]);
    expect([0, 1].map((random) => waitBefore(0, 10, random))).toEqual([10_000, 10_250]);
    expect(waitBefore(0, 61, 0)).toBeNull();
  });
});

describe('an AbortSignal', () => {
  it('ends a call that is on its way, with its own reason', async () => {
    const arrived = Promise.withResolvers<undefined>();
    const { posthorn, asked } = await start([
      () => {
        arrived.resolve(undefined);
      },
    ]);
    const controller = new AbortController();
    const call = posthorn.events.send(event, { signal: controller.signal });
    await arrived.promise;
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(call).rejects.toBe(reason);
    expect(asked).toHaveLength(1);
  });

  it('ends a call that waits to try again', async () => {
    const controller = new AbortController();
    // Chance is asked for just before the wait begins.
    vi.spyOn(Math, 'random').mockImplementation(() => {
      queueMicrotask(() => {
        controller.abort();
      });
      return 0;
    });
    const { posthorn, asked } = await start([problem(503, 'OVERLOADED', { 'retry-after': '30' })]);
    await expect(posthorn.usage({ signal: controller.signal })).rejects.toHaveProperty('name', 'AbortError');
    expect(asked).toHaveLength(1);
  });

  it('that ended together with an attempt ends the wait at once', async () => {
    const controller = new AbortController();
    const { posthorn, asked } = await start([problem(503, 'OVERLOADED', { 'retry-after': '30' })]);
    vi.spyOn(Math, 'random').mockImplementation(() => {
      controller.abort();
      return 0;
    });
    await expect(posthorn.usage({ signal: controller.signal })).rejects.toHaveProperty('name', 'AbortError');
    expect(asked).toHaveLength(1);
  });

  it('that ended before makes no request', async () => {
    const { posthorn, asked } = await start([published]);
    await expect(posthorn.events.send(event, { signal: AbortSignal.abort() })).rejects.toThrow();
    expect(asked).toHaveLength(0);
  });
});

describe('an error', () => {
  it('has code, status, message, request id, fields and time to wait', async () => {
    const body = {
      ...{ code: 'BAD_REQUEST', message: 'events: is empty', requestId: 'req_2' },
      errors: [{ field: 'events', message: 'is empty' }],
    };
    const { posthorn } = await start([json(400, body, { 'x-request-id': 'req_2', 'retry-after': '3' })]);
    const error = await errorOf(posthorn.webhooks.create({ url: 'https://example.com', events: [] }));
    expect(error).toMatchObject({
      ...{ name: 'PosthornError', code: 'BAD_REQUEST', status: 400, message: 'events: is empty', requestId: 'req_2' },
      ...{ fields: [{ field: 'events', message: 'is empty' }], retryAfterSeconds: 3 },
    });
  });

  it('tells of answers that are not Posthorn’s', async () => {
    const html: Behaviour = (response) => response.writeHead(403, { 'content-type': 'text/html' }).end('<h1>No</h1>');
    const { posthorn } = await start([html]);
    expect(await errorOf(posthorn.whoami())).toMatchObject({ code: 'UNEXPECTED_RESPONSE', status: 403 });
    const page: Behaviour = (response) => response.writeHead(200).end('<h1>Welcome</h1>');
    expect(await errorOf((await start([page])).posthorn.whoami())).toMatchObject({
      ...{ code: 'UNEXPECTED_RESPONSE', status: 200, message: expect.stringContaining('not JSON') as string },
    });
  });

  it('tells of successes that are not Posthorn’s, and quotes nothing of them', async () => {
    const text = (body: string): Behaviour => {
      return (response) => response.writeHead(200, { 'x-request-id': 'req_3' }).end(body);
    };
    for (const body of ['', 'null', '[]', '"text"', '7', '{"secret":"whsec_very-secret"}!']) {
      const { posthorn } = await start([text(body)]);
      const error = await errorOf(posthorn.webhooks.create({ url: 'https://example.com', events: ['*'] }));
      expect(error).toMatchObject({ code: 'UNEXPECTED_RESPONSE', status: 200, requestId: 'req_3' });
      expect(inspect(error)).not.toContain('whsec_');
    }
  });

  it('takes no event for stored because some server answers 200 to everything', async () => {
    const { posthorn } = await start([json(200, { ok: true })]);
    expect((await errorOf(posthorn.events.send(event))).code).toBe('UNEXPECTED_RESPONSE');
    expect((await errorOf(posthorn.events.sendBatch([event]))).code).toBe('UNEXPECTED_RESPONSE');
    const short = await start([json(202, { events: [{ id: 'evt_1', deliveries: 0 }] })]);
    expect((await errorOf(short.posthorn.events.sendBatch([event, event]))).code).toBe('UNEXPECTED_RESPONSE');
  });

  it('ends an answer that does not end by itself', async () => {
    const endless: Behaviour = (response) => {
      const chunk = Buffer.alloc(1024 * 1024, ' ');
      const more = (): void => {
        while (response.write(chunk));
      };
      response.on('drain', more).writeHead(200);
      more();
    };
    const { posthorn, asked } = await start([endless]);
    expect(await errorOf(posthorn.whoami())).toMatchObject({
      code: 'UNEXPECTED_RESPONSE',
      message: expect.stringContaining('longer than') as string,
    });
    expect(asked).toHaveLength(1);
  });

  it('keeps what of a strange error has the shape that it should have', async () => {
    const errors = [null, 7, { field: 'url' }, { field: 'url', message: 'is wrong' }, { field: 1, message: 2 }];
    const { posthorn } = await start([json(400, { code: 'BAD_REQUEST', message: 'm', requestId: 7, errors })]);
    const error = await errorOf(posthorn.whoami());
    expect(error).toMatchObject({ requestId: null, fields: [{ field: 'url', message: 'is wrong' }] });
    const other = await start([json(400, { code: 'BAD_REQUEST', message: 'm', errors: 'none' })]);
    expect((await errorOf(other.posthorn.whoami())).fields).toEqual([]);
  });

  it('tells of redirects, which are not followed', async () => {
    const { posthorn, asked } = await start([json(301, {}, { location: 'https://elsewhere.example/' }), published]);
    const error = await errorOf(posthorn.whoami());
    expect(error.message).toContain('a redirect to https://elsewhere.example/');
    expect(asked).toHaveLength(1);
  });

  it('tells why there was no answer, and never the key', async () => {
    const { posthorn } = await start([hangUp], { maxRetries: 0, apiKey: 'very-secret' });
    const broken = await errorOf(posthorn.whoami());
    expect(broken).toMatchObject({ code: 'CONNECTION_FAILED', status: null });
    expect(broken.message).toMatch(/^No answer from http:\/\/127.0.0.1:\d+: .*(closed|reset|hang)/);
    const late = await errorOf((await start([stall])).posthorn.whoami({ timeoutMs: 50, maxRetries: 0 }));
    expect(late).toMatchObject({ code: 'TIMED_OUT', status: null });
    expect(inspect([broken, posthorn], { depth: 9 })).not.toContain('very-secret');
  });
});

describe('a request', () => {
  it('has key, tenant and headers of the client, and those of the call before them', async () => {
    const { posthorn, asked } = await start([json(200, {})], {
      tenant: 'acme',
      headers: { 'X-One': '1', 'X-Two': '2' },
    });
    await posthorn.whoami();
    await posthorn.whoami({ tenant: 'other', headers: { 'x-two': 'two' } });
    expect(asked[0]!.headers).toMatchObject({
      ...{ authorization: 'Bearer a-key', 'posthorn-tenant': 'acme', 'x-one': '1', 'x-two': '2' },
      'user-agent': expect.stringMatching(/^posthorn-sdk-typescript\/\d/) as string,
    });
    expect(asked[1]!.headers).toMatchObject({ 'posthorn-tenant': 'other', 'x-one': '1', 'x-two': 'two' });
    expect(asked[0]!.headers).not.toHaveProperty('content-type');
  });

  it('keeps a path of the base URL, and escapes what goes into its own', async () => {
    const { url, asked, close } = await misbehaving(json(200, {}));
    closers.push(close);
    const posthorn = new Posthorn({ baseUrl: `${url}/hooks/` });
    await posthorn.webhooks.get('a/b?c d');
    expect(asked[0]!.url).toBe('/hooks/v1/webhooks/a%2Fb%3Fc%20d');
  });

  it('is not made with an id that would reach something else', async () => {
    const { posthorn, asked } = await start([json(200, {})]);
    for (const id of ['', '.', '..', undefined as unknown as string]) {
      await expect(posthorn.webhooks.delete(id)).rejects.toThrow(TypeError);
    }
    expect(asked).toHaveLength(0);
  });

  it('spells queries: lists with commas, times as ISO, nothing for what is undefined', async () => {
    const { posthorn, asked } = await start([json(200, { deliveries: [], nextCursor: null })]);
    const from = new Date('2026-01-31T12:00:00Z');
    await posthorn.deliveries.list({ status: ['pending', 'held'], from, limit: 5, type: undefined });
    expect(asked[0]!.url).toBe('/v1/deliveries?status=pending%2Cheld&from=2026-01-31T12%3A00%3A00.000Z&limit=5');
  });

  it('goes through the fetch that is given', async () => {
    const given = vi.fn<typeof fetch>().mockResolvedValue(Response.json({ role: 'owner', news: 1 }));
    const posthorn = new Posthorn({ baseUrl: 'https://posthorn.example.com', fetch: given });
    expect(await posthorn.whoami()).toEqual({ role: 'owner', news: 1 });
    expect(given.mock.calls[0]![0]).toBe('https://posthorn.example.com/v1/whoami');
  });
});

it('a client refuses limits that cannot be, its own and those of a call', async () => {
  const baseUrl = 'https://posthorn.example.com';
  const send = vi.fn<typeof fetch>();
  const posthorn = new Posthorn({ baseUrl, fetch: send });
  for (const timeoutMs of [0, -1, Number.NaN, Infinity, 2 ** 31]) {
    expect(() => new Posthorn({ baseUrl, timeoutMs })).toThrow('timeoutMs');
    await expect(posthorn.usage({ timeoutMs })).rejects.toThrow('timeoutMs');
  }
  for (const maxRetries of [-1, Number.NaN, Infinity, 0.5]) {
    expect(() => new Posthorn({ baseUrl, maxRetries })).toThrow('maxRetries');
    await expect(posthorn.usage({ maxRetries })).rejects.toThrow('maxRetries');
  }
  for (const idempotencyKey of ['', 'a key', 'schlüssel', 'k'.repeat(256)]) {
    await expect(posthorn.events.send(event, { idempotencyKey })).rejects.toThrow('idempotencyKey');
  }
  expect(() => new Posthorn(undefined as unknown as PosthornOptions)).toThrow('baseUrl');
  expect(send).not.toHaveBeenCalled();
});

it('a client refuses settings that cannot work', () => {
  for (const baseUrl of ['', 'posthorn', 'ftp://x', 'https://u:p@x', 'https://x/?a', undefined as unknown as string]) {
    expect(() => new Posthorn({ baseUrl })).toThrow('baseUrl');
  }
  for (const apiKey of ['', 'a key', 'key\n', 7 as unknown as string]) {
    expect(() => new Posthorn({ baseUrl: 'https://x', apiKey })).toThrow('apiKey: must be');
  }
});
