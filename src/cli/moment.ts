import { parseDuration } from '../model/retry.ts';
import { usage } from './failure.ts';

/** A date, or a date and time with its zone (RFC 3339); a date alone means its beginning in UTC. */
const ISO = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/;

/**
 * Reads a moment as people write it: a duration (`2h`, `90d`) counted from `now`, or a date and time with its zone.
 * @param direction -1 where a duration reaches into the past, 1 into the future
 * @returns epoch ms; throws a usage failure that names `option`
 */
export function parseMoment(text: string, option: string, direction: -1 | 1, now: number): number {
  const ms = parseDuration(text);
  const at = ms === null ? (ISO.test(text) ? Date.parse(text) : NaN) : now + direction * ms;
  if (Number.isFinite(at) && Math.abs(at) <= 8.64e15) return at;
  throw usage(`${option}: ${JSON.stringify(text.slice(0, 60))} is no time; give 2h, 30m or 2026-01-31T12:00:00Z`);
}

/** A moment in the zone of this machine, to the second: `2026-01-31 13:00:00 CET`. */
export function formatMoment(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  // Swedish, because its way to write a date is the ISO one.
  return at.toLocaleString('sv-SE', {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZoneName: 'short',
  });
}
