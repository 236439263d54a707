import { PosthornError } from './error.ts';

/**
 * A list, asked for when it is used. `await` gives its first page, as the API answers it; `for await` gives every item
 * of every page. Each use asks anew.
 */
export class List<Page extends { nextCursor: string | null }, Item> implements PromiseLike<Page>, AsyncIterable<Item> {
  readonly #load: (cursor: string | undefined) => Promise<Page>;
  readonly #itemsOf: (page: Page) => readonly Item[];

  constructor(load: (cursor: string | undefined) => Promise<Page>, itemsOf: (page: Page) => readonly Item[]) {
    this.#itemsOf = itemsOf;
    this.#load = async (cursor) => {
      const page = await load(cursor);
      // What another server answers, where the address is wrong, may be JSON too.
      if (!Array.isArray(itemsOf(page))) throw unexpected('The answer is no list. Is the address right?');
      return page;
    };
  }

  /** One page: the first, or the one at a `nextCursor`. */
  page(cursor?: string): Promise<Page> {
    return this.#load(cursor);
  }

  /** Every page. */
  async *pages(): AsyncGenerator<Page, void, void> {
    let cursor: string | undefined;
    // Brent's search for a cycle: a mark that moves up at powers of two, so that it costs no memory to end a walk in circles.
    let mark: string | undefined;
    for (let number = 1, markAt = 1; ; number++) {
      const page = await this.#load(cursor);
      yield page;
      cursor = page.nextCursor ?? undefined;
      if (cursor === undefined || cursor === '') return;
      if (cursor === mark) throw unexpected('The pages of the list go round in circles.');
      if (number === markAt) {
        mark = cursor;
        markAt *= 2;
      }
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, void> {
    for await (const page of this.pages()) yield* this.#itemsOf(page);
  }

  then<Kept = Page, Caught = never>(
    kept?: ((page: Page) => Kept | PromiseLike<Kept>) | null,
    caught?: ((reason: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    return this.page().then(kept, caught);
  }

  catch<Caught>(caught: (reason: unknown) => Caught | PromiseLike<Caught>): Promise<Page | Caught> {
    return this.page().catch(caught);
  }
}

function unexpected(message: string): PosthornError {
  return new PosthornError('UNEXPECTED_RESPONSE', message);
}
