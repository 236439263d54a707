/** A map that holds at most `limit` entries: the one added first makes room. For answers that can be found again. */
export class BoundedMap<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #limit: number;
  readonly #onDrop: (value: V) => void;

  constructor(limit: number, onDrop: (value: V) => void = () => {}) {
    this.#limit = limit;
    this.#onDrop = onDrop;
  }

  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  set(key: K, value: V): void {
    if (this.#entries.size >= this.#limit && !this.#entries.has(key)) {
      for (const [oldest, dropped] of this.#entries) {
        this.#entries.delete(oldest);
        this.#onDrop(dropped);
        break;
      }
    }
    this.#entries.set(key, value);
  }
}
