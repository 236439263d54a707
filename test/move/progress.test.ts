import { describe, expect, it } from 'vitest';
import { ProgressCounter, type MoveProgress } from '../../src/move/progress.ts';

describe('the progress of a move', () => {
  it('tells the rate of this run and the time that is left, once a second has gone by', () => {
    let now = 5_000;
    const told: MoveProgress[] = [];
    const counter = new ProgressCounter(
      'copy',
      10_000,
      (progress) => told.push(progress),
      () => now,
    );
    counter.skip(4_000);
    counter.add('events', 500);
    now += 2_000;
    counter.add('events', 500);
    const phase = { phase: 'copy', table: 'events', total: 10_000 };
    expect(told).toEqual([
      { ...phase, rows: 4_500, rowsPerSecond: 0, secondsLeft: null },
      { ...phase, rows: 5_000, rowsPerSecond: 500, secondsLeft: 10 },
    ]);
  });
});
