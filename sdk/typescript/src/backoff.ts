const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 8_000;
/** A server that wants to be left alone for longer is taken at its word: the error says for how long. */
const MAX_RETRY_AFTER_SECONDS = 60;

/**
 * How long to wait before another attempt, ms: twice as long each time, the upper half of it by chance. What the server
 * asked for comes first, and chance on top of it, so that its clients do not all come back at once.
 * @param retries attempts that were tried again before this one
 * @param retryAfterSeconds what the server asked for, null = nothing
 * @param random from 0 to 1
 * @returns null where that is longer than a caller should be kept waiting
 */
export function waitBefore(retries: number, retryAfterSeconds: number | null, random: number): number | null {
  const backoffMs = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** retries);
  if (retryAfterSeconds === null) return (backoffMs * (1 + random)) / 2;
  return retryAfterSeconds > MAX_RETRY_AFTER_SECONDS ? null : retryAfterSeconds * 1000 + (backoffMs * random) / 2;
}
