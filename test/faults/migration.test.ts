import { describe, expect } from 'vitest';
import { expectAgreement, whenAllEnded } from './history.ts';
import { migrate, runPosthorn } from './node.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt();
const preload = [new URL('next-release.mjs', import.meta.url)];

describe('the migration of the next release during traffic', () => {
  it(
    'disturbs no node that runs, and nodes of both releases work side by side',
    { timeout: 120_000 },
    async ({ server, receiver, node, load }) => {
      const databaseUrl = server.url(DATABASE);
      const nodes = [await node()];
      await nodes[0]!.client.webhook(receiver.url(), ['order.created']);
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created', lanes: 8 });
      await sending.more(100);

      const early = await runPosthorn(['serve'], { databaseUrl, preload });
      expect(early).toMatchObject({ code: 1 });
      expect(early.output.trim().split('\n')).toHaveLength(1);
      expect(early.output).toContain('posthorn migrate');

      await migrate({ databaseUrl, preload });
      await server.query('SELECT FROM posthorn.next_release', DATABASE);
      await sending.more(100);
      nodes.push(await node({ preload }));
      await sending.more(100);
      // A node of the release before can still join: rolling back needs no way back in the database.
      nodes.push(await node());
      await sending.more(100);
      await nodes.shift()!.end('SIGTERM');
      await sending.more(100);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 0, extraInAll: 0 });
      for (const refusal of sending.refusals) expect(refusal).toMatchObject({ status: 503, code: 'SHUTTING_DOWN' });
    },
  );
});
