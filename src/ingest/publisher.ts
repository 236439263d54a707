import { backoffMs, wait } from './wait.ts';

/** What Posthorn said to a batch. */
export type PostOutcome =
  | { kind: 'accepted' }
  /** One of its events cannot be taken, and so none was. */
  | { kind: 'refused'; reason: string }
  /** It may be taken later. `afterMs`: as Posthorn asks for, null where it does not say. */
  | { kind: 'later'; reason: string; afterMs: number | null };

/** Sends `{"events":[…]}` to `POST /v1/events/batch`. Throws {@link IngestFailure} where no event would be taken. */
export type Post = (body: string) => Promise<PostOutcome>;

/** What became of an event; `unsent`: it was stopped before. */
export type Publication = 'accepted' | 'unsent' | { refused: string };

export interface PublisherOptions {
  post: Post;
  /** End at the first event that is refused: those after it stay unsent. */
  stopsAtRefusal: boolean;
  /** Told before each wait. */
  waiting: (reason: string, ms: number) => void;
  /** Told when it goes on after waits. */
  resumed: () => void;
  signal: AbortSignal;
}

/** A server as it is set up by itself takes batches of 1 MiB; a larger one would only be halved. */
const BATCH_BYTES = 1_000_000;
const MAX_EVENTS = 1_000;
const LONGEST_RETRY_AFTER_MS = 300_000;

/**
 * Publishes events in batches, in their order. A batch that is refused is halved until the events stand alone that are
 * to blame. What can be taken later is sent again, for as long as it takes or until `signal` is aborted.
 */
export class Publisher {
  readonly #o: PublisherOptions;
  #isOver = false;

  constructor(options: PublisherOptions) {
    this.#o = options;
  }

  /** @param events each as JSON text, with a key; resolves to what became of each, in order */
  async publish(events: readonly string[]): Promise<Publication[]> {
    this.#isOver = false;
    const publications: Publication[] = [];
    for (const slice of slicesOf(events)) publications.push(...(await this.#send(slice)));
    return publications;
  }

  async #send(events: readonly string[]): Promise<Publication[]> {
    if (this.#isOver) return events.map(() => 'unsent');
    const outcome = await this.#insist(`{"events":[${events.join(',')}]}`);
    if (outcome === null) {
      this.#isOver = true;
      return events.map(() => 'unsent');
    }
    if (outcome.kind === 'accepted') return events.map(() => 'accepted');
    if (events.length === 1) {
      this.#isOver = this.#o.stopsAtRefusal;
      return [{ refused: outcome.reason.replace('events[0]: ', '').replace('events[0].', '') }];
    }
    const middle = Math.ceil(events.length / 2);
    const first = await this.#send(events.slice(0, middle));
    return [...first, ...(await this.#send(events.slice(middle)))];
  }

  /** Sends until it is accepted or refused; null where it was stopped. What is on its way is waited for even then. */
  async #insist(body: string): Promise<Exclude<PostOutcome, { kind: 'later' }> | null> {
    const { post, signal, waiting, resumed } = this.#o;
    if (signal.aborted) return null;
    for (let attempt = 1; ; attempt++) {
      const outcome = await post(body);
      if (outcome.kind !== 'later') {
        if (attempt > 1) resumed();
        return outcome;
      }
      if (signal.aborted) return null;
      const asked = Math.min(outcome.afterMs ?? 0, LONGEST_RETRY_AFTER_MS);
      const ms = Math.max(asked, backoffMs(attempt));
      waiting(outcome.reason, ms);
      await wait(ms, signal);
      if (signal.aborted) return null;
    }
  }
}

function slicesOf(events: readonly string[]): string[][] {
  const slices: string[][] = [];
  let room = 0;
  for (const event of events) {
    const bytes = Buffer.byteLength(event) + 1;
    if (bytes > room || slices.at(-1)!.length === MAX_EVENTS) {
      slices.push([]);
      room = BATCH_BYTES;
    }
    slices.at(-1)!.push(event);
    room -= bytes;
  }
  return slices;
}
