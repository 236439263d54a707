import type { Consumer, ConsumerInfo, JetStreamClient, JetStreamManager, JsMsg } from '@nats-io/jetstream';
import type * as Transport from '@nats-io/transport-node';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { readFileSync } from 'node:fs';
import type { Address } from '../address.ts';
import { IngestFailure, reasonOf } from '../failure.ts';
import { Inbox } from '../inbox.ts';
import { loadPackage } from '../package.ts';
import type { Message, Settled, Source, SourceEvents } from '../source.ts';
import type { TlsFiles } from '../tls.ts';
import { backoffMs, wait } from '../wait.ts';

export interface NatsOptions {
  address: Address;
  stream: string;
  /** The durable consumer; made where it is missing. */
  durable: string;
  /** Filter of a consumer that is made, and that of one that is there has to be the same; null = all subjects. */
  subject: string | null;
  /** Subject to which refused messages go; null = they are terminated and stay in their stream. */
  deadLetter: string | null;
  /** File with a user's JWT and seed (`.creds`). */
  credentials: string | null;
  tls: TlsFiles;
  batch: number;
}

interface NatsMessage extends Message {
  readonly raw: JsMsg;
}

const PULL_MS = 10_000;
const ACK_WAIT_MS = 30_000;
const CONSUMER_NOT_FOUND = 10014;
const STREAM_NOT_FOUND = 10059;

/** A stream of NATS JetStream, read through a durable pull consumer. */
export class NatsSource implements Source<NatsMessage> {
  readonly inbox = new Inbox<NatsMessage>();
  readonly #o: NatsOptions;
  readonly #closing = new AbortController();
  #connection: NatsConnection | null = null;
  #jetstream: JetStreamClient | null = null;
  #pulling: Promise<void> | null = null;
  #holding: NodeJS.Timeout | undefined;
  #isAway = false;
  /** Handed out and not settled: the server is told now and then that they are still in work. */
  readonly #held = new Set<JsMsg>();

  constructor(options: NatsOptions) {
    this.#o = options;
  }

