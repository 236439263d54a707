/** A batch is closed at either bound, so that no statement grows without end. */
const MAX_ROWS = 2_000;
const MAX_CHARS = 4 * 1024 * 1024;

const LONGEST_REST_MS = 10;

/** One call that waits for the commit of its batch. */
export interface Call<Input, Output> {
  readonly input: Input;
  readonly resolve: (output: Output) => void;
  readonly reject: (error: unknown) => void;
}

interface Batch<Input, Output> {
  calls: Call<Input, Output>[];
  rows: number;
  chars: number;
}

export interface LaneOptions {
  /** Statements at once. */
  width: number;
  /**
   * Shortest rest behind a batch, ms: it rests for as long as the batch took, 10 ms at most, so that the next one is
   * larger. For verbs that nobody waits for; default: it never rests.
   */
  restMs?: number;
}

/**
 * Gathers calls of one verb into batches, a statement each. While it is idle a batch leaves when the event loop has
 * turned once; while `width` statements are under way everything waits for one of them and leaves together.
 */
export class Lane<Input, Output> {
  readonly #run: (calls: readonly Call<Input, Output>[]) => Promise<void>;
  readonly #width: number;
  readonly #restMs: number | null;
  #queue: Batch<Input, Output>[] = [];
  #underWay = 0;
  #isTurning = false;
  #whenIdle: (() => void)[] = [];

  /** `run` answers every call, and never rejects. */
  constructor(options: LaneOptions, run: (calls: readonly Call<Input, Output>[]) => Promise<void>) {
    this.#width = options.width;
    this.#restMs = options.restMs ?? null;
    this.#run = run;
  }

  /** `rows`: how many it will write; `chars`: of its payloads. */
  call(input: Input, rows: number, chars: number): Promise<Output> {
    return new Promise((resolve, reject) => {
      let batch = this.#queue.at(-1);
      if (!batch || (batch.rows > 0 && (batch.rows + rows > MAX_ROWS || batch.chars + chars > MAX_CHARS))) {
        batch = { calls: [], rows: 0, chars: 0 };
        this.#queue.push(batch);
      }
      batch.rows += rows;
      batch.chars += chars;
      batch.calls.push({ input, resolve, reject });
      if (this.#underWay >= this.#width || this.#isTurning) return;
      this.#isTurning = true;
      setImmediate(() => {
        this.#isTurning = false;
        this.#next();
      });
    });
  }

  async #runAndRest(calls: readonly Call<Input, Output>[]): Promise<void> {
    const beganAt = performance.now();
    await this.#run(calls);
    if (this.#restMs === null || this.#queue.length > 1) return; // a full batch waits already
    const tookMs = performance.now() - beganAt;
    const restMs = Math.max(this.#restMs, Math.min(LONGEST_REST_MS, tookMs));
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }

  /** Resolves when everything called so far has its answer. */
  idle(): Promise<void> {
    if (this.#underWay === 0 && this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #next(): void {
    while (this.#underWay < this.#width) {
      const batch = this.#queue.shift();
      if (!batch) break;
      this.#underWay++;
      void this.#runAndRest(batch.calls).finally(() => {
        this.#underWay--;
        this.#next();
      });
    }
    if (this.#underWay > 0 || this.#queue.length > 0) return;
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const resolve of waiting) resolve();
  }
}
