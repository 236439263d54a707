const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-](\d\d):(\d\d))$/;

/**
 * Reads a time as RFC 3339, section 5.6, writes it (`2026-01-31T12:00:00Z`): epoch ms, finer fractions cut off; null
 * where it is none. Leap seconds and years before 1000 are refused: no receiver reads them alike.
 */
export function parseTime(text: string): number | null {
  const found = RFC3339.exec(text);
  if (!found) return null;
  const [year, month, day, hour, minute, second, offsetHour = 0, offsetMinute = 0] = found
    .slice(1)
    .map((part) => Number(part ?? 0));
  if (year! < 1000 || month! < 1 || month! > 12 || day! < 1) return null;
  if (day! > new Date(Date.UTC(year!, month, 0)).getUTCDate()) return null;
  if (hour! > 23 || minute! > 59 || second! > 59 || offsetHour > 23 || offsetMinute > 59) return null;
  const ms = Date.parse(text.toUpperCase());
  return new Date(ms).getUTCFullYear() > 9999 ? null : ms;
}

/** ISO 8601 in UTC with milliseconds, as every time in an answer. */
export function formatTime(ms: number): string;
export function formatTime(ms: number | null): string | null;
export function formatTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