  async open(events: SourceEvents): Promise<boolean> {
    const { stream, durable, deadLetter } = this.#o;
    const transport = await loadPackage('@nats-io/transport-node', () => import('@nats-io/transport-node'));
    const { jetstream, jetstreamManager } = await loadPackage('@nats-io/jetstream', () => import('@nats-io/jetstream'));
    this.#connection = await this.#connect(transport);
    void this.#watch(this.#connection, events);
    this.#jetstream = jetstream(this.#connection);
    const manager = await jetstreamManager(this.#connection, { checkAPI: false });
    const info = await this.#consumerInfo(manager);
    if (info.config.deliver_subject !== undefined) {
      throw new IngestFailure(`consumer ${durable} of ${stream} pushes; give --durable one that is pulled from`);
    }
    if (info.config.ack_policy !== 'explicit') {
      throw new IngestFailure(
        `consumer ${durable} of ${stream} has ack policy ${info.config.ack_policy}, not explicit`,
      );
    }
    const filters = info.config.filter_subjects ?? (info.config.filter_subject ? [info.config.filter_subject] : []);
    if (this.#o.subject !== null && filters.join() !== this.#o.subject) {
      const now = filters.join(', ') || 'no filter';
      throw new IngestFailure(
        `consumer ${durable} of ${stream} has ${now}, not --subject ${this.#o.subject}; say another --durable`,
      );
    }
    if (deadLetter !== null) await this.#checkDeadLetter(manager, filters);
    const consumer = await this.#jetstream.consumers.get(stream, durable);
    const ackWaitMs = info.config.ack_wait === undefined ? ACK_WAIT_MS : info.config.ack_wait / 1e6;
    this.#holding = setInterval(() => this.#hold(), Math.max(100, ackWaitMs / 3));
    this.#pulling = this.#pull(consumer);
    return deadLetter !== null || (await keepsWhatIsAcked(manager, stream));
  }

  async settle(settled: readonly Settled<NatsMessage>[]): Promise<void> {
    for (const { message, fate, reason } of settled) {
      if (fate === 'dead-letter' && this.#o.deadLetter !== null && !(await this.#setAside(message, reason!))) continue;
      this.#held.delete(message.raw);
      if (fate === 'dead-letter') message.raw.term();
      else message.raw.ack();
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    clearInterval(this.#holding);
    await this.#pulling;
    this.inbox.clear();
    for (const raw of this.#held) raw.nak();
    this.#held.clear();
    const connection = this.#connection;
    if (connection === null || connection.isClosed()) return;
    // Acknowledgements go out before it leaves; a server that is away cannot be waited for.
    await Promise.race([connection.drain().catch(() => undefined), wait(2_000, AbortSignal.timeout(2_000))]);
    await connection.close();
  }

  async #connect(transport: typeof Transport): Promise<NatsConnection> {
    const { address, credentials, tls } = this.#o;
    const { user, password } = address;
    const options: ConnectionOptions = {
      servers: address.hosts,
      name: 'posthorn ingest',
      timeout: 5_000,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 500,
      ...(user === null ? {} : password === null ? { token: user } : { user, pass: password }),
      ...(credentials === null ? {} : { authenticator: transport.credsAuthenticator(readFileSync(credentials)) }),
      ...(address.tls || Object.keys(tls).length > 0 ? { tls } : {}),
    };
    try {
      return await transport.connect(options);
    } catch (cause) {
      const { name } = cause as Error;
      const where = `NATS at ${address.hosts.join(',')}`;
      if (name === 'AuthorizationError' || name === 'UserAuthenticationExpiredError') {
        throw new IngestFailure(`${where} does not let this user in; check user and password in --from`, { cause });
      }
      throw new IngestFailure(`${where} cannot be reached: ${reasonOf(cause)}; check --from`, { cause });
    }
  }

  async #watch(connection: NatsConnection, events: SourceEvents): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' && !this.#closing.signal.aborted) {
        this.#isAway = true;
        events.lost(`NATS at ${this.#o.address.hosts.join(',')} is away`);
      } else if (type === 'reconnect') {
        this.#isAway = false;
        events.found();
      }
    }
  }

  async #consumerInfo(manager: JetStreamManager): Promise<ConsumerInfo> {
    const { stream, durable, subject } = this.#o;
    try {
      return await manager.consumers.info(stream, durable);
    } catch (error) {
      if ((error as { code?: number }).code !== CONSUMER_NOT_FOUND) throw this.#apiFailure(error);
    }
    try {
      return await manager.consumers.add(stream, {
        durable_name: durable,
        ack_policy: 'explicit',
        deliver_policy: 'all',
        ack_wait: ACK_WAIT_MS * 1e6,
        ...(subject === null ? {} : { filter_subject: subject }),
      });
    } catch (error) {
      throw this.#apiFailure(error);
    }
  }

