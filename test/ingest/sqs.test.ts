import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { testBroker } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { startSqs } from './sqs-server.ts';

testBroker('SQS', startBroker);

async function startBroker(): Promise<Broker> {
  const server = await startSqs();
  const client = new SQSClient({
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
    const url = await make(name, { VisibilityTimeout: '2', RedrivePolicy: JSON.stringify(redrive) });
    return {
      argv: ['--from', `sqs://eu-central-1/${name}`],
      env: server.env,
      deadLetterArgv: [],
      send: async (bodies) => {
        for (let at = 0; at < bodies.length; at += 10) {
          const Entries = bodies.slice(at, at + 10).map((MessageBody, i) => ({ Id: String(i), MessageBody }));
          await client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }));
        }
      },
      unacknowledged: async () => {
        const { ApproximateNumberOfMessages: ready, ApproximateNumberOfMessagesNotVisible: handedOut } =
          await attributesOf(url);
        return Number(ready) + Number(handedOut);
      },
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
