import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { expect, it } from 'vitest';
import { testBroker, until } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { freePort } from './child.ts';
import { startIngest } from './ingest-process.ts';
import { startSqs } from './sqs-server.ts';

let client: SQSClient;

testBroker('SQS', startBroker, ({ runBare, queue, events }) => {
  it('takes deduplication ids and message groups of a FIFO queue', async () => {
    const QueueName = 'orders.fifo';
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName, Attributes: { FifoQueue: 'true' } }));
    for (const n of [1, 2, 3]) {
      const ids = { MessageGroupId: `customer ${n % 2}`, MessageDeduplicationId: `order ${n}` };
      const attributes = { 'event-type': { DataType: 'String', StringValue: 'order.paid' } };
      await client.send(new SendMessageCommand({ QueueUrl, MessageBody: '{}', MessageAttributes: attributes, ...ids }));
    }
    const from = ['--from', `sqs://eu-central-1/${QueueName}`];
    runBare(...from, '--type-from', 'header:event-type', '--group-from', 'key', '--on-invalid', 'stop');
    await until(async () => (await events()).length === 3);
    const found = (await events()).map(({ type, group }) => `${type} ${group}`);
    expect(found.sort()).toEqual(['order.paid customer 0', 'order.paid customer 1', 'order.paid customer 1']);
  });

  it('stops at what is no event in a queue that would give it for ever', async () => {
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: 'plain' }));
    await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'no JSON' }));
    const { code, stderr } = await runBare('--from', 'sqs://eu-central-1/plain', '--type', 'a').ended;
    expect(stderr).toMatch(/^posthorn: plain .* cannot be an event: .*\n$/);
    expect(code).toBe(1);
  });

  it('says in one line what is wrong with the service or the queue', async () => {
    for (const [env, says] of [
      [{}, /^posthorn: there is no queue none in eu-central-1; check --from\n$/],
      [
        { AWS_ENDPOINT_URL: `http://127.0.0.1:${await freePort()}` },
        /^posthorn: SQS in eu-central-1 cannot be used: .*ECONNREFUSED.*\n$/,
      ],
    ] as const) {
      const argv = ['--type', 'a', '--from', 'sqs://eu-central-1/none'];
      const { code, stderr } = await startIngest(argv, { ...queue().env, ...env, POSTHORN_URL: 'http://127.0.0.1:9' })
        .ended;
      expect(stderr).toMatch(says);
      expect(code).toBe(1);
    }
  });
});

async function startBroker(): Promise<Broker> {
  const server = await startSqs();
  client = new SQSClient({
    region: 'eu-central-1',
    endpoint: server.env.AWS_ENDPOINT_URL!,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  let made = 0;

  async function make(name: string, attributes: Record<string, string>): Promise<string> {
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
    return QueueUrl!;
  }

  async function queue(): Promise<Queue> {
    const name = `orders-${++made}`;
    const deadUrl = await make(`${name}-dead`, { VisibilityTimeout: '0' });
    const dead = await attributesOf(deadUrl);
    const redrive = { deadLetterTargetArn: dead.QueueArn, maxReceiveCount: 3 };
    // After a kill -9 the queue waits this long for a message to be deleted.
    const url = await make(name, { VisibilityTimeout: '5', RedrivePolicy: JSON.stringify(redrive) });
    const unacknowledged = async (): Promise<number> => {
      const { ApproximateNumberOfMessages: ready, ApproximateNumberOfMessagesNotVisible: handedOut } =
        await attributesOf(url);
      return Number(ready) + Number(handedOut);
    };
    return {
      argv: ['--from', `sqs://eu-central-1/${name}`],
      env: server.env,
      deadLetterArgv: [],
      send: async (bodies) => {
        for (let at = 0; at < bodies.length; at += 10) {
          // The local SQS walks through all that it holds, several times for each message.
          if (at % 100 === 0) await until(async () => (await unacknowledged()) <= 300);
          const Entries = bodies.slice(at, at + 10).map((MessageBody, i) => ({ Id: String(i), MessageBody }));
          await client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }));
        }
      },
      unacknowledged,
      deadLetters: async () => {
        const found = new Map<string, string>();
        const { ApproximateNumberOfMessages: all } = await attributesOf(deadUrl);
        while (found.size < Number(all)) {
          const request = new ReceiveMessageCommand({ QueueUrl: deadUrl, MaxNumberOfMessages: 10 });
          for (const { MessageId, Body } of (await client.send(request)).Messages ?? []) found.set(MessageId!, Body!);
        }
        return [...found.values()];
      },
    };
  }

  async function attributesOf(url: string): Promise<Record<string, string>> {
    const request = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['All'] });
    return (await client.send(request)).Attributes as Record<string, string>;
  }

  return {
    queue,
    close: async () => {
      client.destroy();
      await server.close();
    },
  };
}
