import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unprivileged } from './binaries.ts';
import type { Identity, PostgresVersion } from './binaries.ts';

/** Superuser of every cluster here; it needs no password. */
export const superuser = 'postgres';

const cache = new URL('../../node_modules/.cache/postgres/', import.meta.url).pathname;

/**
 * Fills `dataDir`, which must not exist yet, with a new cluster and gives it to `identity`. `initdb` takes seconds: it
 * runs once per version and user, and its result is copied from then on.
 */
export async function makeCluster(bin: string, version: PostgresVersion, dataDir: string): Promise<void> {
  const identity = unprivileged();
  const template = join(cache, `${version}-${identity.uid ?? process.getuid?.() ?? 'user'}`);
  if (!existsSync(template)) await makeTemplate(bin, template, identity);
  copyCluster(template, dataDir, identity);
}

/** Copies the data directory of a server that does not run. */
export function copyCluster(from: string, to: string, identity: Identity): void {
  cpSync(from, to, { recursive: true });
  // Another run's socket or process file would make the new server think that it runs.
  rmSync(join(to, 'postmaster.pid'), { force: true });
  own(to, identity);
  chmodSync(to, 0o700);
}

/** Gives a folder and all that is in it to `identity`. */
export function own(path: string, { uid, gid }: Identity): void {
  if (uid === undefined || gid === undefined) return;
  chownSync(path, uid, gid);
  for (const entry of readdirSync(path, { recursive: true, encoding: 'utf8' })) chownSync(join(path, entry), uid, gid);
}

async function makeTemplate(bin: string, template: string, identity: Identity): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-initdb-'));
  try {
    const made = join(folder, 'data');
    own(folder, identity);
    // Small segments keep the copy small: 1 MiB of empty log instead of 16.
    const flags = ['-U', superuser, '-A', 'trust', '-E', 'UTF8', '--no-locale', '--wal-segsize=1', '--no-sync'];
    await run(join(bin, 'initdb'), ['-D', made, ...flags], folder, identity);
    mkdirSync(cache, { recursive: true });
    // Under a name of its own first: test files that start at once see a whole template or none.
    const fresh = mkdtempSync(join(cache, 'new-'));
    cpSync(made, fresh, { recursive: true });
    try {
      renameSync(fresh, template);
    } catch (error) {
      rmSync(fresh, { recursive: true });
      if (!existsSync(template)) throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(command: string, argv: string[], cwd: string, identity: Identity): Promise<void> {
  const env = { ...process.env, LC_ALL: 'C' };
  const child = spawn(command, argv, { ...identity, cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ended with code ${code}: ${output}`));
    });
  });
}
