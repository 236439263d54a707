const FIRST_MS = 100;
const LONGEST_MS = 10_000;

/** How long to wait before attempt `attempt` (from 1): doubling up to 10 s, ± 20 % so that many do not come at once. */
export function backoffMs(attempt: number): number {
  const plain = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 20));
  return plain * (0.8 + 0.4 * Math.random());
}

/** Resolves after `ms`, or at once when `signal` is aborted. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const timer = setTimeout(end, ms);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
    signal.addEventListener('abort', end);
  });
}
