import { Admin, Consumer, Producer, type GenericError } from '@platformatic/kafka';
import { expect, it } from 'vitest';
import { testBroker, until } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { freePort } from './child.ts';
import { startKafka } from './kafka-broker.ts';

testBroker('Kafka', startBroker, ({ run, runBare, queue, events }) => {
  it('shares partitions between processes of one group, and takes over from one that is killed', async () => {
    const bodies = Array.from({ length: 300 }, (_, n) => JSON.stringify({ n }));
    const [one, other] = [run('--batch', '20'), run('--batch', '20')];
    await Promise.all([one, other].map(({ logged }) => logged(({ msg }) => msg === 'ingest.started')));
    await queue().send(bodies.slice(0, 150));
    await until(async () => (await events()).length >= 50);
    await one.end('SIGKILL');
    await queue().send(bodies.slice(150));
    await until(async () => (await queue().unacknowledged()) === 0);
    const groups = (await events()).map(({ group }) => Number(group));
    expect(groups.sort((a, b) => a - b)).toEqual(bodies.map((_, n) => n));
  });

  it('groups events by record key', async () => {
    await queue().send(['{}', '{}']);
    runBare(...queue().argv, '--type-from', 'topic', '--group-from', 'key');
    await until(async () => (await events()).length === 2);
    const topic = queue().argv[queue().argv.indexOf('--topic') + 1];
    expect((await events()).map(({ type, group }) => [type, group]).sort()).toEqual([
      [topic, 'key 0'],
      [topic, 'key 1'],
    ]);
  });

  it('says in one line what is wrong with the broker, the user or the topic', async () => {
    const closed = await startKafka(['orders'], { mechanism: 'SCRAM-SHA-256', name: 'app', password: 's3cret' });
    const sasl = ['--topic', 'orders', '--sasl', 'scram-sha-256'];
    try {
      for (const [argv, says] of [
        [
          ['--from', `kafka://127.0.0.1:${await freePort()}`, '--topic', 't'],
          /^posthorn: Kafka at .* cannot be used: .*--from\n$/,
        ],
        [
          ['--from', `kafka://app:wr0ng@${closed.address}`, ...sasl],
          /^posthorn: Kafka at .*; check .*user and password.*--sasl\n$/,
        ],
        [[...queue().argv, '--topic', 'none'], /^posthorn: there is no topic none at .*; check --topic\n$/],
        [[...queue().argv, '--dead-letter', 'none'], /^posthorn: there is no topic none at .*; check --dead-letter\n$/],
      ] as const) {
        const { code, stderr, stdout } = await runBare('--type', 'a', ...argv).ended;
        expect(stderr).toMatch(says);
        expect(code).toBe(1);
        expect(stdout + stderr).not.toContain('wr0ng');
      }
      const one = runBare('--type', 'a', '--from', `kafka://app:s3cret@${closed.address}`, ...sasl);
      await one.logged(({ msg }) => msg === 'ingest.started');
      expect((await one.end('SIGTERM')).stdout).not.toContain('s3cret');
    } finally {
      await closed.close();
    }
  });
});

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
