import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { startProxy } from './proxy.ts';
import type { FaultProxy } from './proxy.ts';
import { startPostgres } from './server.ts';
import type { PostgresServer } from './server.ts';

describe('the fault proxy', () => {
  let server: PostgresServer;
  let proxy: FaultProxy;

  beforeAll(async () => {
    server = await startPostgres();
    proxy = await startProxy(server.port);
    await server.query('CREATE TABLE t (n int)');
  });
  afterAll(async () => {
    await proxy?.close();
    await server?.stop();
  });

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: proxy.url() });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  it('passes on until it resets', async () => {
    const client = await connect();
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(proxy.open).toBe(1);
    proxy.reset();
    await expect(client.query('SELECT 1')).rejects.toThrow();
    await (await connect()).end();
  });

  it('holds the answers back while it is frozen, and gives them after', async () => {
    const client = await connect();
    proxy.freeze('down');
    const answer = client.query('INSERT INTO t VALUES (1) RETURNING n');
    await expect.poll(() => server.query('SELECT n FROM t')).toEqual([{ n: 1 }]);
    let isAnswered = false;
    void answer.then(() => (isAnswered = true));
    expect(isAnswered).toBe(false);
    proxy.pass();
    expect((await answer).rows).toEqual([{ n: 1 }]);
    await client.end();
  });

  it('withholds the answer to a commit that was carried out, in a transaction and without', async () => {
    await server.query('TRUNCATE t');
    for (const inTransaction of [true, false]) {
      const client = await connect();
      proxy.dropAnswers(1);
      const run = async (): Promise<void> => {
        if (inTransaction) await client.query('BEGIN');
        await client.query('INSERT INTO t VALUES ($1)', [7]);
        if (inTransaction) await client.query('COMMIT');
      };
      await expect(run()).rejects.toThrow();
      proxy.pass();
    }
    expect(proxy.dropped).toBe(2);
    expect(await server.query('SELECT n FROM t')).toEqual([{ n: 7 }, { n: 7 }]);
  });

  it('cuts a statement off in its middle', async () => {
    await server.query('TRUNCATE t');
    const client = await connect();
    proxy.dropAfter(30);
    await expect(client.query('INSERT INTO t VALUES (1)   /* and so on */')).rejects.toThrow();
    proxy.pass();
    expect(await server.query('SELECT n FROM t')).toEqual([]);
  });
});
