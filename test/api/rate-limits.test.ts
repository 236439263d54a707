import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RateLimits } from '../../src/api/rate-limits.ts';
import { PosthornError } from '../../src/errors.ts';
import { startApi, type Answer, type Api } from './server.ts';

const MINUTE = 60_000;
const T0 = Date.UTC(2026, 0, 1);

describe('a limit of requests a minute', () => {
  it('counts down to none and begins anew with the next minute', () => {
    const limits = new RateLimits({ perMinute: 3 });
    const at = T0 + 15_500;
    const remaining = () => limits.take('a', at)!.remaining;
    expect([remaining(), remaining(), remaining()]).toEqual([2, 1, 0]);
    expect(remaining).toThrow(PosthornError);
    expect(remaining).toThrow(expect.objectContaining({ code: 'TOO_MANY_REQUESTS', retryAfterSeconds: 45 }));
    expect(limits.take('a', T0 + MINUTE)).toEqual({
      limit: 3,
      remaining: 2,
      resetSeconds: 60,
      resetAtUnix: (T0 + 2 * MINUTE) / 1000,
    });
  });

  it('counts each caller alone', () => {
    const limits = new RateLimits({ perMinute: 1 });
    limits.take('a', T0);
    expect(limits.take('b', T0)!.remaining).toBe(0);
    expect(() => limits.take('a', T0)).toThrow('1 requests a minute');
  });

  it('is none where it is 0', () => {
    const limits = new RateLimits({ perMinute: 0 });
    for (let i = 0; i < 1000; i++) expect(limits.take('a', T0)).toBeNull();
  });

  it('counts callers beyond the fifty-thousandth together, so that memory has an end', () => {
    const limits = new RateLimits({ perMinute: 2 });
    for (let i = 0; i < 50_000; i++) limits.take(`caller ${i}`, T0);
    expect(limits.take('late 1', T0)!.remaining).toBe(1);
    expect(limits.take('late 2', T0)!.remaining).toBe(0);
    expect(() => limits.take('late 3', T0)).toThrow();
    expect(limits.take('caller 7', T0)!.remaining).toBe(0);
  });
});

describe('over HTTP', () => {
  let api: Api;
  let key: string;
  beforeAll(async () => {
    api = await startApi({ rateLimit: 3 });
    await api.call('POST', '/v1/tenants', { body: { id: 'acme' } });
    key = await api.newKey({ role: 'owner', tenantId: 'acme' });
  });
  afterAll(() => api.stop());

  it('every answer to a key says where it stands, in whole numbers, and the one beyond the limit when to come again', async () => {
    const answers: Answer[] = [];
    for (const path of ['/v1/webhooks', '/v1/webhooks/unknown', '/v1/webhooks?limit=x', '/v1/webhooks']) {
      answers.push(await api.call('GET', path, { key }));
    }
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 400, 429]);
    const header = (name: string) => answers.map(({ headers }) => headers.get(name));
    expect(header('x-ratelimit-limit')).toEqual(['3', '3', '3', '3']);
    expect(header('x-ratelimit-remaining')).toEqual(['2', '1', '0', '0']);
    for (const reset of header('x-ratelimit-reset')) expect(reset).toMatch(/^([1-9]|[1-5]\d|60)$/);
    expect(header('retry-after').at(-1)).toMatch(/^([1-9]|[1-5]\d|60)$/);
    expect(answers.at(-1)!.body.code).toBe('TOO_MANY_REQUESTS');
  });

  it('events are not counted, and what needs no key neither', async () => {
    for (let i = 0; i < 5; i++) {
      const event = await api.call('POST', '/v1/events', { key, body: { type: 'a', data: i } });
      expect([event.status, event.headers.get('x-ratelimit-limit')]).toEqual([202, null]);
      const batch = await api.call('POST', '/v1/events/batch', { key, body: { events: [{ type: 'a', data: i }] } });
      expect([batch.status, batch.headers.get('x-ratelimit-limit')]).toEqual([202, null]);
      const health = await api.call('GET', '/healthz', { key: null });
      expect([health.status, health.headers.get('x-ratelimit-limit')]).toEqual([200, null]);
    }
  });
});
