import { connect } from 'amqplib';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { testBroker } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { startRabbit } from './rabbitmq.ts';

testBroker('RabbitMQ', startBroker);

async function startBroker(): Promise<Broker> {
  const server = await startRabbit();
  const address = `amqp://${server.address}`;
  let connection: ChannelModel;
  let channel: ConfirmChannel;
  let made = 0;
  let sent = 0;

  async function open(): Promise<void> {
    connection = await connect(address);
    connection.on('error', () => undefined);
    channel = await connection.createConfirmChannel();
    channel.on('error', () => undefined);
  }
  await open();

  async function queue(): Promise<Queue> {
    const name = `orders-${++made}`;
    const dead = `${name}-dead`;
    await channel.assertQueue(dead, { durable: true });
    await channel.assertQueue(name, { durable: true, deadLetterExchange: '', deadLetterRoutingKey: dead });
    return {
      argv: ['--from', address, '--queue', name],
      deadLetterArgv: ['--on-invalid', 'dead-letter'],
      send: async (bodies) => {
        for (const body of bodies) {
          channel.sendToQueue(name, Buffer.from(body), { persistent: true, messageId: `message ${++sent}` });
        }
        await channel.waitForConfirms();
      },
      unacknowledged: async () => (await server.messages()).get(name)!,
      deadLetters: async () => {
        const found: string[] = [];
        const { messageCount } = await channel.checkQueue(dead);
        for (let i = 0; i < messageCount; i++) {
          const message = await channel.get(dead);
          if (message === false) break;
          found.push(message.content.toString());
        }
        await channel.recover();
        return found;
      },
    };
  }

  return {
    queue,
    isRestartNoticed: true,
    restart: async () => {
      await server.restart();
      await open();
    },
    close: async () => {
      await connection.close().catch(() => undefined);
      await server.close();
    },
  };
}
