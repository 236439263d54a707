import { connect } from 'amqplib';
import type { ChannelModel, ConfirmChannel, GetMessage } from 'amqplib';
import { expect, it } from 'vitest';
import { testBroker, until } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { freePort } from './child.ts';
import { startRabbit, type RabbitServer } from './rabbitmq.ts';

let server: RabbitServer;
let channel: ConfirmChannel;

testBroker('RabbitMQ', startBroker, ({ run, runBare, queue, events }) => {
  it('stops at a message without message-id, which would be another event each time, and says what to do', async () => {
    const name = queue().argv.at(-1)!;
    channel.sendToQueue(name, Buffer.from('{"n":1}'));
    channel.sendToQueue(name, Buffer.from('{"n":1}'));
    await channel.waitForConfirms();
    const { code, stderr } = await run().ended;
    expect(stderr).toMatch(/^posthorn: a message of .* has no message-id, .*--id-from .*body-hash.*\n$/);
    expect(code).toBe(1);
    expect(await queue().unacknowledged()).toBe(2);

    run('--id-from', 'body-hash');
    await until(async () => (await queue().unacknowledged()) === 0);
    expect((await events()).map(({ group }) => group)).toEqual(['1']);
  });

  it('takes types from routing keys, and copies what is no event to a queue of its own, with the reason', async () => {
    const name = queue().argv.at(-1)!;
    await channel.assertExchange('shop', 'topic');
    await channel.bindQueue(name, 'shop', 'order.#');
    channel.publish('shop', 'order.paid', Buffer.from('{"n":1}'), { messageId: '1', persistent: true });
    // What would not let it be copied, or copy it elsewhere too.
    const odd = { messageId: '2', userId: 'guest', expiration: 600_000, headers: { CC: [name], trace: 'abc' } };
    channel.publish('shop', 'order.paid', Buffer.from('no JSON'), odd);
    await channel.waitForConfirms();
    await channel.assertQueue('refused');
    const from = queue().argv;
    runBare(...from, '--type-from', 'routing-key', '--group-from', 'field:n', '--dead-letter', 'refused');
    await until(async () => (await queue().unacknowledged()) === 0);
    expect(await events()).toMatchObject([{ type: 'order.paid', group: '1' }]);
    const copy = (await channel.get('refused', { noAck: true })) as GetMessage;
    expect(copy.content.toString()).toBe('no JSON');
    expect(copy.properties.messageId).toBe('2');
    expect(copy.properties.headers).toMatchObject({
      trace: 'abc',
      'posthorn-from': name,
      'posthorn-routing-key': 'order.paid',
    });
    expect(String(copy.properties.headers!['posthorn-reason'])).toMatch(/not valid JSON/);
  });

  it('says in one line what is wrong with the broker, the user, the virtual host or a queue', async () => {
    const here = server.address;
    for (const [argv, says] of [
      [
        ['--from', `amqp://127.0.0.1:${await freePort()}`, '--queue', 'q'],
        /^posthorn: RabbitMQ at .* cannot be reached: .*--from\n$/,
      ],
      [
        ['--from', `amqp://guest:wr0ng@${here}`, '--queue', 'q'],
        /^posthorn: RabbitMQ at .* does not let this user in: .*--from\n$/,
      ],
      [
        ['--from', `amqp://${here}/none`, '--queue', 'q'],
        /^posthorn: RabbitMQ at .* virtual host none for this user; .*\n$/,
      ],
      [['--from', `amqp://${here}`, '--queue', 'none'], /^posthorn: there is no queue none at .*; check --queue\n$/],
      [[...queue().argv, '--dead-letter', 'none'], /^posthorn: there is no queue none at .*; check --dead-letter\n$/],
    ] as const) {
      const { code, stderr, stdout } = await runBare('--type', 'a', ...argv).ended;
      expect(stderr).toMatch(says);
      expect(code).toBe(1);
      expect(stdout + stderr).not.toContain('wr0ng');
    }
  });
});

async function startBroker(): Promise<Broker> {
  server = await startRabbit();
  const address = `amqp://${server.address}`;
  let connection: ChannelModel;
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
