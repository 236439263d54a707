import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { firstIdAt } from '../../src/model/id.ts';
import { createPosthornServer, migrateStore } from '../../src/posthorn.ts';
import { Connections } from '../../src/store/postgres/connections.ts';
import { ensurePartitions } from '../../src/store/postgres/partitions.ts';
import { startReceiver } from '../e2e/receiver.ts';
import type { Receiver } from '../e2e/receiver.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer } from '../postgres/server.ts';

const DAY_MS = 86_400_000;
/** What docs/postgres.md tells people to run. */
const [, roles = ''] = /^```sql\n(.*?CREATE ROLE.*?)^```$/ms.exec(
  readFileSync(join(import.meta.dirname, '../../docs/postgres.md'), 'utf8'),
)!;

let folder: string;
let receiver: Receiver;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'posthorn-roles-'));
  receiver = await startReceiver();
});
afterAll(async () => {
  await receiver.close();
  rmSync(folder, { recursive: true, force: true });
});

describe.each([18, 14] as const)('two roles on PostgreSQL %i', (version) => {
  it.skipIf(!hasPostgres(version))('migrate as the owner, and serve with no more than rows', async () => {
    const server = await startPostgres({ version });
    try {
      await server.query('CREATE TABLE secrets_of_others (id int)');
      await server.query(roles);
      const configOf = (role: string) =>
        loadConfig({
          mode: 'serve',
          flags: { databaseUrl: server.url('postgres', role), allowHttp: true, allowLoopback: true, allowPorts: 'any' },
          env: { POSTHORN_MASTER_KEY: 'k'.repeat(40), POSTHORN_RETENTION_DAYS: '5', POSTHORN_PORT: '0' },
          file: null,
        });
      expect(await migrateStore(configOf('posthorn_owner'), { dryRun: false })).not.toEqual([]);
      await makeHistory(server, Date.now() - 20 * DAY_MS);
      expect(await partitionsOf(server, Date.now() - 20 * DAY_MS)).toBe(4);

      const node = createPosthornServer(
        { ...configOf('posthorn_node'), dataDir: folder },
        { logger: pino({ level: 'silent' }) },
      );
      await node.start();
      try {
        const tenantId = 'default';
        const { endpoint } = await node.engine.endpoints.create(tenantId, { url: receiver.url(), events: ['*'] });
        await node.engine.publish(tenantId, { type: 'a.b', data: '{"n":1}', value: { n: 1 } });
        await receiver.waitFor(({ body }) => body.includes('"n":1'));
        await node.engine.endpoints.remove(tenantId, endpoint.id);
        expect(await node.engine.sweep()).toBe(1);
      } finally {
        await node.stop();
      }
      expect(await partitionsOf(server, Date.now() - 20 * DAY_MS)).toBe(0);
      const [kept] = await server.query(
        `SELECT count(*)::int AS deliveries FROM posthorn.deliveries WHERE status = 'delivered'`,
      );
      expect(kept).toEqual({ deliveries: 1 });
      await expectRefusals(server);
    } finally {
      await server.stop();
    }
  });
});

/** What somebody with the node's connection may not do, without becoming the owner. */
async function expectRefusals(server: PostgresServer): Promise<void> {
  const connections = new Connections({
    ...{ url: server.url('postgres', 'posthorn_node'), schema: 'posthorn', poolSize: 2, statementTimeoutMs: 5_000 },
    onFault: () => undefined,
  });
  try {
    for (const sql of [
      'ALTER TABLE posthorn.tenants ADD COLUMN more text',
      'DROP TABLE posthorn.tenants',
      'TRUNCATE posthorn.events',
      'CREATE TABLE posthorn.mine (id int)',
      'SELECT * FROM public.secrets_of_others',
    ]) {
      await expect(connections.raw({ sql, parameters: [] }), sql).rejects.toThrow(/permission denied|must be owner/);
    }
  } finally {
    await connections.end();
  }
}

/** Partitions of a day long gone, and an event in them. */
async function makeHistory(server: PostgresServer, at: number): Promise<void> {
  const connections = new Connections({
    ...{ url: server.url('postgres', 'posthorn_owner'), schema: 'posthorn', poolSize: 2, statementTimeoutMs: 5_000 },
    onFault: () => undefined,
  });
  try {
    await ensurePartitions(connections, at, at);
    await connections.query({
      sql: `INSERT INTO posthorn.events (tenant_id, id, type, occurred_at, created_at) VALUES ('default', $1, 'old.one', $2, $2)`,
      parameters: [firstIdAt(at), at],
    });
  } finally {
    await connections.end();
  }
}

async function partitionsOf(server: PostgresServer, at: number): Promise<number> {
  const day = new Date(at).toISOString().slice(0, 10).replaceAll('-', '');
  const [row] = await server.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_class WHERE relname LIKE '%\\_p${day}' AND relkind = 'r'`,
  );
  return row!.count;
}
