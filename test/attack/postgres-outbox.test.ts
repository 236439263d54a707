import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startReceiver } from '../e2e/receiver.ts';
import type { Receiver } from '../e2e/receiver.ts';
import { migrate, startNode } from '../faults/node.ts';
import type { ClusterNode } from '../faults/node.ts';
import { startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.stop());

const it = test
  // eslint-disable-next-line no-empty-pattern -- Vitest reads from it which fixtures are needed
  .extend('database', async ({}, { onCleanup }): Promise<TestDatabase> => {
    const database = await server.createDatabase();
    await migrate({ databaseUrl: database.url });
    onCleanup(() => database.drop());
    return database;
  })
  // eslint-disable-next-line no-empty-pattern -- Vitest reads from it which fixtures are needed
  .extend('receiver', async ({}, { onCleanup }): Promise<Receiver> => {
    const receiver = await startReceiver();
    onCleanup(() => receiver.close());
    return receiver;
  })
  .extend('node', async ({ database, receiver }, { onCleanup }): Promise<ClusterNode> => {
    const node = await startNode({ databaseUrl: database.url, settings: { DATABASE_POOL_SIZE: '2' } });
    onCleanup(async () => {
      await node.end('SIGKILL');
    });
    await node.client.webhook(receiver.url(), ['order.created']);
    return node;
  });

const TAKEN = 'SELECT count(*)::int AS n FROM posthorn.outbox WHERE failed_at IS NULL';

describe('the outbox', () => {
  it(
    'is emptied by a node of two connections, beside its other work',
    { timeout: 60_000 },
    async ({ database, node }) => {
      let isLoading = true;
      const load = [1, 2].map(async () => {
        while (isLoading) {
          await node.client.event('order.created', {});
          expect((await node.client.call('GET', '/v1/deliveries')).status).toBe(200);
        }
      });
      await server.query(`SELECT posthorn.emit('order.created', '{}') FROM generate_series(1, 1000)`, database.name);
      await expect.poll(() => server.query(TAKEN, database.name), { timeout: 20_000 }).toEqual([{ n: 0 }]);
      isLoading = false;
      await Promise.all(load);
    },
  );

  it(
    'goes on behind a row from before or after all time',
    { timeout: 60_000 },
    async ({ database, node, receiver }) => {
      expect(node.child.exitCode).toBeNull();
      await server.query(
        `INSERT INTO posthorn.outbox (tenant_id, type, data, created_at)
       VALUES ('default', 'order.created', '1', 'infinity'), ('default', 'order.created', '2', '-infinity'),
              ('default', 'order.created', '3', '294276-01-01'), ('default', 'order.created', '4', now())`,
        database.name,
      );
      await receiver.waitForCount(3);
      await expect.poll(() => server.query(TAKEN, database.name), { timeout: 10_000 }).toEqual([{ n: 0 }]);
      const failed = 'SELECT data, error FROM posthorn.outbox';
      expect(await server.query(failed, database.name)).toEqual([
        { data: '3', error: expect.stringContaining('createdAt') },
      ]);
    },
  );
});
