import { createHash } from 'node:crypto';
import type * as Sqs from '@aws-sdk/client-sqs';
import type { Message as SqsRecord, SQSClient } from '@aws-sdk/client-sqs';
import type { Address } from '../address.ts';
import { IngestFailure, reasonOf } from '../failure.ts';
import { Inbox } from '../inbox.ts';
import { loadPackage } from '../package.ts';
import type { Message, Settled, Source, SourceEvents } from '../source.ts';
import { backoffMs, wait } from '../wait.ts';

export interface SqsOptions {
  /** `sqs://<region>/<queue>`, or `/<account>/<queue>`. Who one is, is known to AWS's own variables and files. */
  address: Address;
  batch: number;
}

interface SqsMessage extends Message {
  readonly raw: SqsRecord;
}

/** What one request can hold (SQS API, "Quotas related to messages"). */
const MOST_AT_ONCE = 10;
const LONG_POLL_SECONDS = 20;
/** Of a queue that does not tell its own. */
const VISIBILITY_SECONDS = 30;

/** A queue of Amazon SQS. */
export class SqsSource implements Source<SqsMessage> {
  readonly inbox = new Inbox<SqsMessage>();
  readonly #o: SqsOptions;
  readonly #closing = new AbortController();
  readonly #queue: string;
  #events: SourceEvents = { lost: () => undefined, found: () => undefined };
  #sqs: typeof Sqs | null = null;
  #client: SQSClient | null = null;
  #url = '';
  /** For how long others do not see a message that was received. */
  #visibilitySeconds = VISIBILITY_SECONDS;
  #receiving: Promise<void> | null = null;
  #holding: NodeJS.Timeout | undefined;
  /** Received and not settled: they are kept from others until they are. */
  readonly #held = new Set<SqsRecord>();

  constructor(options: SqsOptions) {
    this.#o = options;
    this.#queue = options.address.path.split('/').at(-1)!;
  }

