import { beforeEach, describe, expect, it } from 'vitest';
import { DatabaseClock } from '../../src/store/postgres/clock.ts';

const HOUR_MS = 3_600_000;

describe('the clock of the database, as one node knows it', () => {
  let monotonic: number;
  /** Database time less monotonic time. */
  let truth: number;
  let clock: DatabaseClock;

  beforeEach(() => {
    monotonic = 1_000;
    truth = 1_700_000_000_000;
    clock = new DatabaseClock(
      () => truth + monotonic + 2 * HOUR_MS,
      () => monotonic,
    );
  });

  /** The database answers after `there` ms, and the answer takes `back` ms. */
  function ask(there: number, back: number): void {
    const sentAt = monotonic;
    monotonic += there;
    const said = truth + monotonic;
    monotonic += back;
    clock.sample(sentAt, monotonic, said);
  }

  const off = (): number => clock.now() - (truth + monotonic);

  it('is this machine’s before the first sample, and the database’s from then on', () => {
    expect(off()).toBe(2 * HOUR_MS);
    ask(1, 1);
    expect(off()).toBe(0);
    monotonic += 60_000;
    expect(off()).toBe(0);
  });

  it('believes the sample with the shortest round trip of late', () => {
    ask(1, 1);
    for (let i = 0; i < 7; i++) ask(300, 0);
    expect(off()).toBe(0);
    // Seven later that one is too old to count.
    for (let i = 0; i < 8; i++) ask(300, 0);
    expect(off()).toBe(150);
  });

  it('is wrong by no more than half a round trip', () => {
    ask(80, 0);
    expect(Math.abs(off())).toBeLessThanOrEqual(40);
  });

  it('makes up for being ahead by going slower, never by going back', () => {
    ask(400, 0); // 200 ms ahead of the truth
    ask(1, 1);
    let last = clock.now();
    const from = last;
    for (let i = 0; i < 300; i++) {
      monotonic += 1;
      expect(clock.now()).toBeGreaterThanOrEqual(last);
      last = clock.now();
    }
    expect(last - from).toBeLessThan(160);
    monotonic += 300;
    expect(off()).toBe(0);
  });

  it.each([2 * HOUR_MS, -2 * HOUR_MS])(
    'follows the database at the next sample when its clock is set (%i ms)',
    (by) => {
      for (let i = 0; i < 8; i++) ask(1, 1);
      truth += by;
      ask(20, 20);
      expect(Math.abs(off())).toBeLessThanOrEqual(20);
    },
  );
});
