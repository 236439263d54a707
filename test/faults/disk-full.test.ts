import { describe, expect } from 'vitest';
import { mountSmallDisk } from '../postgres/small-disk.ts';
import { expectAgreement, whenAllEnded } from './history.ts';
import { migrate } from './node.ts';
import { makeIt } from './scene.ts';

const it = makeIt();
const DATABASE = 'on_small_disk';
/** Many, so that the pages that have room still are full soon. */
const LANES = 8;

describe('a database server whose disk is full', () => {
  it(
    'makes the API answer 503 STORE_FULL with Retry-After, and goes on by itself once there is room',
    { timeout: 120_000 },
    async ({ server, receiver, twoNodes, load, skip, onTestFinished }) => {
      const disk = mountSmallDisk(48);
      if (disk === null) return skip('this user may not mount a file system of its own');
      onTestFinished(() => {
        disk.unmount();
      });
      // The tables only: PostgreSQL itself ends where its log finds no room, which server-restarts.test.ts covers.
      await server.query(`CREATE TABLESPACE small LOCATION '${disk.path}'`);
      await server.query(`CREATE DATABASE ${DATABASE} TABLESPACE small`);
      const databaseUrl = server.url(DATABASE);
      await migrate({ databaseUrl });
      const { nodes, id } = await twoNodes({ databaseUrl });
      const clients = () => nodes.map(({ client }) => client);
      const sending = load({ clients, type: 'order.created', lanes: LANES, pauseMs: 0 });
      await sending.more(100);

      disk.fill();
      await expect
        .poll(() => sending.refusals.some(({ code }) => code === 'STORE_FULL'), { timeout: 20_000 })
        .toBe(true);
      const refusal = sending.refusals.find(({ code }) => code === 'STORE_FULL');
      expect(refusal).toMatchObject({ status: 503 });
      expect(Number(refusal?.retryAfter)).toBeGreaterThan(0);
      // What is there can still be read.
      expect((await nodes[1].client.call('GET', `/v1/webhooks/${id}`)).status).toBe(200);

      disk.free();
      await sending.more(100);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      for (const { status, code } of sending.refusals) {
        expect(status).toBe(503);
        expect(code).toMatch(/^STORE_(FULL|UNAVAILABLE)$/);
      }
      // A delivery that arrived while its end could not be stored may come again.
      const { accepted } = sending;
      await expectAgreement({ server, database: DATABASE, receiver, accepted, extraCopies: 1, extraInAll: 128 });
    },
  );
});
