import { setTimeout as wait } from 'node:timers/promises';
import { isRepeatable, toStoreError } from './failure.ts';
import { SweptElsewhere } from './prune-locks.ts';

/** After a step that deleted nothing, so that a long look is no load. */
const BREATHER_MS = 5;

/** What a pass may ask for at any moment: it changes from call to call. */
export interface Present<Request> {
  request: Request;
  /** What may still go in this call. */
  room: number;
}

/**
 * A verb that works in passes, each over everything, a slice at each step: a call goes on where the last one stopped, up
 * to its limit or to the end of the pass. Resolves to the sum of what the steps yielded.
 */
export function inPasses<Request extends { limit: number }>(
  pass: (present: Present<Request>) => AsyncGenerator<number, void>,
): (request: Request) => Promise<number> {
  let present: Present<Request> | null = null;
  let running: AsyncGenerator<number, void> | null = null;

  return async (request) => {
    present = Object.assign(present ?? { request, room: 0 }, { request, room: request.limit });
    let sum = 0;
    try {
      while (sum < request.limit) {
        running ??= pass(present);
        const { value, done } = await running.next();
        if (done) {
          running = null;
          break;
        }
        sum += value;
        present.room = request.limit - sum;
        if (value === 0) await wait(BREATHER_MS);
      }
    } catch (error) {
      running = null;
      // Tables in use, or another node at it: the next sweep goes on.
      if (!(error instanceof SweptElsewhere || isRepeatable(error))) throw toStoreError(error);
    }
    return sum;
  };
}
