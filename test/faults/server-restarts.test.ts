import { describe, expect } from 'vitest';
import { expectAgreement, whenAllEnded } from './history.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt({ settings: { fsync: 'on', full_page_writes: 'on' } });
const STOPS = 20;
const ON_THE_WIRE = 16;

describe(`PostgreSQL stopped with "immediate" and started ${STOPS} times under load`, () => {
  it(
    'needs no restart of Posthorn: it answers 503 with Retry-After meanwhile, and loses and doubles nothing',
    { timeout: 120_000 },
    async ({ server, receiver, twoNodes, load }) => {
      const settings = { CONCURRENCY: String(ON_THE_WIRE) };
      const { nodes } = await twoNodes({ settings });
      const sending = load({ clients: () => nodes.map(({ client }) => client), type: 'order.created', lanes: 8 });
      for (let stop = 0; stop < STOPS; stop++) {
        await sending.more(40);
        await server.stopImmediate();
        if (stop === 0) await expectUnready(nodes[1].client.base);
        await server.start();
      }
      await sending.more(40);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      const { accepted } = sending;
      await expectAgreement({
        server,
        database: DATABASE,
        receiver,
        accepted,
        extraCopies: 1,
        extraInAll: STOPS * ON_THE_WIRE,
      });
      expect(sending.refusals.length).toBeGreaterThan(0);
      for (const refusal of sending.refusals) {
        expect(refusal).toMatchObject({ status: 503, code: 'STORE_UNAVAILABLE' });
        expect(Number(refusal.retryAfter)).toBeGreaterThan(0);
      }
      expect(sending.unanswered).toBe(0);
      for (const { child } of nodes) expect(child.exitCode).toBeNull();
      for (const { client } of nodes) expect((await fetch(`${client.base}/readyz`)).status).toBe(200);
    },
  );
});

/** `/readyz` says that and why, `/healthz` stays well: a restart of Posthorn would be no help. */
async function expectUnready(base: string): Promise<void> {
  const ready = await fetch(`${base}/readyz`);
  expect(ready.status).toBe(503);
  expect(await ready.text()).toMatch(/database/i);
  expect((await fetch(`${base}/healthz`)).status).toBe(200);
}
