import { IngestFailure } from './failure.ts';
import { mapMessage, type Mapping } from './mapping.ts';
import { Publisher, type Post, type Publication } from './publisher.ts';
import type { Message, Settled, Source } from './source.ts';

/** What to do with a message that is no event: end with an error, put it aside at the broker, or pass over it. */
export type OnInvalid = 'stop' | 'dead-letter' | 'skip';

/** What is told about the work: to people, or as lines of a log. */
export interface Report {
  opened: () => void;
  /** It was told to stop, and finishes what is in flight. */
  stopping: () => void;
  /** So many more are accepted by Posthorn and acknowledged to the broker. */
  accepted: (count: number) => void;
  refused: (name: string, reason: string, fate: 'skipped' | 'dead-letter') => void;
  /** Posthorn takes nothing now; it is tried again after `ms`. */
  waiting: (reason: string, ms: number) => void;
  resumed: () => void;
  brokerLost: (reason: string) => void;
  brokerFound: () => void;
}

export interface IngestOptions {
  source: Source;
  post: Post;
  mapping: Mapping;
  /** Null = dead-letter where the broker keeps what is given up, else stop. */
  onInvalid: OnInvalid | null;
  /** Messages published at once. */
  batch: number;
  /** How long to wait for a batch to fill. */
  maxWaitMs: number;
  report: Report;
  /** Ends the work in order: what is on its way is finished and acknowledged. */
  signal: AbortSignal;
}

/**
 * Consumes messages, publishes each as an event, and acknowledges it once Posthorn has committed it: each message
 * at least once, and with its key exactly one event. Resolves when `signal` is aborted; rejects with
 * {@link IngestFailure} where it cannot go on.
 */
export async function ingest(options: IngestOptions): Promise<void> {
  const { source, report, signal, batch, maxWaitMs } = options;
  try {
    const isKept = await source.open({ lost: report.brokerLost, found: report.brokerFound });
    const onInvalid = decide(options.onInvalid, isKept);
    report.opened();
    signal.addEventListener('abort', report.stopping, { once: true });
    const publisher = new Publisher({
      post: options.post,
      stopsAtRefusal: onInvalid === 'stop',
      waiting: report.waiting,
      resumed: report.resumed,
      signal,
    });
    while (!signal.aborted) {
      const messages = await source.inbox.take(batch, maxWaitMs, signal);
      if (messages.length > 0) await work(messages, publisher, onInvalid, options);
    }
  } finally {
    await source.close();
  }
}

function decide(wanted: OnInvalid | null, isKept: boolean | null): OnInvalid {
  if (wanted === 'dead-letter' && isKept === false) {
    throw new IngestFailure(
      '--on-invalid dead-letter: the broker has no place for messages that are given up; ' +
        'name one with --dead-letter (SQS: give the queue a redrive policy)',
    );
  }
  return wanted ?? (isKept === true ? 'dead-letter' : 'stop');
}

async function work(
  messages: readonly Message[],
  publisher: Publisher,
  onInvalid: OnInvalid,
  { source, mapping, report }: IngestOptions,
): Promise<void> {
  const mapped = messages.map((message) => mapMessage(message, mapping));
  const firstInvalid = onInvalid === 'stop' ? mapped.findIndex((event) => 'reason' in event) : -1;
  // Nothing after a message that ends the work is published: the order would be lost when it is mended.
  const within = firstInvalid === -1 ? mapped.length : firstInvalid + 1;
  const texts = mapped.slice(0, within).flatMap((event) => ('text' in event ? [event.text] : []));
  const publications = (await publisher.publish(texts)).values();

  const settled: Settled[] = [];
  let ending: { name: string; reason: string } | null = null;
  for (const [i, event] of mapped.slice(0, within).entries()) {
    const message = messages[i]!;
    const publication: Publication = 'text' in event ? publications.next().value! : { refused: event.reason };
    // What is settled is the beginning of the batch without gaps: Kafka's offsets can say nothing else.
    if (publication === 'unsent') break;
    if (publication === 'accepted') {
      settled.push({ message, fate: 'accepted', reason: null });
    } else {
      const reason = publication.refused;
      if (onInvalid === 'stop') ending ??= { name: message.name, reason };
      else settled.push({ message, fate: onInvalid === 'skip' ? 'skipped' : 'dead-letter', reason });
    }
  }
  await source.settle(settled);
  for (const { message, fate, reason } of settled) {
    if (fate !== 'accepted') report.refused(message.name, reason!, fate);
  }
  const accepted = settled.filter(({ fate }) => fate === 'accepted').length;
  if (accepted > 0) report.accepted(accepted);
  if (ending !== null) throw invalid(ending.name, ending.reason);
}

function invalid(name: string, reason: string): IngestFailure {
  return new IngestFailure(
    `${name} cannot be an event: ${reason}. It is still in the queue; mend or remove it, ` +
      'or say where such messages go: --dead-letter <place>, --on-invalid dead-letter or skip',
  );
}
