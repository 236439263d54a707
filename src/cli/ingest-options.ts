import { accessSync, constants } from 'node:fs';
import type { Command } from 'commander';
import { parseAddress, type Address } from '../ingest/address.ts';
import type { OnInvalid } from '../ingest/ingest.ts';
import type { Mapping, Spot } from '../ingest/mapping.ts';
import { saslMechanisms } from '../ingest/sources/kafka.ts';
import type { TlsFiles } from '../ingest/tls.ts';
import { isEventType } from '../model/event.ts';
import { parseDuration } from '../model/retry.ts';
import type { ConnectionOptions } from './connection.ts';
import { usage } from './failure.ts';

export interface IngestFlags extends ConnectionOptions {
  from?: string;
  stream?: string;
  durable?: string;
  subject?: string;
  natsCreds?: string;
  topic?: string;
  group?: string;
  sasl?: string;
  queue?: string;
  tlsCa?: string;
  tlsCert?: string;
  tlsKey?: string;
  type?: string;
  typeFrom?: string;
  envelope?: string;
  groupFrom?: string;
  idFrom?: string;
  onInvalid?: string;
  deadLetter?: string;
  batch?: string;
  maxWait?: string;
}

/** What a command line asks for, checked. */
export interface IngestPlan {
  address: Address;
  mapping: Mapping;
  onInvalid: OnInvalid | null;
  deadLetter: string | null;
  batch: number;
  maxWaitMs: number;
  tls: TlsFiles;
  nats: { stream: string; durable: string; subject: string | null; credentials: string | null };
  kafka: { topic: string; group: string; sasl: (typeof saslMechanisms)[number] };
  amqp: { queue: string };
}

export function withIngestOptions(command: Command): Command {
  return command
    .option('--from <url>', 'the broker (POSTHORN_INGEST_FROM): nats://, kafka://, amqp://, sqs://; see the examples')
    .optionsGroup('Queue:')
    .option('--stream <name>', 'NATS: the JetStream stream')
    .option('--durable <name>', 'NATS: the durable consumer, made where it is missing (default: posthorn)')
    .option('--subject <filter>', 'NATS: only subjects like orders.*')
    .option('--nats-creds <file>', 'NATS: credentials of a user (.creds)')
    .option('--topic <name>', 'Kafka: the topic')
    .option('--group <id>', 'Kafka: the consumer group (default: posthorn)')
    .option(
      '--sasl <mechanism>',
      'Kafka: plain, scram-sha-256 or scram-sha-512 (default: plain, with a user in --from)',
    )
    .option('--queue <name>', 'RabbitMQ: the queue')
    .option('--tls-ca <file>', 'authorities to trust, PEM (default: those of the system)')
    .option('--tls-cert <file>', 'certificate to show, PEM')
    .option('--tls-key <file>', 'its key, PEM')
    .optionsGroup('Events:')
    .option('--type <type>', 'event type; the body is the event’s data')
    .option(
      '--type-from <place>',
      'event type of each message: subject (topic, routing key), header:<name>, field:<path>',
    )
    .option('--envelope <kind>', 'the body is a whole event: posthorn ({type, data, …}) or cloudevents')
    .option('--group-from <place>', 'event group: key, subject, header:<name> or field:<path>')
    .option('--id-from <place>', 'what makes messages the same: broker (its message id), header:…, field:…, body-hash')
    .optionsGroup('Work:')
    .option(
      '--on-invalid <what>',
      'messages that are no events: stop, dead-letter or skip (default: dead-letter, if kept)',
    )
    .option('--dead-letter <place>', 'copies them there: a subject of NATS, a topic of Kafka, a queue of RabbitMQ')
    .option('--batch <number>', 'messages published at once, 1 to 1000 (default: 100)')
    .option('--max-wait <duration>', 'how long to wait for a batch to fill, 0s to 10s (default: 20ms)');
}

/** The options that belong to one broker, and to which. */
const own: Partial<Record<keyof IngestFlags, { option: string; broker: Address['broker'] }>> = {
  stream: { option: '--stream', broker: 'nats' },
  durable: { option: '--durable', broker: 'nats' },
  subject: { option: '--subject', broker: 'nats' },
  natsCreds: { option: '--nats-creds', broker: 'nats' },
  topic: { option: '--topic', broker: 'kafka' },
  group: { option: '--group', broker: 'kafka' },
  sasl: { option: '--sasl', broker: 'kafka' },
  queue: { option: '--queue', broker: 'amqp' },
};

/** Checks the options of a command line. Throws usage failures, which repeat no address: it may hold a password. */
export function planIngest(flags: IngestFlags, env: NodeJS.ProcessEnv = process.env): IngestPlan {
  const address = addressOf(flags, env);
  const { broker } = address;
  for (const [key, { option, broker: its }] of Object.entries(own)) {
    if (flags[key as keyof IngestFlags] !== undefined && its !== broker)
      throw usage(`${option} is not for ${broker}://`);
  }
  const place = broker === 'nats' ? 'stream' : broker === 'kafka' ? 'topic' : broker === 'amqp' ? 'queue' : null;
  if (place !== null && !flags[place]) throw usage(`say which ${place} with --${place}`);
  const deadLetter = flags.deadLetter ?? null;
  if (deadLetter !== null && broker === 'sqs') {
    throw usage('--dead-letter: SQS moves messages by the queue’s own redrive policy; set one there');
  }
  if (deadLetter !== null && (deadLetter === '' || deadLetter === (flags.topic ?? flags.queue))) {
    throw usage('--dead-letter: give another place than the one that is read');
  }
  const onInvalid = oneOf(flags.onInvalid, '--on-invalid', ['stop', 'dead-letter', 'skip']);
  if (deadLetter !== null && onInvalid !== null && onInvalid !== 'dead-letter') {
    throw usage(`--dead-letter goes with --on-invalid dead-letter, not ${onInvalid}`);
  }
  return {
    address,
    mapping: mappingOf(flags, broker),
    onInvalid,
    deadLetter,
    batch: wholeNumber(flags.batch ?? '100', '--batch', 1, 1000),
    maxWaitMs: maxWaitOf(flags.maxWait ?? '20ms'),
    tls: tlsOf(flags),
    nats: {
      stream: flags.stream ?? '',
      durable: flags.durable ?? 'posthorn',
      subject: flags.subject ?? null,
      credentials: readable(flags.natsCreds, '--nats-creds') ?? null,
    },
    kafka: {
      topic: flags.topic ?? '',
      group: flags.group ?? 'posthorn',
      sasl: oneOf(flags.sasl?.toUpperCase(), '--sasl', saslMechanisms) ?? 'PLAIN',
    },
    amqp: { queue: flags.queue ?? '' },
  };
}

