import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from './server.ts';
import type { PostgresServer } from './server.ts';

const NAME = 'standby';

/** Settings of a server that a standby follows. A commit is answered once the standby has it, as soon as there is one. */
export const primarySettings = { wal_level: 'replica', wal_keep_size: '256MB', max_wal_senders: '4' };

/**
 * Starts a standby of `primary`, which stops for a moment meanwhile, and makes commits wait for it. The packages bring no
 * `pg_basebackup`: a copy of the data of a stopped server does the same.
 */
export async function startStandby(primary: PostgresServer): Promise<PostgresServer> {
  await primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${NAME}'`);
  await primary.stopFast();
  const standby = startPostgres({
    version: primary.version,
    copyOf: primary.dataDir,
    settings: primarySettings,
    prepare(dataDir) {
      writeFileSync(join(dataDir, 'standby.signal'), '');
      // The last line wins: what the standby has copied must not make it wait for a standby once it is promoted.
      appendFileSync(
        join(dataDir, 'postgresql.auto.conf'),
        `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=postgres application_name=${NAME}'\n` +
          `synchronous_standby_names = ''\n`,
      );
    },
  });
  const [server] = await Promise.all([standby, primary.start()]);
  return server;
}

/** Resolves once the standby follows, so that commits wait for it. */
export async function whenFollowed(primary: PostgresServer): Promise<void> {
  for (;;) {
    const [row] = await primary.query(`SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`);
    if (row !== undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Makes a primary of a standby; resolves once it takes writes. */
export async function promote(standby: PostgresServer): Promise<void> {
  await standby.query('SELECT pg_promote(true, 30)');
}
