import type * as Kafka from '@platformatic/kafka';
import type { Consumer, Message as KafkaRecord, MessagesStream, Producer } from '@platformatic/kafka';
import type { Address } from '../address.ts';
import { IngestFailure, reasonOf } from '../failure.ts';
import { Inbox } from '../inbox.ts';
import { loadPackage } from '../package.ts';
import type { Message, Settled, Source, SourceEvents } from '../source.ts';
import { readTlsFiles, type TlsFiles } from '../tls.ts';
import { backoffMs, wait } from '../wait.ts';

export const saslMechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;

export interface KafkaOptions {
  address: Address;
  topic: string;
  /** The consumer group, whose offsets say what is done. */
  group: string;
  /** Topic to which refused messages are copied; null = none, and then there is no place for them. */
  deadLetter: string | null;
  sasl: (typeof saslMechanisms)[number];
  tls: TlsFiles;
  batch: number;
}

type Bytes = Buffer | undefined;
type Record = KafkaRecord<Bytes, Bytes, string, Bytes>;

interface KafkaMessage extends Message {
  readonly raw: Record;
}

/** After a kill -9, the group waits as long as this for the member that is gone. */
const SESSION_MS = 10_000;
/** How long to wait for a broker to let go. */
const LEAVE_MS = 5_000;

/** A topic of Kafka, read as a member of a consumer group. */
export class KafkaSource implements Source<KafkaMessage> {
  readonly inbox = new Inbox<KafkaMessage>();
  readonly #o: KafkaOptions;
  readonly #closing = new AbortController();
  #events: SourceEvents = { lost: () => undefined, found: () => undefined };
  #consumer: Consumer<Bytes, Bytes, string, Bytes> | null = null;
  #producer: Producer<Bytes, Bytes, string, Bytes> | null = null;
  #stream: Stream | null = null;
  #isCommitting = true;

  constructor(options: KafkaOptions) {
    this.#o = options;
  }

