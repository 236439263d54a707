import { MAX_ATTEMPT_NUMBER } from './id.ts';
import type { DeliveryReason } from './delivery.ts';

/** How an exchange ended, as far as the decision needs to know. */
export interface Outcome {
  /** HTTP status, or null where no complete response arrived. */
  statusCode: number | null;
  /** Named failure (`connect_refused`, `blocked_destination`, …), or null. */
  failure: string | null;
  /** Raw `Retry-After` header (RFC 9110, section 10.2.3: seconds or an HTTP date), or null. */
  retryAfter: string | null;
}

export interface RetryPolicy {
  /** Waits in ms after the first, second, … failed attempt; its length + 1 is the number of attempts. */
  scheduleMs: readonly number[];
  /** The share by which a wait is stretched or shrunk at random, 0.2 for ± 20 %. */
  jitter: number;
  /** The longest `Retry-After` that is obeyed, ms. */
  retryAfterCapMs: number;
}

export type Decision =
  | { kind: 'delivered' }
  | {
      kind: 'retry';
      dueAt: number;
      /** the receiver asked for a pause of the whole endpoint until then */ pauseUntil: number | null;
    }
  | { kind: 'dead_letter'; reason: DeliveryReason; /** the receiver says that it is gone for good */ disable: boolean };

export const defaultRetry: RetryPolicy = {
  scheduleMs: [5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000, 72_000_000, 86_400_000],
  jitter: 0.2,
  retryAfterCapMs: 86_400_000,
};

/**
 * What becomes of a delivery after an attempt. Pure.
 * @param attemptInSchedule number of this attempt in the present schedule, from 1
 * @param attemptNumber number of this attempt over the delivery's life, from 1
 * @param now epoch ms
 * @param random 0 ≤ random < 1, for the jitter
 */
export function decide(
  outcome: Outcome,
  attemptInSchedule: number,
  attemptNumber: number,
  policy: RetryPolicy,
  now: number,
  random: number,
): Decision {
  const { statusCode, failure } = outcome;
  if (failure === null && statusCode !== null && statusCode >= 200 && statusCode < 300) return { kind: 'delivered' };
  if (statusCode === 410 && failure === null) return { kind: 'dead_letter', reason: 'endpoint_gone', disable: true };

  const waitMs = policy.scheduleMs[attemptInSchedule - 1];
  if (waitMs === undefined) {
    const reason = failure === 'blocked_destination' ? 'destination_blocked' : 'schedule_exhausted';
    return { kind: 'dead_letter', reason, disable: false };
  }
  if (attemptNumber >= MAX_ATTEMPT_NUMBER) return { kind: 'dead_letter', reason: 'attempt_limit', disable: false };

  const jittered = Math.round(waitMs * (1 + policy.jitter * (2 * random - 1)));
  const askedMs = Math.min(parseRetryAfter(outcome.retryAfter, now) ?? 0, policy.retryAfterCapMs);
  const busy = failure === null && (statusCode === 429 || statusCode === 503);
  return {
    kind: 'retry',
    dueAt: now + Math.max(jittered, askedMs),
    pauseUntil: busy && askedMs > 0 ? now + askedMs : null,
  };
}

/** Reads a `Retry-After` value: ms from `now`, 0 for a date gone by, null where it is absent or unreadable. */
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null) return null;
  const text = value.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Za-z]{3}/.test(text)) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `5s`, `30m`, `2h`, `1d`, `250ms` into ms; null where it is something else. A bare number is refused: units are part of the value. */
export function parseDuration(text: string): number | null {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  if (!found) return null;
  const ms = Number(found[1]) * UNITS[found[2]!]!;
  return Number.isSafeInteger(Math.round(ms)) ? Math.round(ms) : null;
}

/** The shortest text that {@link parseDuration} reads back to the same ms. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = UNITS[unit]!;
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
