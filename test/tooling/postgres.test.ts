import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, it } from 'vitest';
import { freePort, hasPostgres } from '../postgres/server.ts';

const script = join(import.meta.dirname, '../../scripts/postgres.ts');
const folder = mkdtempSync(join(tmpdir(), 'posthorn-postgres-script-'));
chmodSync(folder, 0o755); // PostgreSQL does not run as root, and must get there all the same
const running = new Set<ChildProcessWithoutNullStreams>();

afterAll(async () => {
  for (const child of running) {
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    await exited;
  }
  rmSync(folder, { recursive: true });
});

function start(port: number): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [script, '--port', String(port), '--data-dir', join(folder, 'of-its-own')]);
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** The address that it prints once it takes connections. */
async function addressOf(child: ChildProcessWithoutNullStreams): Promise<string> {
  let said = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    said += chunk as string;
    const url = /postgres:\/\/\S+/.exec(said)?.[0];
    if (url !== undefined) return url;
  }
  throw new Error(`it ended: ${said}`);
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>(sql);
  await client.end();
  return rows;
}

it.skipIf(!hasPostgres(18))('`npm run postgres` prints its address, keeps its data, and runs once', async () => {
  const port = await freePort();
  const first = start(port);
  const url = await addressOf(first);
  expect(url).toContain(`127.0.0.1:${port}/`);
  await query(url, 'CREATE TABLE kept AS SELECT 7 AS n');

  const second = start(await freePort());
  let complaint = '';
  second.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  expect(await once(second, 'close')).toEqual([1, null]);
  expect(complaint).toMatch(/^postgres: it runs already on \S+ \(process \d+\)\n$/);

  const exited = once(first, 'exit');
  first.kill('SIGINT');
  expect(await exited).toEqual([0, null]);
  expect(await query(await addressOf(start(port)), 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
});

it.each([
  [['--help'], 0, 'Usage: npm run postgres'],
  [['--prot', '1'], 1, "postgres: Unknown option '--prot'; see npm run postgres -- --help"],
  [['--port', 'x'], 1, 'postgres: --port must be from 1 to 65535'],
])('`npm run postgres -- %j` says what can be said, and starts nothing', async (flags, code, words) => {
  const child = spawn(process.execPath, [script, ...flags]);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said += text));
  expect(await once(child, 'close')).toEqual([code, null]);
  expect(said).toContain(words);
  expect(said).not.toContain('    at ');
});
