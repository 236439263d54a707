/** A queue that has emptied keeps room for so many: most stand empty again and again, and new room costs more than the item. */
const KEPT_ROOM = 64;
const FIRST_ROOM = 8;

/**
 * First in, first out, at constant cost however long it grows (Array.shift moves every element). A ring: room is used again
 * and again, and none is left behind in which the items would be kept until a full garbage collection.
 */
export class Queue<T> {
  /** As many as a power of two, or none. */
  #items: (T | undefined)[] = [];
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#length++) & (this.#items.length - 1)] = item;
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    if (--this.#length === 0 && this.#items.length > KEPT_ROOM) {
      this.#items = [];
      this.#head = 0;
    }
    return item;
  }

  peek(): T | undefined {
    return this.#items[this.#head];
  }

  #grow(): void {
    const { length } = this.#items;
    const grown = new Array<T | undefined>(Math.max(FIRST_ROOM, length * 2)).fill(undefined);
    for (let i = 0; i < length; i++) grown[i] = this.#items[(this.#head + i) & (length - 1)];
    this.#items.fill(undefined);
    this.#items = grown;
    this.#head = 0;
  }
}
