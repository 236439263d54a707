import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { QueryResultRow } from 'pg';
import { findBinaries, unprivileged } from './binaries.ts';
import type { PostgresVersion } from './binaries.ts';
import { copyCluster, makeCluster, own, superuser } from './cluster.ts';
import { watch } from './watchdog.ts';

export type { PostgresVersion } from './binaries.ts';

export interface PostgresOptions {
  /** Default 18. */
  version?: PostgresVersion;
  /** Settings of postgresql.conf beyond {@link defaults}, such as `fsync: 'on'`. */
  settings?: Readonly<Record<string, string>>;
  /** Parent of the server's folder; default the system's place for temporary files. */
  dataRoot?: string;
  /** The data directory of a server that does not run, to start from a copy of it instead of an empty cluster. */
  copyOf?: string;
  /** Default: a free port. */
  port?: number;
  /** Called with the new data directory before the first start: to write `standby.signal`, or `pg_hba.conf`. */
  prepare?: (dataDir: string) => void;
}

export interface TestDatabase {
  name: string;
  url: string;
  drop(): Promise<void>;
}

/** A real PostgreSQL, on 127.0.0.1 only, without passwords unless `prepare` asks for them. */
export interface PostgresServer {
  readonly version: PostgresVersion;
  readonly port: number;
  readonly dataDir: string;
  /** Of the postmaster; changes with every start. */
  readonly pid: number;
  /** The last 16 KiB of what it logged. */
  log(): string;
  /** Default database and user: `postgres`, the superuser. */
  url(database?: string, user?: string): string;
  /** A new database; a copy of `template` where one is named, which must have no connections. */
  createDatabase(template?: string): Promise<TestDatabase>;
  /** Runs SQL as superuser on a connection of its own; resolves to the rows of its last statement. */
  query<Row extends QueryResultRow = QueryResultRow>(sql: string, database?: string): Promise<Row[]>;
  /** `pg_ctl stop -m immediate`: as after a crash. Keeps the data. */
  stopImmediate(): Promise<void>;
  /** `pg_ctl stop -m fast`: in order, whoever is connected. Keeps the data. */
  stopFast(): Promise<void>;
  /** Starts it again on the same port and data; resolves when it takes connections. */
  start(): Promise<void>;
  /** Ends it and removes its data. Tolerates being called twice. */
  stop(): Promise<void>;
}

/** Small and quick: nothing here outlives the machine, so nothing needs to reach a disk. */
const defaults: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  full_page_writes: 'off',
  shared_buffers: '32MB',
  max_connections: '100',
  max_wal_size: '256MB',
};

const READY = /database system is ready to accept (?:read-only )?connections/;
const KEPT_LOG = 16_384;
const TRIES = 5;

/**
 * False where npm has no PostgreSQL of this version for this platform: its tests are skipped there.
 * @throws in continuous integration, where nothing passes by being skipped
 */
export function hasPostgres(version: PostgresVersion): boolean {
  const isThere = findBinaries(version) !== null;
  if (!isThere && process.env.CI) throw new Error(`PostgreSQL ${version} is not there: run \`npm ci\``);
  return isThere;
}

/** Starts a new PostgreSQL; resolves when it takes connections. It ends with the process that called this, at the latest. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const version = options.version ?? 18;
  const bin = findBinaries(version);
  if (bin === null) throw new Error(`npm has no PostgreSQL ${version} for ${process.platform}-${process.arch}`);
  const identity = unprivileged();
  const folder = mkdtempSync(join(options.dataRoot ?? tmpdir(), 'posthorn-postgres-'));
  const dataDir = join(folder, 'data');
  own(folder, identity);
  if (options.copyOf === undefined) await makeCluster(bin, version, dataDir);
  else copyCluster(options.copyOf, dataDir, identity);
  options.prepare?.(dataDir);
  own(dataDir, identity);
  const watchdog = watch(folder, join(dataDir, 'postmaster.pid'), identity);
  const settings = Object.entries({ ...defaults, ...options.settings }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);

  let port = options.port ?? (await freePort());
  let child: ChildProcess | null = null;
  let log = '';
  let databases = 0;

  async function start(): Promise<void> {
    if (child !== null) return;
    const env = { ...process.env, LC_ALL: 'C' };
    // Detached: a Ctrl-C at the terminal must not stop it before the tests that use it.
    const started = spawn(join(bin!, 'postgres'), ['-D', dataDir, '-p', String(port), ...settings], {
      ...identity,
      cwd: folder,
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child = started;
    started.once('exit', () => {
      if (child === started) child = null;
    });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      started.once('error', reject);
      started.once('close', (code) => {
        reject(new Error(`postgres ended with code ${code}: ${said}`));
      });
      started.stderr.setEncoding('utf8').on('data', (text: string) => {
        log = (log + text).slice(-KEPT_LOG);
        said = (said + text).slice(-KEPT_LOG);
        if (READY.test(said)) resolve();
      });
    });
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child === null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  async function query<Row extends QueryResultRow>(sql: string, database = 'postgres'): Promise<Row[]> {
    const client = new pg.Client({ connectionString: url(database) });
    client.on('error', () => undefined); // the query under way rejects too
    try {
      await client.connect();
      const answer = (await client.query<Row>(sql)) as pg.QueryResult<Row> | pg.QueryResult<Row>[];
      return (Array.isArray(answer) ? answer.at(-1) : answer)?.rows ?? [];
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  function url(database = 'postgres', user = superuser): string {
    return `postgres://${user}@127.0.0.1:${port}/${database}`;
  }

  for (let left = options.port === undefined ? TRIES : 1; ; left--) {
    try {
      await start();
      break;
    } catch (error) {
      if (left > 1 && String(error).includes('Address already in use')) {
        port = await freePort();
        continue;
      }
      rmSync(folder, { recursive: true, force: true });
      watchdog.dismiss();
      throw error;
    }
  }

  return {
    version,
    get port() {
      return port;
    },
    dataDir,
    get pid() {
      return child?.pid ?? 0;
    },
    log: () => log,
    url,
    async createDatabase(template) {
      const name = `test_${++databases}`;
      await query(`CREATE DATABASE ${name}${template === undefined ? '' : ` TEMPLATE "${template}"`}`);
      return {
        name,
        url: url(name),
        drop: async () => {
          await query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        },
      };
    },
    query,
    stopImmediate: () => end('SIGQUIT'),
    stopFast: () => end('SIGINT'),
    start,
    async stop() {
      await end('SIGQUIT');
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
      watchdog.dismiss();
    },
  };
}

/** Below the range from which the system gives ports to outgoing connections: nobody takes it during a restart. */
export async function freePort(): Promise<number> {
  for (let left = 50; ; left--) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const probe = createServer();
    try {
      await new Promise<void>((resolve, reject) => {
        probe.once('error', reject).listen(port, '127.0.0.1', resolve);
      });
      await new Promise((resolve) => probe.close(resolve));
      return port;
    } catch (error) {
      if (left === 1) throw error;
    }
  }
}
