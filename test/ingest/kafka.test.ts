import { Admin, Consumer, Producer } from '@platformatic/kafka';
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
    return {
      argv: ['--from', `kafka://${server.address}`, '--topic', topic, '--group', group],
      deadLetterArgv: ['--dead-letter', dead],
      send: async (bodies) => {
        await producer.send({ messages: bodies.map((value, i) => ({ topic, key: `key ${i}`, value })), acks: -1 });
      },
      unacknowledged: async () => {
        const commits = await offsets.listCommittedOffsets({ topics: [{ topic, partitions: [0, 1, 2] }] });
        const committed = commits.get(topic)!.map((offset) => (offset < 0n ? 0n : offset));
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
        await reader.close(true);
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
      for (const one of watchers) await one.close(true);
      await Promise.all([producer.close(true), admin.close()]);
      await server.close();
    },
  };
}

function text(value?: string): Buffer | undefined {
  return value === undefined ? undefined : Buffer.from(value);
}