  #apiFailure(cause: unknown): IngestFailure {
    const { code, name } = cause as { code?: number; name?: string };
    if (code === STREAM_NOT_FOUND)
      return new IngestFailure(`there is no stream ${this.#o.stream}; check --stream`, { cause });
    if (name === 'PermissionViolationError') {
      return new IngestFailure(`this user may not read stream ${this.#o.stream}: ${reasonOf(cause)}`, { cause });
    }
    const hint = name === 'JetStreamNotEnabled' || name === 'NoRespondersError' ? '; is JetStream on (-js)?' : '';
    return new IngestFailure(`stream ${this.#o.stream}: ${reasonOf(cause)}${hint}`, { cause });
  }

  async #checkDeadLetter(manager: JetStreamManager, filters: readonly string[]): Promise<void> {
    const subject = this.#o.deadLetter!;
    const stream = await manager.streams.find(subject).catch(() => null);
    if (stream === null) throw new IngestFailure(`--dead-letter: no stream keeps ${subject}; make one that does`);
    if (stream !== this.#o.stream) return;
    if (filters.length > 0 && !filters.some((filter) => coversSubject(filter, subject))) return;
    throw new IngestFailure(`--dead-letter: ${subject} comes back into what is read here; choose another subject`);
  }

  /** One request at a time, and none while a batch waits: what the server has not handed out, others can take. */
  async #pull(consumer: Consumer): Promise<void> {
    const { batch } = this.#o;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      await this.inbox.room(batch, signal);
      let stop = (): void => undefined;
      try {
        const messages = await consumer.fetch({ max_messages: batch, expires: PULL_MS });
        stop = () => messages.stop();
        signal.addEventListener('abort', stop);
        for await (const raw of messages) {
          this.#held.add(raw);
          this.inbox.put(messageOf(raw));
          failures = 0;
        }
      } catch {
        // Away, or the consumer is gone for now: the connection says so itself.
        await wait(backoffMs(++failures), signal);
      } finally {
        signal.removeEventListener('abort', stop);
      }
    }
  }

  #hold(): void {
    // What is said to a server that is away would only be stored up.
    if (!this.#isAway) for (const raw of this.#held) raw.working();
  }

  /** Copies a message to the dead letters. False: the server is away, and the message comes again. */
  async #setAside({ raw }: NatsMessage, reason: string): Promise<boolean> {
    const { headers } = await import('@nats-io/transport-node');
    const copy = headers();
    for (const name of raw.headers?.keys() ?? []) {
      // Nats-Expected-… and the like speak to the stream it came from.
      if (!/^nats-/i.test(name)) for (const value of raw.headers!.values(name)) copy.append(name, value);
    }
    const { stream, streamSequence } = raw.info;
    copy.set('Posthorn-Reason', reason.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 500));
    copy.set('Posthorn-From', `${stream} ${streamSequence} ${raw.subject}`);
    const options = { headers: copy, msgID: `posthorn-${stream}-${streamSequence}` };
    try {
      await this.#jetstream!.publish(this.#o.deadLetter!, raw.data, options);
      return true;
    } catch (cause) {
      if ((cause as Error).name === 'TimeoutError' || this.#connection?.isClosed() === true) return false;
      throw new IngestFailure(`--dead-letter: ${this.#o.deadLetter!} takes nothing: ${reasonOf(cause)}`, { cause });
    }
  }
}

/** Of a stream with limits, a terminated message is only passed over; of a work queue it is removed. */
async function keepsWhatIsAcked(manager: JetStreamManager, stream: string): Promise<boolean> {
  const info = await manager.streams.info(stream).catch(() => null);
  return info?.config.retention === 'limits';
}

function messageOf(raw: JsMsg): NatsMessage {
  const { stream, streamSequence, timestampNanos } = raw.info;
  const place = `nats:${stream}`;
  const headers = new Map<string, string>();
  for (const name of raw.headers?.keys() ?? []) headers.set(name.toLowerCase(), raw.headers!.get(name));
  const ownId = headers.get('nats-msg-id');
  return {
    raw,
    body: raw.data,
    place,
    name: `${stream} ${streamSequence}`,
    // A stream made anew counts from 1 again: the time tells its messages from those before.
    key: ownId === undefined ? `${place}/${streamSequence}@${timestampNanos}` : `${place}#${ownId}`,
    subject: raw.subject,
    orderingKey: null,
    headers,
    // A publisher that repeats itself under one id gets another time.
    time: ownId === undefined ? Math.floor(timestampNanos / 1e6) : null,
  };
}

/** True where a subject fits a filter with `*` for one token and `>` for the rest. */
export function coversSubject(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const actual = subject.split('.');
  for (const [i, token] of wanted.entries()) {
    if (token === '>') return actual.length > i;
    if (actual[i] === undefined || (token !== '*' && token !== actual[i])) return false;
  }
  return wanted.length === actual.length;
}
