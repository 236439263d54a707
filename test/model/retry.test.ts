import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_ATTEMPT_NUMBER } from '../../src/model/id.ts';
import { decide, defaultRetry, formatDuration, parseDuration, parseRetryAfter } from '../../src/model/retry.ts';

const now = Date.UTC(2026, 0, 1);
const answer = (statusCode: number, retryAfter: string | null = null) => ({ statusCode, failure: null, retryAfter });
const failed = (failure: string) => ({ statusCode: null, failure, retryAfter: null });

describe('the decision after an attempt', () => {
  it('takes any 2xx for delivered', () => {
    for (const status of [200, 201, 202, 204, 299]) {
      expect(decide(answer(status), 1, 1, defaultRetry, now, 0.5)).toEqual({ kind: 'delivered' });
    }
  });

  it('does not take a 2xx whose body never ended for delivered', () => {
    const cut = { statusCode: 200, failure: 'timeout', retryAfter: null };
    expect(decide(cut, 1, 1, defaultRetry, now, 0.5).kind).toBe('retry');
  });

  it('retries redirects, refusals, faults and failures of every kind along the schedule', () => {
    for (const outcome of [
      answer(301),
      answer(400),
      answer(404),
      answer(500),
      failed('timeout'),
      failed('dns_not_found'),
    ]) {
      defaultRetry.scheduleMs.forEach((waitMs, i) => {
        expect(decide(outcome, i + 1, i + 1, defaultRetry, now, 0.5)).toEqual({
          kind: 'retry',
          dueAt: now + waitMs,
          pauseUntil: null,
        });
      });
    }
  });

  it('ends as a dead letter when the schedule is used up, and says why', () => {
    const last = defaultRetry.scheduleMs.length + 1;
    expect(decide(answer(500), last, last, defaultRetry, now, 0.5)).toEqual({
      kind: 'dead_letter',
      reason: 'schedule_exhausted',
      disable: false,
    });
    expect(decide(failed('blocked_destination'), last, last, defaultRetry, now, 0.5)).toMatchObject({
      reason: 'destination_blocked',
    });
  });

  it('spans about three days by default', () => {
    const days = defaultRetry.scheduleMs.reduce((sum, ms) => sum + ms, 0) / 86_400_000;
    expect(days).toBeGreaterThan(3);
    expect(days).toBeLessThan(3.5);
  });

  it('stretches and shrinks every wait by 20 % at the most', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999999, noNaN: true }), fc.integer({ min: 1, max: 9 }), (random, n) => {
        const decision = decide(answer(500), n, n, defaultRetry, now, random);
        const waitMs = defaultRetry.scheduleMs[n - 1]!;
        return (
          decision.kind === 'retry' &&
          decision.dueAt >= now + waitMs * 0.8 - 1 &&
          decision.dueAt <= now + waitMs * 1.2 + 1
        );
      }),
    );
    expect(decide(answer(500), 1, 1, defaultRetry, now, 0)).toMatchObject({ dueAt: now + 4000 });
  });

  it('ends at once at a 410 and asks to disable the endpoint', () => {
    expect(decide(answer(410), 1, 1, defaultRetry, now, 0.5)).toEqual({
      kind: 'dead_letter',
      reason: 'endpoint_gone',
      disable: true,
    });
  });

  it('obeys Retry-After where it is longer than the schedule, up to the cap', () => {
    expect(decide(answer(429, '120'), 1, 1, defaultRetry, now, 0.5)).toEqual({
      kind: 'retry',
      dueAt: now + 120_000,
      pauseUntil: now + 120_000,
    });
    expect(decide(answer(503, '1'), 1, 1, defaultRetry, now, 0.5)).toMatchObject({ dueAt: now + 5000 });
    expect(decide(answer(429, '99999999'), 1, 1, defaultRetry, now, 0.5)).toMatchObject({
      dueAt: now + defaultRetry.retryAfterCapMs,
    });
  });

  it('pauses the whole endpoint at 429 and 503 only', () => {
    expect(decide(answer(500, '60'), 1, 1, defaultRetry, now, 0.5)).toMatchObject({ pauseUntil: null });
  });

  it('stops when no attempt number is left', () => {
    expect(decide(answer(500), 1, MAX_ATTEMPT_NUMBER, defaultRetry, now, 0.5)).toMatchObject({
      reason: 'attempt_limit',
    });
  });
});

describe('Retry-After', () => {
  it('reads seconds and HTTP dates', () => {
    expect(parseRetryAfter('7', now)).toBe(7000);
    expect(parseRetryAfter(new Date(now + 9000).toUTCString(), now)).toBe(9000);
    expect(parseRetryAfter(new Date(now - 9000).toUTCString(), now)).toBe(0);
  });

  it('ignores what it cannot read', () => {
    for (const text of ['', 'soon', '-5', '1.5', '99999999999', '2026-01-01T00:00:00Z'])
      expect(parseRetryAfter(text, now)).toBeNull();
    expect(parseRetryAfter(null, now)).toBeNull();
  });
});

describe('durations', () => {
  it('are read with their unit and written back as short as can be', () => {
    for (const [text, ms] of [
      ['250ms', 250],
      ['5s', 5000],
      ['30m', 1_800_000],
      ['2h', 7_200_000],
      ['1d', 86_400_000],
    ] as const) {
      expect(parseDuration(text)).toBe(ms);
      expect(formatDuration(ms)).toBe(text);
    }
    expect(formatDuration(90_000)).toBe('90s');
    expect(parseDuration('1.5h')).toBe(5_400_000);
  });

  it('are refused without a unit', () => {
    for (const text of ['5', '', 's', '5 s', '-5s', '5y']) expect(parseDuration(text)).toBeNull();
  });
});
