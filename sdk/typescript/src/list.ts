/**
 * A list, asked for when it is used. `await` gives its first page, as the API answers it; `for await` gives every item
 * of every page. Each use asks anew.
 */
export class List<Page extends { nextCursor: string | null }, Item> implements PromiseLike<Page>, AsyncIterable<Item> {
  readonly #load: (cursor: string | undefined) => Promise<Page>;
  readonly #itemsOf: (page: Page) => readonly Item[];

  constructor(load: (cursor: string | undefined) => Promise<Page>, itemsOf: (page: Page) => readonly Item[]) {
    this.#load = load;
    this.#itemsOf = itemsOf;
  }

  /** One page: the first, or the one at a `nextCursor`. */
  page(cursor?: string): Promise<Page> {
    return this.#load(cursor);
  }

  /** Every page. */
  async *pages(): AsyncGenerator<Page, void, void> {
    let cursor: string | undefined;
    do {
      const page = await this.#load(cursor);
      yield page;
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
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
