import type { ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import type { Address } from '../address.ts';
import { IngestFailure, reasonOf } from '../failure.ts';
import { Inbox } from '../inbox.ts';
import { loadPackage } from '../package.ts';
import type { Message, Settled, Source, SourceEvents } from '../source.ts';
import { readTlsFiles, type TlsFiles } from '../tls.ts';
import { backoffMs, wait } from '../wait.ts';

export interface AmqpOptions {
  address: Address;
  queue: string;
  /** Queue to which refused messages are copied; null = they are rejected, for the queue's dead-letter exchange. */
  deadLetter: string | null;
  tls: TlsFiles;
  batch: number;
}

interface AmqpMessage extends Message {
  readonly raw: ConsumeMessage;
  /** A delivery tag counts on its own channel only. */
  readonly channel: ConfirmChannel;
}

/** Class and reply codes of AMQP 0-9-1. */
const ACCESS_REFUSED = 403;
const NOT_FOUND = 404;
const RESOURCE_LOCKED = 405;

/** A queue of RabbitMQ or another broker that speaks AMQP 0-9-1. */
export class AmqpSource implements Source<AmqpMessage> {
  readonly inbox = new Inbox<AmqpMessage>();
  readonly #o: AmqpOptions;
  readonly #closing = new AbortController();
  #events: SourceEvents = { lost: () => undefined, found: () => undefined };
  #connection: ChannelModel | null = null;
  #channel: ConfirmChannel | null = null;

  constructor(options: AmqpOptions) {
    this.#o = options;
  }

  async open(events: SourceEvents): Promise<boolean | null> {
    this.#events = events;
    try {
      await this.#connect();
    } catch (error) {
      throw this.#failureOf(error);
    }
    // Whether the queue has a dead-letter exchange, a client cannot see.
    return this.#o.deadLetter === null ? null : true;
  }

  async settle(settled: readonly Settled<AmqpMessage>[]): Promise<void> {
    for (const { message, fate, reason } of settled) {
      const { channel, raw } = message;
      // Of a lost connection: the broker has it back, and delivers it again.
      if (channel !== this.#channel) continue;
      try {
        if (fate !== 'dead-letter') channel.ack(raw);
        else if (this.#o.deadLetter === null) channel.nack(raw, false, false);
        else if (await this.#setAside(message, reason!)) channel.ack(raw);
      } catch (error) {
        if (error instanceof IngestFailure) throw error;
      }
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.inbox.clear();
    // Acknowledgements are ahead of it on the same channel; what is not acknowledged goes back into the queue.
    await this.#channel?.close().catch(() => undefined);
    await this.#connection?.close().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const { queue, deadLetter, batch } = this.#o;
    const { connect } = await loadPackage('amqplib', () => import('amqplib'));
    const connection = await connect(this.#target(), {
      timeout: 5_000,
      clientProperties: { connection_name: 'posthorn ingest' },
      ...readTlsFiles(this.#o.tls),
    });
    let reason = 'it closed the connection';
    connection.on('error', (error) => (reason = reasonOf(error)));
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', (error) => (reason = reasonOf(error)));
      for (const name of deadLetter === null ? [queue] : [queue, deadLetter]) await channel.checkQueue(name);
      await channel.prefetch(2 * batch);
      const lost = (): void => this.#lose(channel, connection, reason);
      connection.on('close', lost);
      channel.on('close', lost);
      this.#connection = connection;
      this.#channel = channel;
      await channel.consume(queue, (raw) => {
        // Null: the queue is gone, or moved to another node.
        if (raw === null) lost();
        else if (this.#channel === channel) this.inbox.put(this.#messageOf(raw, channel));
      });
    } catch (error) {
      this.#channel = null;
      await connection.close().catch(() => undefined);
      throw error;
    }
  }

  /** Once for a channel: forgets what came over it, and connects again, for as long as it takes. */
  #lose(channel: ConfirmChannel, connection: ChannelModel, reason: string): void {
    if (this.#channel !== channel || this.#closing.signal.aborted) return;
    this.#channel = null;
    this.inbox.clear();
    this.#events.lost(`RabbitMQ at ${this.#o.address.hosts[0]!}: ${reason}`);
    connection.close().catch(() => undefined);
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#closing;
    for (let attempt = 1; !signal.aborted; attempt++) {
      await wait(backoffMs(attempt), signal);
      if (signal.aborted) return;
      try {
        await this.#connect();
        this.#events.found();
        return;
      } catch (error) {
        this.#events.lost(this.#failureOf(error).message);
      }
    }
  }

  #target(): Options.Connect {
    const { hosts, tls, user, password, path } = this.#o.address;
    const [, host, port] = /^(.*?)(?::(\d+))?$/.exec(hosts[0]!.replace(/^\[(.*)\]/, '$1'))!;
    return {
      protocol: tls ? 'amqps' : 'amqp',
      hostname: host!,
      port: port === undefined ? (tls ? 5671 : 5672) : Number(port),
      username: user ?? 'guest',
      password: password ?? 'guest',
      // Decoded once more there.
      vhost: path === '' ? '/' : encodeURIComponent(path),
      heartbeat: 20,
    };
  }

  #failureOf(cause: unknown): IngestFailure {
    const { queue, deadLetter, address } = this.#o;
    const { code } = cause as { code?: number };
    const where = `RabbitMQ at ${address.hosts[0]!}`;
    const said = reasonOf(cause);
    if (cause instanceof IngestFailure) return cause;
    if (code === NOT_FOUND) {
      const missing = deadLetter !== null && said.includes(`'${deadLetter}'`) ? deadLetter : queue;
      const option = missing === queue ? '--queue' : '--dead-letter';
      return new IngestFailure(`there is no queue ${missing} at ${where}; check ${option}`, { cause });
    }
    if (code === RESOURCE_LOCKED)
      return new IngestFailure(`queue ${queue} belongs to another connection alone`, { cause });
    if (code === ACCESS_REFUSED || /ACCESS_REFUSED|\b403\b/.test(said)) {
      return new IngestFailure(`${where} does not let this user in: ${said}; check user and password in --from`, {
        cause,
      });
    }
    // RabbitMQ gives the reason in its refusal, and the library drops it.
    if (/NOT_ALLOWED|\b530\b|ConnectionOpenOk/.test(said)) {
      const vhost = address.path === '' ? '/' : address.path;
      return new IngestFailure(`${where} has no virtual host ${vhost} for this user; check the path of --from`, {
        cause,
      });
    }
    return new IngestFailure(`${where} cannot be reached: ${said}; check --from`, { cause });
  }

  /** Copies a message to the dead letters. False: the connection is gone, and the message comes again. */
  #setAside({ raw, channel }: AmqpMessage, reason: string): Promise<boolean> {
    const queue = this.#o.deadLetter!;
    // A user id must be one's own, an expiry would drop it, and CC and BCC would send it to others as well.
    const { headers, ...properties } = raw.properties;
    const own = { ...properties, userId: undefined, expiration: undefined };
    return new Promise((resolve, reject) => {
      // With `mandatory`, what fits no queue comes back ahead of its confirmation.
      const onReturn = (): void => reject(new IngestFailure(`--dead-letter: there is no queue ${queue} any more`));
      channel.once('return', onReturn);
      channel.sendToQueue(
        queue,
        raw.content,
        {
          ...own,
          headers: {
            ...headers,
            CC: undefined,
            BCC: undefined,
            'posthorn-reason': reason.slice(0, 500),
            'posthorn-from': this.#o.queue,
            'posthorn-routing-key': raw.fields.routingKey,
          },
          mandatory: true,
          persistent: true,
        },
        (error) => {
          channel.off('return', onReturn);
          resolve(!error);
        },
      );
    });
  }

  #messageOf(raw: ConsumeMessage, channel: ConfirmChannel): AmqpMessage {
    const { address, queue } = this.#o;
    const { messageId, timestamp, headers, ...properties } = raw.properties as unknown as Record<string, unknown> & {
      headers?: Record<string, unknown>;
    };
    const place = `amqp:${address.path === '' ? '/' : address.path}:${queue}`;
    const texts = new Map<string, string>();
    for (const [name, value] of Object.entries({ ...properties, ...headers })) {
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
        texts.set(name.toLowerCase(), String(value));
      }
    }
    const id = typeof messageId === 'string' && messageId !== '' ? messageId : null;
    return {
      raw,
      channel,
      body: raw.content,
      place,
      name: id === null ? `a message of ${queue}` : `${queue} ${id}`,
      key: id === null ? null : `${place}#${id}`,
      subject: raw.fields.routingKey,
      orderingKey: null,
      headers: texts,
      // Set by the publisher, who may repeat the message with another one.
      time: null,
    };
  }
}
