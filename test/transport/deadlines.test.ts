import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Deadlines } from '../../src/transport/deadlines.ts';
import type { Timed } from '../../src/transport/deadlines.ts';

interface Item extends Timed {
  dueAt: number;
  struckAt: number | null;
}

const makeItem = (dueAt: number): Item => ({
  dueAt,
  struckAt: null,
  deadlineAt: 0,
  wheelNext: null,
  wheelPrevious: null,
});

/** Deadlines on a virtual clock, and a way to set one. */
function wheel(): { deadlines: Deadlines<Item>; set: (afterMs: number) => Item } {
  const deadlines = new Deadlines<Item>((item) => {
    item.struckAt = performance.now();
    deadlines.clear(item);
  });
  const set = (afterMs: number): Item => {
    const now = performance.now();
    const item = makeItem(now + afterMs);
    deadlines.set(item, now, item.dueAt);
    return item;
  };
  return { deadlines, set };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] }));
afterEach(() => vi.useRealTimers());

describe('deadlines', () => {
  it('strike at their time or at most 50 ms later, also beyond one round of the wheel', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(400), fc.nat(30_000)), { minLength: 1, maxLength: 40 }), (plan) => {
        const { deadlines, set } = wheel();
        const items = plan.map(([waitMs, afterMs]) => {
          vi.advanceTimersByTime(waitMs);
          return set(afterMs);
        });
        vi.advanceTimersByTime(31_000);
        for (const item of items) {
          expect(item.struckAt).toBeGreaterThanOrEqual(item.dueAt);
          expect((item.struckAt ?? Infinity) - item.dueAt).toBeLessThanOrEqual(50);
        }
        expect(deadlines.size).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('do not strike once cleared', () => {
    const { deadlines, set } = wheel();
    const items = [100, 100, 100, 5_000, 20_000].map(set);
    for (const item of items) {
      deadlines.clear(item);
    }
    vi.advanceTimersByTime(40_000);
    expect(items.map((item) => item.struckAt)).toEqual([null, null, null, null, null]);
  });

  it('leave their neighbours alone when cleared', () => {
    const { deadlines, set } = wheel();
    const [first, middle, last] = [set(100), set(100), set(100)];
    deadlines.clear(middle);
    expect(deadlines.size).toBe(2);
    expect(new Set(deadlines.items())).toEqual(new Set([first, last]));
    vi.advanceTimersByTime(200);
    expect(first.struckAt).not.toBeNull();
    expect(last.struckAt).not.toBeNull();
    expect(middle.struckAt).toBeNull();
    for (const item of [first, middle, last]) {
      expect(item).toMatchObject({ wheelNext: null, wheelPrevious: null }); // else one that is kept keeps all
    }
  });

  it('run no timer while none is set', () => {
    const { deadlines, set } = wheel();
    expect(vi.getTimerCount()).toBe(0);
    const item = set(1_000);
    expect(vi.getTimerCount()).toBe(1);
    deadlines.clear(item);
    vi.advanceTimersByTime(100);
    expect(vi.getTimerCount()).toBe(0);
    const other = set(100);
    vi.advanceTimersByTime(200);
    expect(other.struckAt).not.toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('strike all at once after the process was stopped for longer than a round', () => {
    const { set } = wheel();
    const items = [500, 6_000, 12_000, 19_000].map(set);
    const now = performance.now();
    vi.spyOn(performance, 'now').mockReturnValue(now + 20_000);
    vi.advanceTimersByTime(25);
    expect(items.every((item) => item.struckAt !== null)).toBe(true);
  });
});
