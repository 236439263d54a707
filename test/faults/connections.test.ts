import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { expectAgreement, whenAllEnded } from './history.ts';
import { LEASE_MS } from './node.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt();
const ON_THE_WIRE = 16;
const settings = { CONCURRENCY: String(ON_THE_WIRE), DATABASE_TIMEOUT: '1s' };

describe('connections to the database that fail', () => {
  it(
    'in mid-commit, with the answer lost, make no event twice and leave no delivery undone',
    { timeout: 120_000 },
    async ({ server, receiver, proxy, twoNodes, load }) => {
      const databaseUrl = proxy.url(DATABASE);
      const { nodes } = await twoNodes({ databaseUrl, settings });
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created', lanes: 8 });
      await sending.more(100);
      proxy.dropAnswers(7);
      await proxy.whenDropped(40);
      proxy.pass();
      await sending.more(100);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({
        server,
        database: DATABASE,
        receiver,
        accepted,
        extraCopies: 1,
        extraInAll: 40 * ON_THE_WIRE,
      });
      for (const { child } of nodes) expect(child.exitCode).toBeNull();
    },
  );

  it(
    'by being reset, refused and cut in the middle of a statement, are made anew',
    { timeout: 120_000 },
    async ({ server, receiver, proxy, twoNodes, load }) => {
      const databaseUrl = proxy.url(DATABASE);
      const { nodes } = await twoNodes({ databaseUrl, settings });
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created', lanes: 8 });
      for (let round = 0; round < 10; round++) {
        await sending.more(30);
        proxy.reset();
      }
      for (const bytes of [100, 1_000, 5_000, 20_000]) {
        proxy.dropAfter(bytes);
        await pause(300);
      }
      proxy.refuse();
      await pause(500);
      proxy.pass();
      await sending.more(100);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({
        server,
        database: DATABASE,
        receiver,
        accepted,
        extraCopies: 1,
        extraInAll: 20 * ON_THE_WIRE,
      });
    },
  );

  it(
    'by falling silent for longer than the lease, cost a node its leases and nothing else',
    { timeout: 120_000 },
    async ({ server, receiver, proxy, node, load }) => {
      const well = await node({ settings });
      await well.client.webhook(receiver.url(), ['order.created']);
      const cutOff = await node({ databaseUrl: proxy.url(DATABASE), settings });
      // As a load balancer does it: who is not ready is asked nothing.
      let ready = [cutOff.client, well.client];
      const sending = load({ clients: () => ready, type: 'order.created', lanes: 8 });
      for (const direction of ['both', 'down'] as const) {
        await sending.more(100);
        proxy.freeze(direction);
        expect((await fetch(`${cutOff.client.base}/readyz`)).status).toBe(503);
        ready = [well.client];
        const answer = await cutOff.client.call('POST', '/v1/events', { type: 'nobody.listens', data: {} });
        expect(answer).toMatchObject({ status: 503, body: { code: 'STORE_UNAVAILABLE' } });
        expect(answer.headers.get('retry-after')).toMatch(/^[1-9]/);
        // The other one takes over what it held, and works on by itself.
        const ended = 'SELECT FROM posthorn.nodes WHERE ended_at IS NOT NULL';
        const before = direction === 'both' ? 0 : 1;
        await expect
          .poll(async () => (await server.query(ended, DATABASE)).length, { timeout: LEASE_MS * 3 })
          .toBe(before + 1);
        await sending.more(50);
        proxy.pass();
        await expect
          .poll(async () => (await fetch(`${cutOff.client.base}/readyz`)).status, { timeout: 15_000 })
          .toBe(200);
        ready = [cutOff.client, well.client];
        await sending.more(100);
      }
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      await server.query(`DELETE FROM posthorn.events WHERE type = 'nobody.listens'`, DATABASE);
      const { accepted } = sending;
      await expectAgreement({
        server,
        database: DATABASE,
        receiver,
        accepted,
        extraCopies: 1,
        extraInAll: 2 * ON_THE_WIRE,
      });
    },
  );
});
