import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Queue } from '../../src/delivery/queue.ts';

describe('a queue', () => {
  it('gives what came first first, however it grows and empties', () => {
    // Runs of pushes (above zero) and shifts (below).
    const runs = fc.array(fc.integer({ min: -300, max: 300 }), { maxLength: 60 });
    fc.assert(
      fc.property(runs, (sizes) => {
        const queue = new Queue<number>();
        const model: number[] = [];
        let next = 0;
        for (const size of sizes) {
          for (let i = 0; i < size; i++) {
            queue.push(next);
            model.push(next++);
          }
          for (let i = 0; i > size; i--) {
            expect(queue.peek()).toBe(model[0]);
            expect(queue.shift()).toBe(model.shift());
          }
          expect(queue.length).toBe(model.length);
        }
      }),
    );
  });

  it('has nothing when it is empty', () => {
    const queue = new Queue<string>();
    expect(queue.length).toBe(0);
    expect(queue.peek()).toBeUndefined();
    expect(queue.shift()).toBeUndefined();
    queue.push('a');
    queue.shift();
    expect(queue.peek()).toBeUndefined();
    expect(queue.shift()).toBeUndefined();
    expect(queue.length).toBe(0);
  });
});
