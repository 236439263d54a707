import { describe, expect } from 'vitest';
import { primarySettings, promote, startStandby, whenFollowed } from '../postgres/standby.ts';
import { expectAgreement, whenAllEnded } from './history.ts';
import { runPosthorn } from './node.ts';
import { DATABASE, makeIt } from './scene.ts';

const ON_THE_WIRE = 16;
const settings = { CONCURRENCY: String(ON_THE_WIRE) };

describe('failover to another server at the same address', () => {
  const it = makeIt({ settings: primarySettings });

  it(
    'loses nothing that was acknowledged, with no restart of Posthorn',
    { timeout: 120_000 },
    async ({ server, receiver, proxy, twoNodes, load, onTestFinished }) => {
      const standby = await startStandby(server);
      onTestFinished(() => standby.stop());
      await whenFollowed(server);
      const databaseUrl = proxy.url(DATABASE);

      const refused = await runPosthorn(['serve'], { databaseUrl: standby.url(DATABASE) });
      expect(refused.code).toBe(1);
      expect(refused.output.trim().split('\n')).toHaveLength(1);
      expect(refused.output).toMatch(/read-only|standby/i);

      const { nodes } = await twoNodes({ databaseUrl, settings });
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created', lanes: 8 });
      await sending.more(200);

      await server.stopImmediate();
      // The address moves before the server behind it is promoted: for a while it can only be read from.
      proxy.target(standby.port);
      proxy.reset();
      await expect.poll(() => sending.refusals.length).toBeGreaterThan(0);
      await promote(standby);
      await sending.more(200);
      await sending.stop();
      await whenAllEnded(standby, DATABASE);
      const { accepted } = sending;
      await expectAgreement({
        server: standby,
        database: DATABASE,
        receiver,
        accepted,
        extraCopies: 1,
        extraInAll: 2 * ON_THE_WIRE,
      });
      for (const { status, code, retryAfter } of sending.refusals) {
        expect({ status, code }).toEqual({ status: 503, code: 'STORE_UNAVAILABLE' });
        expect(Number(retryAfter)).toBeGreaterThan(0);
      }
    },
  );
});
