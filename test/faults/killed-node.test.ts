import { describe, expect } from 'vitest';
import { copiesOf, expectAgreement, whenAllEnded } from './history.ts';
import { LEASE_MS } from './node.ts';
import { DATABASE, makeIt } from './scene.ts';

const KILLS = 2;
/** Attempts that a node may have on the wire to one endpoint at once. */
const ON_THE_WIRE = 16;
const settings = { CONCURRENCY: String(ON_THE_WIRE) };

describe('kill -9 of one of two nodes under load', () => {
  const it = makeIt({ settings: { fsync: 'on', full_page_writes: 'on' } });

  it(
    `loses nothing, sends at most one extra copy of what was on the wire, and leaves nothing undone for longer than a lease`,
    { timeout: 120_000 },
    async ({ server, receiver, node, twoNodes, load }) => {
      let answerMs = 10;
      receiver.answer('/hook', (_, response) => {
        setTimeout(() => response.writeHead(200).end(), answerMs);
      });
      let [doomed, other] = (await twoNodes({ settings })).nodes;
      const sending = load({ clients: () => [doomed.client, other.client], type: 'order.created' });

      for (let kill = 0; kill < KILLS; kill++) {
        await sending.more(100);
        // So that it has as much on the wire as it may when it is killed, and more in its memory.
        answerMs = 500;
        await sending.more(100);
        await doomed.end('SIGKILL');
        const killedAt = Date.now();
        answerMs = 10;
        const arrived = copiesOf(receiver.requests);
        const left = [...sending.accepted.keys()].filter((id) => !arrived.has(id));
        expect(left).not.toEqual([]);
        await expect
          .poll(
            () => {
              const copies = copiesOf(receiver.requests);
              return left.filter((id) => !copies.has(id));
            },
            { timeout: 30_000, interval: 100 },
          )
          .toEqual([]);
        // The lease is counted from its last renewal, so it ends within its length; finding that out takes a moment.
        expect(Date.now() - killedAt).toBeLessThan(LEASE_MS + 3_000);
        doomed = other;
        other = await node({ settings });
      }
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      await expectAgreement({
        server,
        database: DATABASE,
        receiver,
        accepted: sending.accepted,
        extraCopies: 1,
        extraInAll: KILLS * ON_THE_WIRE,
      });
    },
  );

  it(
    'goes on where the only node that delivers is replaced',
    { timeout: 120_000 },
    async ({ server, receiver, node, load }) => {
      const api = await node({ settings: { ROLE: 'api' } });
      const first = await node({ settings: { ROLE: 'deliver' } });
      await api.client.webhook(receiver.url(), ['order.created']);
      const sending = load({ clients: () => [api.client], type: 'order.created' });
      await sending.more(100);
      await first.end('SIGKILL');
      await sending.more(100); // accepted and stored, though nobody sends
      await node({ settings: { ROLE: 'deliver' } });
      await sending.more(100);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 1, extraInAll: 64 });
      expect(sending.refusals).toEqual([]);
    },
  );
});
