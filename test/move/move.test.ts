import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { moveToPostgres, undoMove } from '../../src/move/move.ts';
import { movedTables } from '../../src/move/tables.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { runCommand } from '../cli/run-command.ts';
import { startProcess } from '../e2e/process.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { dataDir } from '../e2e/server.ts';
import { hasPostgres, startPostgres, type PostgresServer, type TestDatabase } from '../postgres/server.ts';
import { fillStore, OK_EVENTS, type Filled } from './filled-store.ts';

/** Small pages: the store below has some hundred of them. */
const ROWS_AT_ONCE = 20;

let receiver: Receiver;
let server: PostgresServer;
const original = dataDir();
let filled: Filled;
/** A copy of the store and an empty database, for each test. */
let folder: string;
let store: string;
let database: TestDatabase;
let keys: string[];

beforeAll(async () => {
  if (!hasPostgres(18)) return;
  [receiver, server] = await Promise.all([startReceiver(), startPostgres()]);
  filled = await fillStore(original.path, receiver);
  keys = [readFileSync(join(original.path, 'master.key'), 'utf8').trim()];
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await receiver?.close();
  original.remove();
});
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'posthorn-move-'));
  store = join(folder, 'store');
  cpSync(original.path, store, { recursive: true });
  database = await server.createDatabase();
});
afterEach(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

const move = (more: Partial<Parameters<typeof moveToPostgres>[0]> = {}) =>
  moveToPostgres({
    ...{
      dataDir: store,
      url: database.url,
      schema: 'posthorn',
      keyRing: createKeyRing(keys),
      rowsAtOnce: ROWS_AT_ONCE,
    },
    ...more,
  });
const posthorn = (argv: readonly string[], env: Record<string, string> = {}) =>
  runCommand([...argv, '--data-dir', store], { cwd: folder, env });
const sql = <Row extends Record<string, unknown>>(text: string) => server.query<Row>(text, database.name);

/** Copies everything, and is cut off before anything is compared. */
async function moveUntilCompared(): Promise<void> {
  const cut = new Error('cut off');
  const onProgress = ({ phase }: { phase: string }): void => {
    if (phase === 'verify') throw cut;
  };
  await expect(move({ onProgress })).rejects.toBe(cut);
}

describe.skipIf(!hasPostgres(18))('posthorn move', () => {
  it('names every column of the tables it fills, but those of nodes that are gone', async () => {
    await move();
    const rows = await sql<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'posthorn' AND table_name IN (${movedTables.map(({ name }) => `'${name}'`).join(', ')})`,
    );
    const moved = movedTables.flatMap(({ name, columns }) => columns.map((column) => `${name}.${column.name}`));
    const absent = ['events.fan_out_node', 'open_deliveries.lease'];
    expect(rows.map(({ name }) => name).sort()).toEqual([...moved, ...absent].sort());
  });

  it('takes everything along, with ids and hashes as they are, and tells what to do next', async () => {
    const { code, stdout, stderr } = await posthorn(['move', '--to', database.url]);
    expect(stderr).toMatch(/^\{"phase":"copy",/m);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('POSTHORN_DATABASE_URL');
    expect(stdout).toContain(`POSTHORN_MASTER_KEY_FILE=${join(store, 'master.key')}`);
    const statuses = await sql<{ id: string; status: string }>('SELECT id, status FROM posthorn.deliveries');
    const expected = new Map(filled.statuses);
    for (const [id, status] of expected) if (status === 'sending') expected.set(id, 'pending');
    expect(new Map(statuses.map(({ id, status }) => [id, status]))).toEqual(expected);
    expect([...new Set(filled.statuses.values())].sort()).toEqual(
      ['cancelled', 'dead_letter', 'delivered', 'held', 'pending', 'sending'], // or this test shows little
    );
    const counts = await sql<Record<string, number>>(
      `SELECT ${movedTables.map(({ name }) => `(SELECT count(*) FROM posthorn.${name})::int AS ${name}`).join(', ')}`,
    );
    for (const [name, count] of Object.entries(counts[0]!)) expect(count, name).toBeGreaterThan(0);
    expect(counts[0]).toMatchObject({ payloads: OK_EVENTS + 5, events: OK_EVENTS + 5 });
    // No partition for what lies outside of the days there are.
    expect(await sql('SELECT FROM posthorn.events_default')).toEqual([]);
  });

  it('with --dry-run counts the rows and changes neither side', async () => {
    const { code, stdout } = await posthorn(['move', '--to', database.url, '--dry-run', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ dryRun: true, rows: { events: OK_EVENTS + 5, tenants: 2 } });
    expect(await sql("SELECT FROM pg_namespace WHERE nspname = 'posthorn'")).toEqual([]);
    const { client, end } = await startProcess(store);
    expect((await client.call('GET', '/readyz')).status).toBe(200);
    await end('SIGKILL');
  });

  it('leaves a store on which no server starts, until the move is undone', { timeout: 60_000 }, async () => {
    await move();
    for (const command of [['serve'], ['dev', '--port', '0'], ['keys', 'create', '--role', 'operator']]) {
      const { code, stderr } = await posthorn(command, { POSTHORN_URL: '' });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^posthorn: The store in \S+ was moved to postgres:\/\/127\.0\.0\.1:\d+\/test_\d+ \(schema posthorn\): .*--undo/,
      );
      expect(stderr.trim()).not.toContain('\n');
    }
    const again = await posthorn(['move', '--to', database.url]);
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('by an earlier run') });
    expect(await posthorn(['move', '--undo'])).toMatchObject({ code: 0, stdout: expect.stringContaining('start') });
    const { end } = await startProcess(store);
    await end('SIGKILL');
    // The copy is one of the past now: it is not taken for this store's any more.
    await expect(move()).rejects.toThrow(/holds what was moved from another store/);
    expect(undoMove(store)).toBeNull();
  });

  it('refuses what it cannot move, in one line', { timeout: 60_000 }, async () => {
    const line = async (argv: readonly string[], env: Record<string, string> = {}) => {
      const { code, stderr } = await posthorn(['move', ...argv], env);
      expect(code).not.toBe(0);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      return stderr;
    };
    expect(await line([])).toContain('--to postgres://');
    expect(await line(['--to', 'mysql://x/y'])).toMatch(/^posthorn: --to: is not the URL of a PostgreSQL/);
    expect(await line(['--to', database.url.replace(/:\d+\//, ':1/')])).toContain('Nothing takes connections');
    const other = { POSTHORN_MASTER_KEY: 'another master key of 32 characters' };
    expect(await line(['--to', database.url], other)).toMatch(/The master key does not open the secrets/);
    const empty = await runCommand(['move', '--to', database.url, '--data-dir', folder], { cwd: folder });
    expect(empty.stderr).toMatch(/there is no \S+master\.key/);
    const nowhere = await runCommand(['move', '--to', database.url, '--data-dir', folder], { cwd: folder, env: other });
    expect(nowhere.stderr).toMatch(/There is no embedded store/);
    const { end } = await startProcess(store);
    expect(await line(['--to', database.url])).toContain('is in use by another Posthorn');
    await end('SIGKILL');
    await sql('CREATE SCHEMA posthorn; CREATE TABLE posthorn.mine (n int)');
    expect(await line(['--to', database.url])).toContain('is not Posthorn');
  });

  it('refuses a database that holds something, or a move of another store', async () => {
    await moveUntilCompared();
    const other = join(folder, 'other');
    cpSync(original.path, other, { recursive: true });
    await expect(move({ dataDir: other })).rejects.toThrow(/a move of another store that has not ended/);
    await sql("DELETE FROM posthorn.meta WHERE key = 'moved_from'");
    await expect(move({ dataDir: other })).rejects.toThrow(/is not empty \(plans\)/);
    // Refused before it was begun, so the store is as it was.
    expect(undoMove(other)).toBeNull();
  });

  it('moves a store to one place only, whether it has arrived there or not', async () => {
    const elsewhere = await server.createDatabase();
    await moveUntilCompared();
    await expect(move({ url: elsewhere.url })).rejects.toThrow(/is moving to postgres:.*--undo/);
    // The same place under another name is no other place.
    await move({ url: database.url.replace('127.0.0.1', 'localhost') });
    await expect(move({ url: elsewhere.url })).rejects.toThrow(/was moved to postgres:.*--undo/);
    await sql('DROP SCHEMA posthorn CASCADE');
    await expect(move()).rejects.toThrow(/was moved to postgres:.*--undo/);
    await elsewhere.drop();
  });

  it.each([
    ['changed', "UPDATE posthorn.payloads SET data = data || ' ' WHERE event_id = $id"],
    ['lost', 'DELETE FROM posthorn.payloads WHERE event_id = $id'],
    ['added', "INSERT INTO posthorn.payloads VALUES ('acme', 'ADDED', '{}')"],
  ])('finds a row that was %s on its way, names it, and goes no further', async (_, tamper) => {
    await moveUntilCompared();
    const [event] = await sql<{ id: string }>("SELECT id FROM posthorn.events WHERE type = 'order.lost'");
    await sql(tamper.replace('$id', `'${event!.id}'`));
    const key = tamper.includes('ADDED') ? 'acme/ADDED' : `acme/${event!.id}`;
    await expect(move()).rejects.toThrow(new RegExp(`copy of payloads is not the same.*differing at ${key}\\.`));
  });

  it('lets no server start on either side before it has ended', { timeout: 60_000 }, async () => {
    await moveUntilCompared();
    const there = await posthorn(['serve'], { POSTHORN_DATABASE_URL: database.url, POSTHORN_MASTER_KEY: keys[0]! });
    expect(there.stderr).toMatch(
      /A move of an embedded store into the schema "posthorn" of this database has not ended/,
    );
    const here = await posthorn(['dev', '--port', '0']);
    expect(here.stderr).toContain('and the move has not ended: run it again');
    expect([there.code, here.code]).toEqual([1, 1]);
  });

  it('killed at any moment, goes on where it stood, and ends with the same rows', { timeout: 120_000 }, async () => {
    const run = async (commit: number, when: string): Promise<{ signal: string | null; commits: number }> => {
      const options = { dataDir: store, url: database.url, keys, rowsAtOnce: ROWS_AT_ONCE, commit, when };
      const child = fork(join(import.meta.dirname, 'moving-child.ts'), [JSON.stringify(options)], { execArgv: [] });
      let commits = 0;
      child.on('message', (message) => ({ commits } = message as { commits: number }));
      const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
      return { signal, commits };
    };
    const killed: (string | null)[] = [];
    for (const when of ['before', 'during', 'after']) {
      for (const commit of [1, 2, 9, 30]) killed.push((await run(commit, when)).signal);
    }
    expect(killed).toEqual(Array.from({ length: 12 }, () => 'SIGKILL'));
    const last = await run(0, 'before');
    expect(last.signal).toBeNull();
    expect(last.commits).toBeGreaterThan(10);
    expect(await run(0, 'before')).toMatchObject({ signal: null });
    const [row] = await sql<{ count: number }>('SELECT count(*)::int AS count FROM posthorn.deliveries');
    expect(row!.count).toBe(filled.statuses.size);
  });
});
