import { Admin, Consumer, Producer, type GenericError } from '@platformatic/kafka';
import { testBroker, until } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { startKafka } from './kafka-broker.ts';

testBroker('Kafka', startBroker);

async function startBroker(): Promise<Broker> {
  const server = await startKafka(['first']);
  const connection = { clientId: 'test', bootstrapBrokers: [server.address], retries: 10, retryDelay: 200 };
  const producer = new Producer<string, string, string, string>({
    ...connection,
    serializers: { key: text, value: text, headerKey: text, headerValue: text },
  });
  const admin = new Admin(connection);
  // Never a member: it only asks for offsets.
  const watcher = (group: string): Consumer => new Consumer({ ...connection, groupId: group, autocommit: false });
  const watchers: Consumer[] = [];
  let made = 0;

  async function queue(): Promise<Queue> {
    const topic = `orders-${++made}`;
    const dead = `${topic}-dead`;
    await admin.createTopics({ topics: [topic, dead], partitions: 3, replicas: 1 });
    const group = `group-${made}`;
    const offsets = watcher(group);
    watchers.push(offsets);
    const ends = async (name: string): Promise<bigint[]> => {
      const found = await offsets.listOffsets({ topics: [name], timestamp: -1n });
      return found.get(name)!;
    };
    const committedOffsets = async (): Promise<bigint[]> => {
      try {
        const commits = await offsets.listCommittedOffsets({ topics: [{ topic, partitions: [0, 1, 2] }] });
        return commits.get(topic)!.map((offset) => (offset < 0n ? 0n : offset));
      } catch (error) {
        if ((error as GenericError).findBy?.('apiId', 'GROUP_ID_NOT_FOUND')) return [0n, 0n, 0n];
        throw error;
      }
    };
    return {
      argv: ['--from', `kafka://${server.address}`, '--topic', topic, '--group', group],
      deadLetterArgv: ['--dead-letter', dead],
      send: async (bodies) => {
        await producer.send({ messages: bodies.map((value, i) => ({ topic, key: `key ${i}`, value })), acks: -1 });
      },
      unacknowledged: async () => {
        const committed = await committedOffsets();
        return Number((await ends(topic)).reduce((sum, end, i) => sum + end - committed[i]!, 0n));
      },
      deadLetters: async () => {
        const all = Number((await ends(dead)).reduce((sum, end) => sum + end, 0n));
        const reader = new Consumer({ ...connection, groupId: `${group}-${Math.random()}`, autocommit: false });
        const found: string[] = [];
        if (all === 0) return found;
        const stream = await reader.consume({ topics: [dead], mode: 'earliest', maxWaitTime: 100 });
        for await (const { value } of stream) {
          found.push(value.toString());
          if (found.length === all) break;
        }
        await new Promise<void>((resolve) => reader.close(true, () => resolve()));
        return found;
      },
    };
  }

  return {
    queue,
    restart: async () => {
      await server.restart();
      await until(() =>
        admin.metadata({ topics: [], forceUpdate: true }).then(
          () => true,
          () => false,
        ),
      );
    },
    close: async () => {
      for (const one of [...watchers, producer, admin]) await one.close();
      await server.close();
    },
  };
}

function text(value?: string): Buffer | undefined {
  return value === undefined ? undefined : Buffer.from(value);
}
