import { createHash } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Connections } from '../../src/store/postgres/connections.ts';
import { migrate, nameOf, pendingIn } from '../../src/store/postgres/migrate.ts';
import { migrations as ours } from '../../src/store/postgres/migrations/index.ts';
import type { Migration } from '../../src/store/postgres/migrations/index.ts';
import { prepareDatabase } from '../../src/store/postgres/prepare.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, TestDatabase } from '../postgres/server.ts';

const newest = ours.at(-1)!.number;
const all = ours.map(nameOf);

/** A migration of a release to come, `steps` after ours. */
function later(steps: number, sql: string, compatibleFrom: number): Migration {
  const checksum = createHash('sha256').update(sql).digest('hex');
  return { number: newest + steps, name: `later-${steps}`, sql, compatibleFrom, checksum };
}

const expand = later(1, 'ALTER TABLE posthorn.tenants ADD COLUMN region text', newest);
const contract = later(2, 'ALTER TABLE posthorn.tenants DROP COLUMN name', newest + 1);

describe.each([18, 14] as const)('migrations on PostgreSQL %i', (version) => {
  describe.skipIf(!hasPostgres(version))('of a database', () => {
    let server: PostgresServer;
    let database: TestDatabase;
    let opened: Connections[] = [];
    beforeAll(async () => {
      server = await startPostgres({ version });
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      database = await server.createDatabase();
      return async () => {
        for (const connections of opened) await connections.end();
        opened = [];
        await database.drop();
      };
    });

    function connect(options: { url?: string; schema?: string } = {}): Connections {
      const { url = database.url, schema = 'posthorn' } = options;
      const connections = new Connections({
        ...{ url, schema, poolSize: 2, statementTimeoutMs: 10_000 },
        onFault: () => undefined,
      });
      opened.push(connections);
      return connections;
    }
    const ledger = (): Promise<{ number: number; name: string }[]> =>
      server.query('SELECT number, name FROM posthorn.migrations ORDER BY number', database.name);

    it('wait for nodes of an older release to be gone where these could not live with them', async () => {
      const connections = connect();
      await migrate(connections);
      const add = (knows: number, lease: string): Promise<unknown> =>
        server.query(
          `INSERT INTO posthorn.nodes (name, delivers, knows, lease_ms, renewed_at) VALUES ('old one', true, ${knows}, 30000, clock_timestamp() + interval '${lease}')`,
          database.name,
        );
      await add(newest, '-1 hour'); // gone without a word
      await add(newest + 1, '0');
      await add(newest, '0');
      expect(await migrate(connections, { migrations: [...ours, expand] })).toEqual([nameOf(expand)]);
      const next = { migrations: [...ours, expand, contract] };
      await expect(migrate(connections, next)).rejects.toMatchObject({
        code: 'STORE_UNAVAILABLE',
        message: expect.stringMatching(/older release.* some still run: old one\. /) as string,
      });
      await server.query('UPDATE posthorn.nodes SET ended_at = clock_timestamp()', database.name);
      expect(await migrate(connections, next)).toEqual([nameOf(contract)]);
    });

    it('are pending, then applied, then no more, and the partitions of the coming days are there', async () => {
      const connections = connect();
      expect((await pendingIn(connections)).map(nameOf)).toEqual(all);
      expect(await migrate(connections)).toEqual(all);
      expect(await pendingIn(connections)).toEqual([]);
      expect(await migrate(connections)).toEqual([]);
      const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
      const [row] = await server.query(
        `SELECT count(*)::int AS partitions FROM pg_class WHERE relname LIKE '%_p${tomorrow}' AND relkind = 'r'`,
        database.name,
      );
      expect(row).toEqual({ partitions: 4 });
    });

    it('are applied once each by many who begin at the same moment', async () => {
      const migrations = [...ours, expand, contract];
      const applied = await Promise.all(Array.from({ length: 6 }, () => migrate(connect(), { migrations })));
      expect(applied.flat().sort()).toEqual(migrations.map(nameOf));
      expect(await ledger()).toEqual(migrations.map(({ number, name }) => ({ number, name })));
    });

    it('stand in another schema as well, and two schemas do not see each other', async () => {
      expect(await migrate(connect({ schema: 'hooks' }))).toEqual(all);
      expect((await pendingIn(connect())).map(nameOf)).toEqual(all);
      expect(await migrate(connect())).toEqual(all);
      expect(await pendingIn(connect({ schema: 'hooks' }))).toEqual([]);
    });

    it('need no right on the database where the schema is there and the role’s own', async () => {
      const role = `owner_${database.name}`;
      await server.query(`CREATE ROLE ${role} LOGIN`, database.name);
      await server.query(`CREATE SCHEMA posthorn AUTHORIZATION ${role}`, database.name);
      try {
        expect(await migrate(connect({ url: server.url(database.name, role) }))).toEqual(all);
      } finally {
        await server.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`, database.name);
      }
    });

    it('that expand leave the release before able to run, and those that contract do not', async () => {
      await migrate(connect(), { migrations: [...ours, expand] });
      await prepareDatabase(connect(), { migrate: false });
      await prepareDatabase(connect(), { migrate: true });
      await migrate(connect(), { migrations: [...ours, expand, contract] });
      await prepareDatabase(connect(), { migrate: false, migrations: [...ours, expand] });
      for (const migrates of [false, true]) {
        await expect(prepareDatabase(connect(), { migrate: migrates })).rejects.toThrow(
          `The database was migrated by a newer Posthorn, and this one cannot work with it any more (migration ${newest + 2} "later-2"). Run that version or a later one.`,
        );
      }
    });

    it('that were changed after they were applied are refused', async () => {
      const changed = { ...expand, sql: 'SELECT 1', checksum: 'another' };
      await migrate(connect(), { migrations: [...ours, expand] });
      for (const migrations of [
        [...ours, changed],
        [...ours, changed, contract],
        [...ours, contract],
      ]) {
        await expect(migrate(connect(), { migrations })).rejects.toThrow(
          `Migration ${newest + 1} "later-1" of the database is not the one this Posthorn knows. Run the version that made it.`,
        );
      }
    });

    it('that fail leave nothing behind, and those before them stay', async () => {
      const broken = later(2, 'ALTER TABLE posthorn.tenants ADD COLUMN half text; SELECT 1 / 0', newest);
      await expect(migrate(connect(), { migrations: [...ours, expand, broken] })).rejects.toThrow(/division by zero/);
      expect((await ledger()).map(({ number }) => number)).toEqual([...ours, expand].map(({ number }) => number));
      expect(await migrate(connect(), { migrations: [...ours, expand, contract] })).toEqual([nameOf(contract)]);
    });

    it('that find a table in use hold nobody up for long, and are applied when it is free', async () => {
      await migrate(connect());
      const reader = new pg.Client({ connectionString: database.url });
      await reader.connect();
      await reader.query('BEGIN; SELECT FROM posthorn.tenants');

      const traffic = connect();
      let longestMs = 0;
      let isOver = false;
      let isFree = false;
      const began = performance.now();
      let written = 0;
      const writing = (async () => {
        while (!isOver) {
          const from = performance.now();
          const sql = 'INSERT INTO posthorn.tenants (id, created_at) VALUES ($1, 0)';
          await traffic.query({ sql, parameters: [`t${written++}`] });
          longestMs = Math.max(longestMs, performance.now() - from);
          // Two tries of the migration have failed: writers got through between them.
          if (written > 20 && performance.now() - began > 2_500 && !isFree) {
            isFree = true;
            await reader.query('COMMIT');
          }
        }
      })();
      try {
        expect(await migrate(connect(), { migrations: [...ours, expand] })).toEqual([nameOf(expand)]);
        expect(isFree).toBe(true);
      } finally {
        isOver = true;
        await writing;
        await reader.end();
      }
      expect(longestMs).toBeGreaterThan(100); // it did wait behind the migration
      expect(longestMs).toBeLessThan(2_000);
    });
  });
});
