import { describe, expect } from 'vitest';
import { expectAgreement, whenAllEnded } from './history.ts';
import type { ClusterNode } from './node.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt();
const ROUNDS = 2;

describe('restarting one node after the other by SIGTERM under load', () => {
  it(
    'loses nothing and sends nothing twice',
    { timeout: 120_000 },
    async ({ server, receiver, node, twoNodes, load }) => {
      receiver.answer('/hook', (_, response) => {
        setTimeout(() => response.writeHead(200).end(), 15);
      });
      let nodes: ClusterNode[] = (await twoNodes()).nodes;
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created', lanes: 8 });
      for (let round = 0; round < ROUNDS; round++) {
        for (const old of nodes) {
          await sending.more(100);
          const fresh = await node();
          nodes = [...nodes, fresh];
          const toldAt = Date.now();
          expect(await old.end('SIGTERM'), old.output()).toMatchObject({ code: 0, signal: null });
          // It waits for what is on the wire, and not for publishers that keep their connections.
          expect(Date.now() - toldAt).toBeLessThan(10_000);
          nodes = nodes.filter((one) => one !== old);
        }
      }
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 0, extraInAll: 0 });
      // Whoever is told to go elsewhere is told so by its name.
      for (const refusal of sending.refusals) expect(refusal).toMatchObject({ status: 503, code: 'SHUTTING_DOWN' });
    },
  );
});
