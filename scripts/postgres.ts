// `npm run postgres [-- --port 5433 --data-dir ./.posthorn-postgres]`: a real PostgreSQL of this clone's own, for trying
// out many nodes without installing one. It runs until Ctrl-C and keeps its data; anybody on this machine may connect,
// nobody else can.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { findBinaries, unprivileged, type Identity } from '../test/postgres/binaries.ts';
import { makeCluster, own, superuser } from '../test/postgres/cluster.ts';

const root = join(import.meta.dirname, '..');
const READY = 'database system is ready to accept connections';
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '128MB',
};

const help = `A PostgreSQL of this clone's own, to try out many nodes with. It runs until Ctrl-C and keeps its data.

Usage: npm run postgres [-- options]

  --port N           where it listens, on 127.0.0.1 alone (5433)
  --data-dir FOLDER  where its data lies (.posthorn-postgres in the clone)
  -h, --help         this text

Example: npm run postgres -- --port 5500 --data-dir ./trial`;

function options() {
  const known = {
    port: { type: 'string', default: '5433' },
    'data-dir': { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    return fail(`${(error as Error).message.split('. ')[0]!}; see npm run postgres -- --help`);
  }
}

function fail(message: string): never {
  console.error(`postgres: ${message}`);
  process.exit(1);
}

const values = options();
if (values.help === true) {
  console.log(help);
  process.exit(0);
}
const port = Number(values.port);
if (!Number.isInteger(port) || port < 1 || port > 65535) fail('--port must be from 1 to 65535');
const bin =
  findBinaries(18) ?? fail(`npm has no PostgreSQL for ${process.platform}-${process.arch}; install one yourself`);
const identity = unprivileged();
const dataDir = resolve(values['data-dir'] ?? home(identity), 'data');
if (!existsSync(dataDir)) {
  const made = mkdirSync(dirname(dataDir), { recursive: true, mode: 0o755 });
  if (made !== undefined) own(made, identity); // never what was there
  await makeCluster(bin, 18, dataDir);
}

const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
// Detached: Ctrl-C at the terminal comes to this process, which asks for an orderly end.
const child = spawn(join(bin, 'postgres'), ['-D', dataDir, '-p', String(port), ...flags], {
  ...identity,
  cwd: dataDir,
  env: { ...process.env, LC_ALL: 'C' },
  detached: true,
  stdio: ['ignore', 'ignore', 'pipe'],
});
let said = '';
let isReady = false;
child.stderr.setEncoding('utf8').on('data', (text: string) => {
  if (isReady) return;
  said += text;
  if (!said.includes(READY)) return;
  isReady = true;
  console.log(`PostgreSQL 18 takes connections; its data is in ${shown(dataDir)}. Ctrl-C ends it.`);
  console.log(`\n  postgres://${superuser}@127.0.0.1:${port}/postgres\n`);
});
child.once('error', (error) => fail(error.message));
child.once('exit', (code) => {
  if (isReady) process.exit(code ?? 0);
  if (said.includes('Address already in use')) fail(`port ${port} is in use; choose another with -- --port`);
  const other = /\(PID (\d+)\)/.exec(said)?.[1];
  fail(
    other === undefined
      ? `it ended with ${code}: ${said.trim()}`
      : `it runs already on ${shown(dataDir)} (process ${other})`,
  );
});
// SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait for the clients to go.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGINT'));

/** Where the data lies: in the clone, unless that is root's alone, and PostgreSQL, which does not run as root, cannot go there. */
function home({ uid }: Identity): string {
  const inside = join(root, '.posthorn-postgres');
  if (uid === undefined) return inside;
  return everybodyMayPass(root) ? inside : join(tmpdir(), `posthorn-postgres-${statSync(root).ino}`);
}

function everybodyMayPass(folder: string): boolean {
  accessSync(folder, constants.X_OK);
  const mayPass = (statSync(folder).mode & 0o001) !== 0;
  return mayPass && (dirname(folder) === folder || everybodyMayPass(dirname(folder)));
}

function shown(path: string): string {
  const inside = relative(process.cwd(), path);
  return inside.startsWith('..') ? path : `./${inside}`;
}
