import { afterAll, beforeAll, describe } from 'vitest';
import { createKeyRing } from '../../src/store/seal.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { Store } from '../../src/store/store.ts';
import { hasPgbouncer, startPgbouncer } from '../postgres/pgbouncer.ts';
import type { Pgbouncer } from '../postgres/pgbouncer.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, PostgresVersion } from '../postgres/server.ts';
import { describeStore } from './conformance.ts';
import type { StoreUnderTest } from './scene.ts';

const keyRing = createKeyRing(['a master key for tests only']);

async function openStore(url: string): Promise<Store> {
  const store = createPostgresStore({
    url,
    schema: 'posthorn',
    poolSize: 4,
    statementTimeoutMs: 10_000,
    leaseMs: 30_000,
    delivers: true,
    keyRing,
    onFault: () => undefined,
  });
  await store.open({ migrate: true, now: Date.now() });
  return store;
}

/** What a test leaves behind is deleted: quicker by far than a database, or a schema, for each. */
const WIPE = `
  DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'posthorn' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'migrations'
    LOOP EXECUTE format('DELETE FROM posthorn.%I', name); END LOOP;
  END $$`;
/** To lock out its user, and not the next store's, is how to cut a store's connections for good. */
let crashes = 0;
/** A store without its database takes its time to give up: nobody has to wait for that before the next test. */
const closing: Promise<void>[] = [];

async function makeUser(server: PostgresServer): Promise<void> {
  await server.query(`CREATE ROLE user_${crashes} SUPERUSER LOGIN`);
}

/** A store on the database `postgres`, for one test. */
async function makeStore(
  server: PostgresServer,
  urlOf: (database: string, user: string) => string,
): Promise<StoreUnderTest> {
  const user = `user_${crashes}`;
  const stores = [await openStore(urlOf('postgres', user))];
  return {
    store: stores[0]!,
    async afterCrash() {
      await server.query(`
        ALTER ROLE ${user} NOLOGIN;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${user}'`);
      crashes++;
      await makeUser(server);
      // As if as much time had gone by as it takes until others may have what it held.
      await server.query(`UPDATE posthorn.nodes SET renewed_at = renewed_at - interval '1 hour', lease_ms = 0`);
      closing.push(...stores.splice(0).map((store) => store.close()));
      const store = await openStore(server.url());
      stores.push(store);
      return store;
    },
    async dispose() {
      for (const store of stores) await store.close();
      await server.query(WIPE);
    },
  };
}

async function startMigrated(version: PostgresVersion): Promise<PostgresServer> {
  const server = await startPostgres({ version });
  await (await openStore(server.url())).close();
  await makeUser(server);
  await server.query(WIPE);
  return server;
}

for (const version of [18, 14] as const) {
  // Skipped where npm has no PostgreSQL of this version for the platform.
  describe.skipIf(!hasPostgres(version))(`with PostgreSQL ${version}`, () => {
    let server: PostgresServer;
    beforeAll(async () => {
      server = await startMigrated(version);
    });
    afterAll(async () => {
      await Promise.all(closing);
      await server?.stop();
    });

    describeStore(`PostgreSQL ${version}`, () => makeStore(server, server.url));
  });
}

// Skipped where it is not installed (apt-get install pgbouncer): npm has none.
describe.skipIf(!hasPgbouncer())('behind PgBouncer in transaction mode', () => {
  let server: PostgresServer;
  let pgbouncer: Pgbouncer;
  beforeAll(async () => {
    server = await startMigrated(18);
    pgbouncer = await startPgbouncer(server);
  });
  afterAll(async () => {
    await Promise.all(closing);
    await pgbouncer?.stop();
    await server?.stop();
  });

  describeStore('pooled PostgreSQL 18', () => makeStore(server, pgbouncer.url));
});
