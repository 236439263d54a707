import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Lane } from '../../src/store/postgres/lane.ts';
import type { LaneOptions } from '../../src/store/postgres/lane.ts';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A lane whose statements take `tookMs`; `batches`: the calls of each, and when it began. */
function slowLane(options: LaneOptions, tookMs: number) {
  const batches: { calls: number[]; at: number }[] = [];
  const lane = new Lane<number, number>(options, async (calls) => {
    batches.push({ calls: calls.map(({ input }) => input), at: performance.now() });
    await wait(tookMs);
    for (const { input, resolve } of calls) resolve(input);
  });
  return { lane, batches };
}

const callMany = (lane: Lane<number, number>, count: number, rows = 1): Promise<number[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => lane.call(i, rows, 0)));

/** Lets the clock run, a millisecond at a time, until this is answered. */
async function answered<Value>(promise: Promise<Value>): Promise<Value> {
  let isDone = false;
  void promise.finally(() => (isDone = true));
  while (!isDone) await vi.advanceTimersByTimeAsync(1);
  return promise;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a lane', () => {
  it('gathers what comes while its statement is under way, and answers everybody', async () => {
    const { lane, batches } = slowLane({ width: 1 }, 5);
    const first = lane.call(0, 1, 0);
    await vi.advanceTimersByTimeAsync(2);
    const rest = callMany(lane, 20);
    expect(await answered(first)).toBe(0);
    expect(await answered(rest)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(batches.map(({ calls }) => calls.length)).toEqual([1, 20]);
  });

  it('leaves at once when nothing is under way', async () => {
    const { lane, batches } = slowLane({ width: 1, restMs: 5 }, 1);
    const calledAt = performance.now();
    await answered(lane.call(0, 1, 0));
    expect(batches[0]!.at - calledAt).toBeLessThan(2);
  });

  it('rests behind a batch for as long as that took', async () => {
    const { lane, batches } = slowLane({ width: 1, restMs: 2 }, 6);
    await answered(callMany(lane, 8));
    await answered(callMany(lane, 1));
    await answered(callMany(lane, 1));
    for (const gap of gaps(batches)) expect(gap).toBeGreaterThanOrEqual(12);
  });

  it('rests for no less than it is told', async () => {
    const { lane, batches } = slowLane({ width: 1, restMs: 5 }, 1);
    await answered(lane.call(0, 1, 0));
    await answered(callMany(lane, 3));
    expect(gaps(batches)[0]).toBeGreaterThanOrEqual(6);
    expect(gaps(batches)[0]).toBeLessThan(9);
  });

  it('never rests where nothing is said of it', async () => {
    const { lane, batches } = slowLane({ width: 1 }, 6);
    await answered(callMany(lane, 50));
    await answered(callMany(lane, 50));
    expect(gaps(batches)[0]).toBeLessThan(9);
  });

  it('never rests for longer than ten milliseconds', async () => {
    const { lane, batches } = slowLane({ width: 1, restMs: 1 }, 60);
    await answered(callMany(lane, 2));
    await answered(callMany(lane, 2));
    expect(gaps(batches)[0]).toBeGreaterThanOrEqual(70);
    expect(gaps(batches)[0]).toBeLessThan(75);
  });

  it('does not rest while a full batch waits', async () => {
    const { lane, batches } = slowLane({ width: 1, restMs: 1 }, 8);
    await answered(callMany(lane, 6, 1_000)); // two to a batch
    expect(batches.map(({ calls }) => calls.length)).toEqual([2, 2, 2]);
    expect(gaps(batches)[0]).toBeLessThan(10);
  });

  it('is idle when everything has its answer', async () => {
    const { lane } = slowLane({ width: 1, restMs: 1 }, 3);
    let count = 0;
    void callMany(lane, 5).then((all) => (count = all.length));
    await answered(lane.idle());
    expect(count).toBe(5);
  });
});

function gaps(batches: readonly { at: number }[]): number[] {
  return batches.slice(1).map(({ at }, i) => at - batches[i]!.at);
}