function addressOf({ from }: IngestFlags, env: NodeJS.ProcessEnv): Address {
  const source = from === undefined ? 'POSTHORN_INGEST_FROM' : '--from';
  const text = from ?? env.POSTHORN_INGEST_FROM ?? '';
  if (text === '') throw usage('say where messages come from, with --from or POSTHORN_INGEST_FROM');
  const address = parseAddress(text);
  if (typeof address === 'string') throw usage(`${source}: ${address}`);
  const isRegion = !address.hosts[0]!.includes(':') && /^([^/]+\/)?[^/]+$/.test(address.path);
  if (address.broker === 'sqs' && (!isRegion || address.user !== null)) {
    throw usage(
      `${source}: give a region and a queue, as in sqs://eu-central-1/orders; AWS’s own variables say who asks`,
    );
  }
  if (address.path !== '' && (address.broker === 'nats' || address.broker === 'kafka')) {
    const option = address.broker === 'nats' ? '--stream' : '--topic';
    throw usage(`${source}: ends with the port; what to read is said with ${option}`);
  }
  return address;
}

function mappingOf(flags: IngestFlags, broker: Address['broker']): Mapping {
  const envelope = oneOf(flags.envelope, '--envelope', ['posthorn', 'cloudevents']) ?? 'data';
  const ways = [flags.type, flags.typeFrom, flags.envelope].filter((way) => way !== undefined).length;
  if (ways !== 1) throw usage('say what type the events have: with one of --type, --type-from and --envelope');
  if (flags.type !== undefined && !isEventType(flags.type)) {
    throw usage(`--type: ${JSON.stringify(flags.type.slice(0, 80))} is no event type; one is like order.created`);
  }
  if (flags.groupFrom !== undefined && envelope === 'posthorn')
    throw usage('--group-from: the events say it themselves');
  const id = flags.idFrom ?? 'broker';
  return {
    envelope,
    type: flags.type ?? (flags.typeFrom === undefined ? null : spotOf(flags.typeFrom, '--type-from', broker)),
    group: flags.groupFrom === undefined ? null : spotOf(flags.groupFrom, '--group-from', broker),
    id: id === 'broker' || id === 'body-hash' ? id : spotOf(id, '--id-from', broker),
  };
}

function spotOf(text: string, option: string, broker: Address['broker']): Spot {
  const [kind = '', rest = ''] = text.split(/:(.*)/s);
  if (['subject', 'topic', 'routing-key'].includes(text) && option !== '--id-from') {
    if (broker === 'sqs') throw usage(`${option}: messages of SQS have no ${text}`);
    return { kind: 'subject' };
  }
  if (text === 'key' && option === '--group-from') {
    if (broker === 'nats' || broker === 'amqp')
      throw usage('--group-from: key is of Kafka, and the message group of SQS');
    return { kind: 'key' };
  }
  if (kind === 'header' && rest !== '') return { kind: 'header', name: rest };
  if (kind === 'field' && rest !== '') return { kind: 'field', path: rest.replace(/^\$\./, '').split('.') };
  throw usage(`${option}: ${JSON.stringify(text.slice(0, 80))} is no place; give header:<name> or field:<path>`);
}

function tlsOf({ tlsCa, tlsCert, tlsKey }: IngestFlags): TlsFiles {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw usage('--tls-cert and --tls-key go together');
  const [caFile, certFile, keyFile] = [
    readable(tlsCa, '--tls-ca'),
    readable(tlsCert, '--tls-cert'),
    readable(tlsKey, '--tls-key'),
  ];
  return {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}

function readable(file: string | undefined, option: string): string | undefined {
  if (file === undefined) return undefined;
  try {
    accessSync(file, constants.R_OK);
    return file;
  } catch (error) {
    throw usage(`${option}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); correct the path`);
  }
}

function oneOf<Name extends string>(text: string | undefined, option: string, names: readonly Name[]): Name | null {
  if (text === undefined) return null;
  if ((names as readonly string[]).includes(text)) return text as Name;
  throw usage(`${option}: ${JSON.stringify(text.slice(0, 40))} is unknown; give ${names.join(', ').toLowerCase()}`);
}

function wholeNumber(text: string, option: string, least: number, most: number): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw usage(`${option}: ${JSON.stringify(text.slice(0, 40))} does not fit; give a number from ${least} to ${most}`);
}

function maxWaitOf(text: string): number {
  const ms = parseDuration(text);
  if (ms !== null && ms <= 10_000) return ms;
  throw usage(`--max-wait: ${JSON.stringify(text.slice(0, 40))} does not fit; give a duration like 50ms, at most 10s`);
}
