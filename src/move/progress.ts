/** What a move is at: said after every page. */
export interface MoveProgress {
  phase: 'copy' | 'verify';
  table: string;
  /** Rows done, of this phase; those of an earlier run count. */
  rows: number;
  total: number;
  /** Rows a second, of this phase in this run; 0 = not known yet. */
  rowsPerSecond: number;
  /** Seconds that the phase goes on at this rate; null = not known yet. */
  secondsLeft: number | null;
}

/** The first rows say little about those that follow. */
const KNOWN_AFTER_S = 1;

/** Counts the rows of one phase and tells how fast they go. */
export class ProgressCounter {
  readonly #phase: MoveProgress['phase'];
  readonly #total: number;
  readonly #tell: (progress: MoveProgress) => void;
  readonly #now: () => number;
  readonly #startedAt: number;
  #before = 0;
  #rows = 0;

  /** `now`: milliseconds of a clock that nobody sets. */
  constructor(
    phase: MoveProgress['phase'],
    total: number,
    tell: (progress: MoveProgress) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#phase = phase;
    this.#total = total;
    this.#tell = tell;
    this.#now = now;
    this.#startedAt = now();
  }

  /** Rows that an earlier run did: they say nothing about this one's rate. */
  skip(rows: number): void {
    this.#before += rows;
  }

  add(table: string, rows: number): void {
    this.#rows += rows;
    const seconds = (this.#now() - this.#startedAt) / 1000;
    const rate = seconds >= KNOWN_AFTER_S ? this.#rows / seconds : 0;
    const done = this.#before + this.#rows;
    this.#tell({
      phase: this.#phase,
      table,
      rows: done,
      total: this.#total,
      rowsPerSecond: Math.round(rate),
      secondsLeft: rate > 0 ? Math.ceil((this.#total - done) / rate) : null,
    });
  }
}
