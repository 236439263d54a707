/** What a product's receivers are used to, beside the bytes: part of its contract. */
export interface Profile {
  /** Waits in ms between attempts. */
  retryScheduleMs: readonly number[];
  /** One deadline for the whole exchange, ms. */
  timeoutMs: number;
}

const SECOND = 1_000;
const MINUTE = 60_000;

/**
 * Schedules and timeouts that come with a wire format of a product: endpoints made with that preset get them where they
 * give none of their own. `standard` and `gravv` have none, and take the instance's.
 */
export const profiles: Readonly<Record<string, Profile>> = {
  grantex: { retryScheduleMs: [30, 60, 120, 240].map((s) => s * SECOND), timeoutMs: 10 * SECOND },
  grantiva: { retryScheduleMs: [1, 5, 30].map((m) => m * MINUTE), timeoutMs: 10 * SECOND },
  lexigram: { retryScheduleMs: [1, 2, 4, 8].map((s) => s * SECOND), timeoutMs: 30 * SECOND },
};
