import type { Command } from 'commander';
import { ingest } from '../ingest/ingest.ts';
import type { Source } from '../ingest/source.ts';
import { connectionOf, withConnection } from './connection.ts';
import { planIngest, withIngestOptions, type IngestFlags, type IngestPlan } from './ingest-options.ts';
import { checkKey, createPost } from './ingest-post.ts';
import type { SetExitCode } from './program.ts';

const LINGER_MS = 2_000;

export const ingestExamples = `
Examples:
  posthorn ingest --from nats://127.0.0.1:4222 --stream ORDERS --type-from subject
  posthorn ingest --from kafka://127.0.0.1:9092 --topic orders --type order.created --group-from key
  posthorn ingest --from amqp://127.0.0.1/shop --queue orders --type-from routing-key --dead-letter orders-refused
  posthorn ingest --from sqs://eu-central-1/orders --type-from header:event-type
  POSTHORN_INGEST_FROM=amqps://app:secret@mq.internal posthorn ingest --queue events --envelope posthorn`;

export function addIngest(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('ingest')
    .summary('publish the messages of a queue you have')
    .description(
      'Consumes a queue of NATS JetStream, Kafka, RabbitMQ or Amazon SQS and publishes each message as an event, with the ' +
        'broker’s message id as idempotency key. A message is acknowledged once the event is committed: none is lost, ' +
        'and one that comes again makes no second event.',
    );
  withIngestOptions(command);
  withConnection(command)
    .addHelpText('after', ingestExamples)
    .action(async (flags: IngestFlags) => {
      const plan = planIngest(flags);
      // The list of processes shows everybody what a command was given.
      process.title = 'posthorn ingest';
      const connection = connectionOf(flags);
      const { createLogReport, createTerminalReport } = await import('./ingest-report.ts');
      const isTerminal = process.stderr.isTTY && flags.json !== true;
      const report = (isTerminal ? createTerminalReport : createLogReport)(nameOf(plan));
      await checkKey(connection);
      const signal = stopSignal();
      try {
        const { onInvalid, mapping, batch, maxWaitMs } = plan;
        const post = createPost(connection);
        await ingest({ source: await sourceOf(plan), post, mapping, onInvalid, batch, maxWaitMs, report, signal });
      } finally {
        report.end();
        // Where a library holds on to something, the end is not waited for: all that counts is settled.
        setTimeout(() => process.exit(), LINGER_MS).unref();
      }
      setExitCode(0);
    });
}

/** Aborted by the first signal; a second one ends the process at once. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(130);
      stopping.abort();
    });
  }
  return stopping.signal;
}

async function sourceOf({ address, deadLetter, tls, batch, ...plan }: IngestPlan): Promise<Source> {
  switch (address.broker) {
    case 'nats': {
      const { NatsSource } = await import('../ingest/sources/nats.ts');
      return new NatsSource({ address, deadLetter, tls, batch, ...plan.nats });
    }
    case 'kafka': {
      const { KafkaSource } = await import('../ingest/sources/kafka.ts');
      return new KafkaSource({ address, deadLetter, tls, batch, ...plan.kafka });
    }
    case 'amqp': {
      const { AmqpSource } = await import('../ingest/sources/amqp.ts');
      return new AmqpSource({ address, deadLetter, tls, batch, ...plan.amqp });
    }
    case 'sqs': {
      const { SqsSource } = await import('../ingest/sources/sqs.ts');
      return new SqsSource({ address, batch });
    }
  }
}

/** What is read, for logs: without user and password. */
function nameOf({ address, nats, kafka, amqp }: IngestPlan): string {
  const { broker, hosts, path } = address;
  const place = { nats: nats.stream, kafka: kafka.topic, amqp: amqp.queue, sqs: path }[broker];
  return `${broker}://${hosts.join(',')} ${place}`;
}
