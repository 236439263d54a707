import { describe, expect } from 'vitest';
import { hasPgbouncer, startPgbouncer } from '../postgres/pgbouncer.ts';
import { hasPostgres } from '../postgres/server.ts';
import { expectAgreement, whenAllEnded } from './history.ts';
import { DATABASE, makeIt } from './scene.ts';

// The oldest release that is supported, where npm has it for this platform.
const it = makeIt({ version: hasPostgres(14) ? 14 : 18 });

// Skipped where it is not installed (apt-get install pgbouncer): npm has none.
describe.skipIf(!hasPgbouncer())('two nodes behind PgBouncer in transaction mode', () => {
  it(
    'share few connections, lose nothing, send nothing twice, and tell each other of changes within a second',
    { timeout: 120_000 },
    async ({ server, receiver, twoNodes, load, onTestFinished }) => {
      const pgbouncer = await startPgbouncer(server, 4);
      onTestFinished(() => pgbouncer.stop());
      const { nodes, id } = await twoNodes({ databaseUrl: pgbouncer.url(DATABASE) });
      const [one, other] = nodes;
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created' });
      await sending.more(300);

      await one.client.call('PATCH', `/v1/webhooks/${id}`, { isActive: false });
      const until = Date.now() + 1_000;
      await expect.poll(() => Date.now(), { timeout: 2_000 }).toBeGreaterThan(until);
      const before = receiver.requests.length;
      await sending.more(100);
      expect(receiver.requests).toHaveLength(before);
      await other.client.call('PATCH', `/v1/webhooks/${id}`, { isActive: true });

      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 0, extraInAll: 0 });
      expect(sending.refusals).toEqual([]);
      const connections = `SELECT FROM pg_stat_activity WHERE datname = '${DATABASE}' AND application_name = 'posthorn'`;
      expect((await server.query(connections)).length).toBeLessThanOrEqual(4);
    },
  );
});
