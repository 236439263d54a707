import type { Inbox } from './inbox.ts';

/** One message of a queue, as every broker can show it. */
export interface Message {
  readonly body: Uint8Array;
  /** Where it was found, unique among the queues of one Posthorn: `nats:ORDERS`, `kafka:orders`. Begins its key. */
  readonly place: string;
  /** What the broker calls it in logs: `ORDERS 1042`. */
  readonly name: string;
  /** What the broker knows it by, the same at every redelivery; null where it knows none. Begins with `place`. */
  readonly key: string | null;
  /** Subject, topic or routing key; null where the broker has no such thing. */
  readonly subject: string | null;
  /** Kafka's record key, SQS's message group; null without. */
  readonly orderingKey: string | null;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** When the broker took it, epoch ms; null unless it is the same at every redelivery and repeated publish. */
  readonly time: number | null;
}

/** What became of a message: `accepted` by Posthorn, or refused and then skipped, or handed to the dead letters. */
export interface Settled<M extends Message = Message> {
  readonly message: M;
  readonly fate: 'accepted' | 'skipped' | 'dead-letter';
  /** Why it was refused. */
  readonly reason: string | null;
}

/** What a source tells while it works. */
export interface SourceEvents {
  /** The broker is away; the source goes on trying. */
  lost: (reason: string) => void;
  found: () => void;
}

/**
 * A queue of some broker. It puts messages into its inbox, no more than a batch beyond what is in work, and remembers
 * nothing itself: what is not settled comes again, from the broker.
 */
export interface Source<M extends Message = Message> {
  readonly inbox: Inbox<M>;
  /**
   * Connects and begins. Throws {@link IngestFailure} where the broker is unreachable, refuses, or has no such queue.
   * @returns whether a message that is given up stays somewhere (a dead-letter place, or the stream itself); null = unknown
   */
  open(events: SourceEvents): Promise<boolean | null>;
  /**
   * Tells the broker what became of these, all of one batch in their order. A lost connection is no error: the
   * broker gives them again. Throws {@link IngestFailure} where the dead-letter place takes no messages.
   */
  settle(settled: readonly Settled<M>[]): Promise<void>;
  /** Gives back what is not settled, and leaves. Tolerates never-opened and twice. */
  close(): Promise<void>;
}
