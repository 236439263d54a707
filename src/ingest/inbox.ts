/**
 * What a broker has sent and nobody has taken yet. Whoever fills it waits for room, so that it holds no more than the
 * source asks for.
 */
export class Inbox<M> {
  #messages: M[] = [];
  #failure: Error | null = null;
  readonly #takers = new Set<() => void>();
  readonly #fillers = new Set<() => void>();

  get size(): number {
    return this.#messages.length;
  }

  put(message: M): void {
    this.#messages.push(message);
    wake(this.#takers);
  }

  /** Forgets what nobody took: the connection it came over is gone, and the broker sends it again. */
  clear(): M[] {
    const left = this.#messages;
    this.#messages = [];
    wake(this.#fillers);
    return left;
  }

  /** The source cannot go on: whoever takes gets this error. */
  fail(error: Error): void {
    this.#failure ??= error;
    wake(this.#takers);
  }

  /**
   * Waits for a first message, then at most `maxWaitMs` for others, up to `limit`.
   * @returns them in their order; none where `signal` was aborted
   */
  async take(limit: number, maxWaitMs: number, signal: AbortSignal): Promise<M[]> {
    await this.#until(() => this.#messages.length > 0, null, signal);
    if (maxWaitMs > 0) await this.#until(() => this.#messages.length >= limit, maxWaitMs, signal);
    if (this.#failure !== null) throw this.#failure;
    if (signal.aborted) return [];
    const taken = this.#messages.splice(0, limit);
    wake(this.#fillers);
    return taken;
  }

  /** Resolves when fewer than `count` messages wait, or when `signal` is aborted. */
  async room(count: number, signal: AbortSignal): Promise<void> {
    while (this.#messages.length >= count && !signal.aborted) await woken(this.#fillers, null, signal);
  }

  async #until(isSo: () => boolean, maxWaitMs: number | null, signal: AbortSignal): Promise<void> {
    const end = maxWaitMs === null ? Infinity : performance.now() + maxWaitMs;
    while (!isSo() && !signal.aborted && this.#failure === null) {
      const leftMs = end - performance.now();
      if (leftMs <= 0) return;
      await woken(this.#takers, Number.isFinite(leftMs) ? leftMs : null, signal);
    }
  }
}

function wake(waiting: Set<() => void>): void {
  for (const go of waiting) go();
}

function woken(waiting: Set<() => void>, maxWaitMs: number | null, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = maxWaitMs === null ? null : setTimeout(go, maxWaitMs);
    function go(): void {
      if (timer !== null) clearTimeout(timer);
      signal.removeEventListener('abort', go);
      waiting.delete(go);
      resolve();
    }
    signal.addEventListener('abort', go);
    waiting.add(go);
  });
}
