import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { testBroker, until } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { startNats } from './nats-server.ts';

testBroker('NATS JetStream', startBroker);

async function startBroker(): Promise<Broker> {
  const server = await startNats();
  const connection = await connect({ servers: server.address, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  const client = jetstream(connection);
  const manager = await jetstreamManager(connection);
  let made = 0;

  async function queue(): Promise<Queue> {
    const stream = `ORDERS-${++made}`;
    const subject = `orders-${made}`;
    const dead = `${subject}-dead`;
    await manager.streams.add({ name: stream, subjects: [subject] });
    await manager.streams.add({ name: `${stream}-DEAD`, subjects: [dead] });
    // After a kill -9 the server waits this long for an acknowledgement.
    await manager.consumers.add(stream, { durable_name: 'reader', ack_policy: 'explicit', ack_wait: 1e9 });
    return {
      argv: ['--from', `nats://${server.address}`, '--stream', stream, '--durable', 'reader'],
      deadLetterArgv: ['--dead-letter', dead],
      send: async (bodies) => {
        for (const body of bodies) await client.publish(subject, body);
      },
      unacknowledged: async () => {
        // Not num_pending and num_ack_pending: a message that is given back while nobody asks counts in both (2.9).
        const [{ state }, { ack_floor }] = await Promise.all([
          manager.streams.info(stream),
          manager.consumers.info(stream, 'reader'),
        ]);
        return state.last_seq - ack_floor.stream_seq;
      },
      deadLetters: async () => {
        const { state } = await manager.streams.info(`${stream}-DEAD`);
        const found: string[] = [];
        for (let seq = 1; seq <= state.messages; seq++) {
          found.push((await manager.streams.getMessage(`${stream}-DEAD`, { seq }))!.string());
        }
        return found;
      },
    };
  }

  return {
    queue,
    isRestartNoticed: true,
    restart: async () => {
      await server.restart();
      // The connection of the test is back before it goes on.
      await until(() =>
        manager.getAccountInfo().then(
          () => true,
          () => false,
        ),
      );
    },
    close: async () => {
      await connection.close();
      await server.close();
    },
  };
}
