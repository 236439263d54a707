import { PosthornError } from '../errors.ts';
import type { Line } from './line.ts';
import type { Lines } from './lines.ts';

/** How long a publish waits for memory before it is refused. */
const PATIENCE_MS = 5_000;
/** How long it waits for a line that moves, before its delivery goes to the store to be claimed from there. */
const LINE_PATIENCE_MS = 500;
/** How often it looks whether that still moves. */
const LOOK_MS = 100;
/** Publishes that may wait for memory; more are refused at once. */
const MAX_WAITING = 20_000;

/** A line that has not the places that a publish needs. */
export interface Crowd {
  readonly line: Line;
  readonly places: number;
}

interface Turn {
  readonly places: number;
  readonly go: () => void;
}

/**
 * Where publishes wait at the door while this node has more than it can send.
 *
 * A delivery without room in memory is stored for a claim to bring back, which costs the store twice as much: where all
 * are quick and only the machine is at its end, that would slow everything down for as long as the rush lasts. So a publish
 * waits for a line that moves, a little; for one that does not (slow, failing, paused, with a backlog) nobody waits.
 */
export class Admission {
  readonly #lines: Lines;
  /** Those who wait until memory is not full. */
  readonly #waiting = new Set<() => void>();
  /** Those who wait for a line, in turn. */
  readonly #inLine = new Map<Line, Set<Turn>>();

  constructor(lines: Lines) {
    this.#lines = lines;
  }

  /**
   * Resolves when there is room, or when it was waited for long enough. `crowded`: where it is worth while to wait for room
   * for what the caller has; null where that is nowhere.
   * @throws OVERLOADED where memory is full for five seconds
   */
  async enter(crowded: () => Crowd | null): Promise<void> {
    if (this.#lines.isFull) await this.#memory();
    const until = performance.now() + LINE_PATIENCE_MS;
    for (let crowd = crowded(); crowd !== null; crowd = crowded()) {
      if (performance.now() >= until) return;
      await this.#turn(crowd, until, () => crowded()?.line === crowd?.line);
    }
  }

  /** A delivery left this line: one that waits for it may go in, and those who wait for memory look again. */
  onRoom(line: Line): void {
    if (this.#inLine.size > 0) {
      const next = this.#inLine.get(line)?.values().next().value;
      if (next && this.#lines.mayEnter(line, next.places)) next.go();
    }
    if (this.#waiting.size === 0) return;
    for (const go of this.#waiting) {
      if (this.#lines.isFull) return;
      go();
    }
  }

  async #memory(): Promise<void> {
    if (this.#waiting.size >= MAX_WAITING) throw overloaded();
    await new Promise<void>((resolve, reject) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(go);
        reject(overloaded());
      }, PATIENCE_MS);
      this.#waiting.add(go);
    });
  }

  /** In its place until its turn comes, `until` (by `performance.now`), or as long as it is still to wait there. */
  async #turn({ line, places }: Crowd, until: number, isStill: () => boolean): Promise<void> {
    const turns = this.#inLine.get(line) ?? new Set<Turn>();
    this.#inLine.set(line, turns);
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (performance.now() >= until || !isStill()) turn.go();
        else timer = lookSoon();
      };
      const lookSoon = (): NodeJS.Timeout => setTimeout(look, Math.min(LOOK_MS, until - performance.now()));
      const turn = {
        places,
        go: () => {
          clearTimeout(timer);
          turns.delete(turn);
          if (turns.size === 0 && this.#inLine.get(line) === turns) this.#inLine.delete(line);
          resolve();
        },
      };
      let timer = lookSoon();
      turns.add(turn);
    });
  }
}

function overloaded(): PosthornError {
  return new PosthornError('OVERLOADED', undefined, { retryAfterSeconds: 5 });
}
