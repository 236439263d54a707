/**
 * Work that many ask for at once. Whoever asks while it runs shares the next run, so that what they get began after they
 * asked; runs begin at least `spacingMs` apart.
 */
export class Coalesced {
  readonly #work: () => Promise<void>;
  readonly #spacingMs: number;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #beganAt = Number.NEGATIVE_INFINITY;

  constructor(work: () => Promise<void>, spacingMs = 0) {
    this.#work = work;
    this.#spacingMs = spacingMs;
  }

  run(): Promise<void> {
    if (!this.#running) return this.#begin();
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        return this.#begin();
      });
    return this.#next;
  }

  #begin(): Promise<void> {
    const waitMs = this.#beganAt + this.#spacingMs - performance.now();
    const run = (waitMs > 0 ? this.#afterwards(waitMs) : this.#now()).finally(() => {
      if (this.#running === run) this.#running = null;
    });
    this.#running = run;
    return run;
  }

  async #afterwards(waitMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    await this.#now();
  }

  #now(): Promise<void> {
    this.#beganAt = performance.now();
    return this.#work();
  }
}