  async open(events: SourceEvents): Promise<boolean> {
    this.#events = events;
    const kafka = await loadPackage('@platformatic/kafka', () => import('@platformatic/kafka'));
    try {
      await this.#join(kafka);
      if (this.#o.deadLetter !== null) {
        await this.#consumer!.metadata({ topics: [this.#o.deadLetter], autocreateTopics: false });
        this.#producer = new kafka.Producer({
          ...this.#connection(),
          serializers: { headerKey: (name) => Buffer.from(name ?? '') },
        });
      }
    } catch (error) {
      throw this.#failureOf(error);
    }
    void this.#read(kafka);
    return this.#o.deadLetter !== null;
  }

  async settle(settled: readonly Settled<KafkaMessage>[]): Promise<void> {
    for (const { message, fate, reason } of settled) {
      if (fate === 'dead-letter') await this.#setAside(message.raw, reason!);
    }
    const last = new Map(settled.map(({ message: { raw } }) => [raw.partition, raw]));
    try {
      for (const raw of last.values()) await raw.commit();
      if (!this.#isCommitting) this.#events.found();
      this.#isCommitting = true;
    } catch (error) {
      // They are read again by whoever has the partition now, and are known by their keys.
      if (isProtocolError(error, 'GROUP_AUTHORIZATION_FAILED')) throw this.#failureOf(error);
      this.#isCommitting = false;
      this.#events.lost(`Kafka: offsets of ${this.#o.topic} are not committed: ${reasonOf(error)}`);
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.inbox.clear();
    await this.#leave();
    if (this.#producer !== null) await within(LEAVE_MS, leave(this.#producer));
  }

  async #join(kafka: typeof Kafka): Promise<void> {
    const { topic, group, batch } = this.#o;
    const consumer = new kafka.Consumer<Bytes, Bytes, string, Bytes>({
      ...this.#connection(),
      groupId: group,
      autocommit: false,
      sessionTimeout: SESSION_MS,
      rebalanceTimeout: 3 * SESSION_MS,
      maxWaitTime: 1_000,
      highWaterMark: batch,
      deserializers: { headerKey: (name) => name?.toString('utf8') ?? '' },
    });
    this.#consumer = consumer;
    // A topic that is missing is told here, and not made.
    await consumer.metadata({ topics: [topic], autocreateTopics: false });
    this.#stream = await consumer.consume({
      topics: [topic],
      mode: 'committed',
      fallbackMode: 'earliest',
      autocommit: false,
    });
  }

  /** Reads until it is closed, through as many streams as it takes. */
  async #read(kafka: typeof Kafka): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      try {
        if (this.#stream === null) {
          await this.#join(kafka);
          this.#events.found();
        }
        for await (const raw of this.#stream!) {
          failures = 0;
          this.inbox.put(this.#messageOf(raw));
          await this.inbox.room(this.#o.batch, signal);
          if (signal.aborted) break;
        }
        if (!signal.aborted) throw new Error('the stream of messages ended');
      } catch (error) {
        if (signal.aborted) return;
        this.#events.lost(this.#failureOf(error).message);
        // What nobody took is read again by the one that joins next, from the committed offsets.
        this.inbox.clear();
        await this.#leave();
        this.#stream = null;
        await wait(backoffMs(++failures), signal);
      }
    }
  }

  async #leave(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = null;
    if (consumer === null) return;
    this.#stream?.destroy();
    // Leaving needs the broker; one that is away is not waited for.
    await within(LEAVE_MS, leave(consumer));
  }

  #connection() {
    const { address, sasl, tls } = this.#o;
    const { user, password } = address;
    const secure = address.tls || Object.keys(tls).length > 0 ? readTlsFiles(tls) : null;
    return {
      clientId: 'posthorn-ingest',
      bootstrapBrokers: address.hosts.map((host) => (/:\d+$/.test(host) ? host : `${host}:9092`)),
      connectTimeout: 5_000,
      timeout: 5_000,
      retries: 3,
      retryDelay: 300,
      ...(secure === null ? {} : { tls: secure, tlsServerName: true }),
      ...(user === null ? {} : { sasl: { mechanism: sasl, username: user, password: password ?? '' } }),
    };
  }

  #failureOf(cause: unknown): IngestFailure {
    if (cause instanceof IngestFailure) return cause;
    const { topic, group, deadLetter, address } = this.#o;
    const where = `Kafka at ${address.hosts.join(',')}`;
    const missing = /Unknown topic (\S+)\.$/.exec(reasonOf(cause))?.[1];
    if (missing !== undefined || isProtocolError(cause, 'UNKNOWN_TOPIC_OR_PARTITION')) {
      const option = missing === deadLetter ? '--dead-letter' : '--topic';
      return new IngestFailure(`there is no topic ${missing ?? topic} at ${where}; check ${option}`, { cause });
    }
    if (isProtocolError(cause, 'TOPIC_AUTHORIZATION_FAILED') || isProtocolError(cause, 'GROUP_AUTHORIZATION_FAILED')) {
      return new IngestFailure(`this user may not read topic ${topic} as group ${group}`, { cause });
    }
    if (has(cause, ({ code }) => code === 'PLT_KFK_AUTHENTICATION')) {
      return new IngestFailure(`${where} does not let this user in; check user and password in --from, and --sasl`, {
        cause,
      });
    }
    // Brokers also refuse by closing the connection, so a user may be to blame here too.
    const remedy = address.user === null ? 'check --from' : 'check --from, its user and password, and --sasl';
    return new IngestFailure(`${where} cannot be used: ${reasonOf(cause)}; ${remedy}`, { cause });
  }

  async #setAside(raw: Record, reason: string): Promise<void> {
    const { topic, partition, offset } = raw;
    const headers = new Map(raw.headers);
    headers.set('posthorn-reason', Buffer.from(reason.slice(0, 500)));
    headers.set('posthorn-from', Buffer.from(`${topic} ${partition} ${offset}`));
    const message = { topic: this.#o.deadLetter!, key: raw.key, value: raw.value, headers };
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#producer!.send({ messages: [message], acks: -1 });
        return;
      } catch (error) {
        // Its offset is passed over only once the copy is there.
        if (/Unknown topic/.test(reasonOf(error)) || this.#closing.signal.aborted || attempt === 10) {
          throw new IngestFailure(`--dead-letter: ${this.#o.deadLetter!} takes nothing: ${reasonOf(error)}`, {
            cause: error,
          });
        }
        await wait(backoffMs(attempt), this.#closing.signal);
      }
    }
  }

  #messageOf(raw: Record): KafkaMessage {
    const { topic, partition, offset, timestamp } = raw;
    const place = `kafka:${topic}`;
    const headers = new Map<string, string>();
    for (const [name, value] of raw.headers) headers.set(name.toLowerCase(), value?.toString('utf8') ?? '');
    const timeMs = Number(timestamp);
    return {
      raw,
      body: raw.value ?? Buffer.alloc(0),
      place,
      name: `${topic} ${partition} ${offset}`,
      // A topic made anew counts from 0 again: the time tells its records from those before.
      key: `${place}/${partition}/${offset}@${timestamp}`,
      subject: topic,
      orderingKey: raw.key?.toString('utf8') ?? null,
      headers,
      // From the producer, so it may be any number; the year 9999 is the last that RFC 3339 can write.
      time: timeMs >= 0 && timeMs < 253_402_300_800_000 ? timeMs : null,
    };
  }
}

/** Whether it left in order makes no difference any more. */
function leave(client: { close(force: boolean, done: () => void): void }): Promise<void> {
  return new Promise((resolve) => client.close(true, () => resolve()));
}

/** Resolves with `work`, or after `ms`. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work.finally(() => over.abort()), wait(ms, over.signal)]);
}

type Stream = MessagesStream<Bytes, Bytes, string, Bytes>;

function isProtocolError(error: unknown, apiId: string): boolean {
  return has(error, (one) => one.apiId === apiId);
}

/** Looks through an error and all that it holds: the library wraps what a broker says in errors of requests and retries. */
function has(error: unknown, fits: (error: { code?: unknown; apiId?: unknown }) => boolean): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { errors, cause } = error as { errors?: unknown[]; cause?: unknown };
  return fits(error) || (errors ?? []).some((one) => has(one, fits)) || (cause !== undefined && has(cause, fits));
}
