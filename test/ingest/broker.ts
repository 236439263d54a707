/** A broker of a test, whichever it is. */
export interface Broker {
  /** Makes a queue for one test. */
  queue: () => Promise<Queue>;
  /** Kills it and starts it again with what it has stored; absent where it stores nothing. */
  restart?: () => Promise<void>;
  /** Whether its client library tells that it was away; Kafka's asks again by itself. */
  isRestartNoticed?: boolean;
  close: () => Promise<void>;
}

/** One queue of it, as somebody's application uses it. */
export interface Queue {
  /** What tells `posthorn ingest` to read it. */
  argv: string[];
  env?: Record<string, string>;
  /** What makes refused messages go to the dead letters; absent where that is so by itself. */
  deadLetterArgv: string[];
  /** Resolves when the broker has stored them. */
  send: (bodies: readonly string[]) => Promise<void>;
  /** Messages that are not acknowledged, whether handed out or not. */
  unacknowledged: () => Promise<number>;
  /** Bodies of those that were put aside. */
  deadLetters: () => Promise<string[]>;
}
