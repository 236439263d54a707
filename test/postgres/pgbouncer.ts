import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unprivileged } from './binaries.ts';
import { own, superuser } from './cluster.ts';
import { freePort } from './server.ts';
import type { PostgresServer } from './server.ts';
import { watch } from './watchdog.ts';

/** Where Debian puts it; npm has none. */
const BINARY = '/usr/sbin/pgbouncer';
const READY = /process up/;

export interface Pgbouncer {
  /** Default user: the superuser. */
  url(database: string, user?: string): string;
  stop(): Promise<void>;
}

/** @throws in continuous integration where it is not there: nothing passes by being skipped */
export function hasPgbouncer(): boolean {
  const isThere = existsSync(BINARY);
  if (!isThere && process.env.CI)
    throw new Error('there is no pgbouncer; on Debian and Ubuntu: apt-get install pgbouncer');
  return isThere;
}

/** A real PgBouncer in transaction mode with `poolSize` connections to the server; its other settings as it comes. */
export async function startPgbouncer(server: PostgresServer, poolSize = 5): Promise<Pgbouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-pgbouncer-'));
  const identity = unprivileged();
  const port = await freePort();
  const pidFile = join(folder, 'pid');
  const settings = [
    '[databases]',
    `* = host=127.0.0.1 port=${server.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${join(folder, 'users.txt')}`,
    // Other users are looked up in the server.
    `auth_user = ${superuser}`,
    'pool_mode = transaction',
    `default_pool_size = ${poolSize}`,
    `pidfile = ${pidFile}`,
  ];
  writeFileSync(join(folder, 'users.txt'), `"${superuser}" ""\n`);
  writeFileSync(join(folder, 'pgbouncer.ini'), `${settings.join('\n')}\n`);
  own(folder, identity);
  const watchdog = watch(folder, pidFile, identity);
  const child = spawn(BINARY, [join(folder, 'pgbouncer.ini')], {
    ...identity,
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      reject(new Error(`pgbouncer ended with code ${code}: ${log}`));
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-8192);
      if (READY.test(log)) resolve();
    });
  });
  return {
    url: (database, user = superuser) => `postgres://${user}@127.0.0.1:${port}/${database}`,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit');
        child.kill('SIGTERM'); // which means at once; SIGINT waits for the clients
        await exited;
      }
      rmSync(folder, { recursive: true, force: true });
      watchdog.dismiss();
    },
  };
}
