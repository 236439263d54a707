import type { ServerResponse } from 'node:http';
import { describe, expect } from 'vitest';
import { copiesOf, expectAgreement, historyOf, whenAllEnded } from './history.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt();

/** Numbers of the nodes that live, oldest first. */
const LIVE = 'SELECT number FROM posthorn.nodes WHERE ended_at IS NULL ORDER BY number';

describe('a node that is stopped for longer than its lease and continued', () => {
  it('may not settle what another one has taken over', { timeout: 120_000 }, async ({ server, receiver, node }) => {
    // The first copy waits for its answer, the second gets 200 at once.
    let answerFirst: ServerResponse | null = null;
    receiver.answer('/hook', (_, response) => {
      if (answerFirst === null) answerFirst = response;
      else response.writeHead(200).end();
    });
    const stopped = await node({ settings: { TIMEOUT: '30s' } });
    await stopped.client.webhook(receiver.url(), ['order.created']);
    const other = await node({ settings: { TIMEOUT: '30s' } });
    await stopped.client.event('order.created', {}, { id: 'taken-over' });
    await receiver.waitForCount(1);
    stopped.signal('SIGSTOP');
    await receiver.waitForCount(2);
    await whenAllEnded(server, DATABASE);
    // What it hears when it goes on would make it try again, if its word still counted.
    answerFirst!.writeHead(500).end();
    const live = await server.query(LIVE, DATABASE);
    stopped.signal('SIGCONT');
    await expect.poll(async () => (await server.query(LIVE, DATABASE)).length, { timeout: 10_000 }).toBe(2);
    expect(await server.query(LIVE, DATABASE)).toEqual([...live, { number: expect.anything() as unknown }]);

    expect(await historyOf(server, DATABASE)).toEqual([
      { ownId: 'taken-over', status: 'delivered', attemptCount: 1, codes: [200] },
    ]);
    // Both work on, each with what is its own.
    for (const { client } of [stopped, other]) await client.event('order.created', {});
    await receiver.waitForCount(4);
    await whenAllEnded(server, DATABASE);
    expect(receiver.requests).toHaveLength(4);
  });

  it(
    'sends nothing of what others have sent meanwhile',
    { timeout: 120_000 },
    async ({ server, receiver, node, load }) => {
      const settings = { CONCURRENCY: '4' };
      receiver.answer('/hook', (_, response) => {
        setTimeout(() => response.writeHead(200).end(), 20);
      });
      const stopped = await node({ settings });
      await stopped.client.webhook(receiver.url(), ['order.created']);
      const other = await node({ settings });
      // More than it can send at once: its lines in memory are full of what it holds when it is stopped.
      const sending = load({ clients: () => [stopped.client], type: 'order.created', lanes: 16, pauseMs: 0 });
      await sending.more(600);
      await sending.stop();
      expect(receiver.requests.length).toBeLessThan(500);
      stopped.signal('SIGSTOP');
      await whenAllEnded(server, DATABASE);
      const arrived = receiver.requests.length;
      stopped.signal('SIGCONT');
      await expect.poll(async () => (await server.query(LIVE, DATABASE)).length, { timeout: 10_000 }).toBe(2);

      const later = load({ clients: () => [stopped.client, other.client], type: 'order.created' });
      await later.more(100);
      await later.stop();
      await whenAllEnded(server, DATABASE);
      const copiesAfter = copiesOf(receiver.requests.slice(arrived));
      expect([...copiesAfter.keys()].filter((id) => sending.accepted.has(id))).toEqual([]);
      const accepted = new Map([...sending.accepted, ...later.accepted]);
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 1, extraInAll: 4 });
    },
  );
});
