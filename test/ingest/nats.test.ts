import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamClient, JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { testBroker, until } from './behaviour.ts';
import type { Broker, Queue } from './broker.ts';
import { freePort } from './child.ts';
import { startNats } from './nats-server.ts';

let address: string;
let client: JetStreamClient;
let manager: JetStreamManager;
let names = 0;

testBroker('NATS JetStream', startBroker, ({ run, runBare, queue, events }) => {
  async function stream(
    config: Partial<StreamConfig> = {},
  ): Promise<{ name: string; subject: string; from: string[] }> {
    const subject = `shop-${++names}`;
    const name = `SHOP-${names}`;
    await manager.streams.add({ name, subjects: [`${subject}.>`], ...config });
    return { name, subject, from: ['--from', `nats://${address}`, '--stream', name] };
  }

  it('makes its consumer, takes types from subjects, and times from the stream', async () => {
    const { subject, from } = await stream();
    await client.publish(`${subject}.order.created`, '{}');
    await client.publish(`${subject}.ping`, '{}');
    runBare(...from, '--subject', `${subject}.order.*`, '--type-from', 'subject');
    await until(async () => (await events()).length === 1);
    const [event] = await events();
    expect(event).toMatchObject({ type: `${subject}.order.created`, group: null });
    expect(Math.abs(Date.parse(event!.occurredAt) - Date.now())).toBeLessThan(60_000);
  });

  it('takes one Nats-Msg-Id for one event, however often the stream holds it', async () => {
    const { subject, from } = await stream({ duplicate_window: 100e6 });
    await client.publish(`${subject}.a`, '{}', { msgID: 'order 1' });
    await until(async () => !(await client.publish(`${subject}.a`, '{}', { msgID: 'order 1' })).duplicate);
    await client.publish(`${subject}.a`, '{}', { msgID: 'order 2' });
    const one = runBare(...from, '--type', 'a');
    await until(async () => (await events()).length === 2);
    await one.end('SIGTERM');
    expect(one.log().at(-1)).toMatchObject({ accepted: 3, refused: 0 });
    expect((await events()).length).toBe(2);
  });

  it('passes over what is no event in a stream that keeps it, and stops in a work queue, which would not', async () => {
    await queue().send(['no JSON', '{"n":1}']);
    const one = run();
    expect(await one.logged(({ msg }) => msg === 'message.refused')).toMatchObject({ fate: 'dead-letter', refused: 1 });
    await until(async () => (await queue().unacknowledged()) === 0);

    const { subject, from } = await stream({ retention: 'workqueue' });
    await client.publish(`${subject}.a`, 'no JSON');
    const other = await runBare(...from, '--type', 'a').ended;
    expect(other.stderr).toMatch(/^posthorn: SHOP-\d+ 1 cannot be an event: .*--dead-letter.*\n$/);
    const third = await runBare(...from, '--type', 'a', '--on-invalid', 'dead-letter').ended;
    expect(third.stderr).toMatch(/^posthorn: --on-invalid dead-letter: .* no place .*--dead-letter/);
  });

  it('says in one line what is wrong with the broker, the user, the stream or the place for dead letters', async () => {
    const closed = await startNats({ name: 'app', password: 's3cret' });
    try {
      for (const [argv, says] of [
        [
          ['--from', `nats://127.0.0.1:${await freePort()}`, '--stream', 'S'],
          /^posthorn: NATS at .* cannot be reached: .*--from\n$/,
        ],
        [
          ['--from', `nats://app:wr0ng@${closed.address}`, '--stream', 'S'],
          /^posthorn: NATS at .* does not let this user in; .*--from\n$/,
        ],
        [
          ['--from', `nats://app:s3cret@${closed.address}`, '--stream', 'S'],
          /^posthorn: there is no stream S; check --stream\n$/,
        ],
        [[...queue().argv, '--dead-letter', 'nowhere'], /^posthorn: --dead-letter: no stream keeps nowhere; .*\n$/],
        [
          [...queue().argv, '--subject', 'other'],
          /^posthorn: consumer reader of .* has no filter, not --subject other; .*\n$/,
        ],
      ] as const) {
        const { code, stderr, stdout } = await runBare('--type', 'a', ...argv).ended;
        expect(stderr).toMatch(says);
        expect(code).toBe(1);
        expect(stdout + stderr).not.toMatch(/wr0ng|s3cret/);
      }
    } finally {
      await closed.close();
    }
  });
});

async function startBroker(): Promise<Broker> {
  const server = await startNats();
  const connection = await connect({ servers: server.address, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  address = server.address;
  client = jetstream(connection);
  manager = await jetstreamManager(connection);
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
