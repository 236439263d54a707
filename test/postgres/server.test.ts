import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { describe, expect, it } from 'vitest';
import { hasPostgres, startPostgres } from './server.ts';

describe.each([18, 14] as const)('PostgreSQL %i for tests', (version) => {
  it.skipIf(!hasPostgres(version))('starts, keeps its data through a crash, and leaves nothing behind', async () => {
    const server = await startPostgres({ version });
    try {
      const [row] = await server.query<{ server_version_num: string }>('SHOW server_version_num');
      expect(Math.floor(Number(row?.server_version_num) / 10_000)).toBe(version);
      const database = await server.createDatabase();
      await server.query('CREATE TABLE t (n int); INSERT INTO t VALUES (7)', database.name);
      const before = server.pid;
      await server.stopImmediate();
      await server.start();
      expect(server.pid).not.toBe(before);
      expect(await server.query('SELECT n FROM t', database.name)).toEqual([{ n: 7 }]);
      await database.drop();
    } finally {
      await server.stop();
    }
    expect(existsSync(server.dataDir)).toBe(false);
  });
});

it.skipIf(!hasPostgres(18))('ends with the process that started it, also when that is killed', async () => {
  const script = `
    const { startPostgres } = await import(${JSON.stringify(new URL('server.ts', import.meta.url).href)});
    const { port, dataDir } = await startPostgres();
    console.log(JSON.stringify({ port, dataDir }));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const { port, dataDir } = JSON.parse(line.toString()) as { port: number; dataDir: string };
  expect(existsSync(dataDir)).toBe(true);
  child.kill('SIGKILL');
  await expect.poll(() => existsSync(dataDir), { timeout: 10_000 }).toBe(false);
  const [fault] = (await once(createConnection(port, '127.0.0.1'), 'error')) as [Error];
  expect(fault).toMatchObject({ code: 'ECONNREFUSED' });
});
