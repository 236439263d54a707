import { describe, expect } from 'vitest';
import { expectAgreement, whenAllEnded } from './history.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt();

describe('two nodes and one endpoint', () => {
  it(
    'both stop within a second when it is disabled on one of them, and go on when it is enabled on the other',
    { timeout: 120_000 },
    async ({ server, receiver, twoNodes, load }) => {
      const {
        nodes: [one, other],
        id,
      } = await twoNodes();
      const sending = load({ clients: () => [one.client, other.client], type: 'order.created' });
      for (const [first, second] of [
        [one, other],
        [other, one],
      ] as const) {
        await receiver.waitForCount(receiver.requests.length + 100);
        await first.client.call('PATCH', `/v1/webhooks/${id}`, { isActive: false });
        const until = Date.now() + 1_000;
        await sending.more(300);
        expect(Date.now()).toBeGreaterThan(until);
        expect(receiver.requests.filter(({ at }) => at > until)).toEqual([]);
        await second.client.call('PATCH', `/v1/webhooks/${id}`, { isActive: true });
      }
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 0, extraInAll: 0 });
    },
  );

  it.for([1, 2, 3])(
    'never send more than its limit of %i at once together, and as much as that',
    { timeout: 120_000 },
    async (limit, { server, receiver, node, twoNodes, load }) => {
      let underWay = 0;
      let most = 0;
      receiver.answer('/hook', (_, response) => {
        most = Math.max(most, ++underWay);
        setTimeout(() => {
          underWay--;
          response.writeHead(200).end();
        }, 25);
      });
      const {
        nodes: [one, other],
      } = await twoNodes({}, { concurrency: limit });
      const sending = load({ clients: () => [one.client, other.client], type: 'order.created', lanes: 8, pauseMs: 0 });
      await sending.more(100 * limit);
      await sending.stop();
      // A third node joins and leaves while they are busy: the shares change.
      const third = await node();
      await third.end('SIGTERM');
      await whenAllEnded(server, DATABASE);
      expect(most).toBe(limit);
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 0, extraInAll: 0 });
    },
  );
});