  async open(events: SourceEvents): Promise<boolean | null> {
    this.#events = events;
    this.#sqs = await loadPackage('@aws-sdk/client-sqs', () => import('@aws-sdk/client-sqs'));
    const [account] = this.#o.address.path.split('/').slice(0, -1);
    this.#client = new this.#sqs.SQSClient({ region: this.#o.address.hosts[0]! });
    let isKept: boolean | null;
    try {
      const { QueueUrl } = await this.#client.send(
        new this.#sqs.GetQueueUrlCommand({
          QueueName: this.#queue,
          ...(account === undefined ? {} : { QueueOwnerAWSAccountId: account }),
        }),
      );
      this.#url = QueueUrl!;
      isKept = await this.#readAttributes();
    } catch (error) {
      throw this.#failureOf(error);
    }
    this.#holding = setInterval(() => void this.#hold(), (this.#visibilitySeconds * 1000) / 3);
    this.#receiving = this.#receive();
    return isKept;
  }

  async settle(settled: readonly Settled<SqsMessage>[]): Promise<void> {
    const done: SqsRecord[] = [];
    for (const { message, fate } of settled) {
      this.#held.delete(message.raw);
      // One that is given up stays, comes again, and is moved by the queue's redrive policy when it has come often enough.
      if (fate !== 'dead-letter') done.push(message.raw);
    }
    const { DeleteMessageBatchCommand } = this.#sqs!;
    await this.#inTens(done, (Entries) =>
      this.#client!.send(new DeleteMessageBatchCommand({ QueueUrl: this.#url, Entries })),
    );
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    clearInterval(this.#holding);
    await this.#receiving;
    this.inbox.clear();
    if (this.#client === null) return;
    await this.#showAfter([...this.#held], 0);
    this.#held.clear();
    this.#client.destroy();
  }

  async #receive(): Promise<void> {
    const { ReceiveMessageCommand } = this.#sqs!;
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      await this.inbox.room(this.#o.batch, signal);
      if (signal.aborted) return;
      try {
        const { Messages = [] } = await this.#client!.send(
          new ReceiveMessageCommand({
            QueueUrl: this.#url,
            MaxNumberOfMessages: Math.min(MOST_AT_ONCE, this.#o.batch),
            WaitTimeSeconds: LONG_POLL_SECONDS,
            VisibilityTimeout: this.#visibilitySeconds,
            MessageAttributeNames: ['All'],
            MessageSystemAttributeNames: ['SentTimestamp', 'MessageGroupId', 'MessageDeduplicationId'],
          }),
          { abortSignal: signal },
        );
        if (failures > 0) this.#events.found();
        failures = 0;
        for (const raw of Messages) {
          this.#held.add(raw);
          this.inbox.put(this.#messageOf(raw));
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#events.lost(this.#failureOf(error).message);
        await wait(backoffMs(++failures), signal);
      }
    }
  }

  async #hold(): Promise<void> {
    await this.#showAfter([...this.#held], this.#visibilitySeconds);
  }

  /** Sets after how long others see these messages again. */
  async #showAfter(records: readonly SqsRecord[], seconds: number): Promise<void> {
    const { ChangeMessageVisibilityBatchCommand } = this.#sqs!;
    await this.#inTens(records, (entries) => {
      const Entries = entries.map((entry) => ({ ...entry, VisibilityTimeout: seconds }));
      return this.#client!.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: this.#url, Entries }));
    });
  }

  /** What does not get through is done by time: the messages come again. */
  async #inTens(
    records: readonly SqsRecord[],
    send: (entries: { Id: string; ReceiptHandle: string }[]) => Promise<unknown>,
  ): Promise<void> {
    const requests: Promise<unknown>[] = [];
    for (let at = 0; at < records.length; at += MOST_AT_ONCE) {
      const entries = records.slice(at, at + MOST_AT_ONCE);
      requests.push(send(entries.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle: ReceiptHandle! }))));
    }
    await Promise.allSettled(requests);
  }

  /** Takes the queue's own time-out; says whether it moves messages that come too often, null = it does not say. */
  async #readAttributes(): Promise<boolean | null> {
    const { GetQueueAttributesCommand } = this.#sqs!;
    try {
      const { Attributes = {} } = await this.#client!.send(
        new GetQueueAttributesCommand({ QueueUrl: this.#url, AttributeNames: ['RedrivePolicy', 'VisibilityTimeout'] }),
      );
      this.#visibilitySeconds = Number(Attributes.VisibilityTimeout) || VISIBILITY_SECONDS;
      return Attributes.RedrivePolicy !== undefined;
    } catch (error) {
      // It may be that this user may receive, and not ask.
      if (/AccessDenied/.test((error as Error).name)) return null;
      throw error;
    }
  }

  #failureOf(cause: unknown): IngestFailure {
    const region = this.#o.address.hosts[0]!;
    const { name } = cause as Error;
    if (name === 'QueueDoesNotExist' || name === 'AWS.SimpleQueueService.NonExistentQueue') {
      return new IngestFailure(`there is no queue ${this.#queue} in ${region}; check --from`, { cause });
    }
    if (
      /Credentials|AccessDenied|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|ExpiredToken/.test(name)
    ) {
      return new IngestFailure(`SQS in ${region} does not let this user in: ${reasonOf(cause)}`, { cause });
    }
    return new IngestFailure(`SQS in ${region} cannot be used: ${reasonOf(cause)}`, { cause });
  }

  #messageOf(raw: SqsRecord): SqsMessage {
    const { MessageId, Body = '', Attributes = {}, MessageAttributes = {} } = raw;
    const place = `sqs:${this.#queue}`;
    const headers = new Map<string, string>();
    for (const [name, { StringValue }] of Object.entries(MessageAttributes)) {
      if (StringValue !== undefined) headers.set(name.toLowerCase(), StringValue);
    }
    const ownId = publishersId(Attributes.MessageDeduplicationId, Body);
    const timeMs = Number(Attributes.SentTimestamp);
    return {
      raw,
      body: Buffer.from(Body),
      place,
      name: `${this.#queue} ${MessageId!}`,
      key: ownId === null ? `${place}/${MessageId!}` : `${place}#${ownId}`,
      subject: null,
      orderingKey: Attributes.MessageGroupId ?? null,
      headers,
      time: ownId === null && Number.isSafeInteger(timeMs) ? timeMs : null,
    };
  }
}

/**
 * The deduplication id that a publisher gave a message of a FIFO queue. One that SQS made of the body is none: the same
 * body an hour later is another message.
 */
function publishersId(deduplicationId: string | undefined, body: string): string | null {
  if (deduplicationId === undefined) return null;
  return deduplicationId === createHash('sha256').update(body).digest('hex') ? null : deduplicationId;
}
