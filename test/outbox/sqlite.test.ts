import Database from 'better-sqlite3';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, createPosthorn, type Posthorn, type PosthornOptions } from '../../src/index.ts';
import { createOutboxTable, emit } from '../../src/outbox/index.ts';
import { createSqliteOutbox } from '../../src/outbox/sqlite-source.ts';
import type { OutboxRow, OutboxVerdict } from '../../src/store/outbox.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { startServer } from '../e2e/server.ts';
import { startLibrary, valueOf } from '../library/posthorn.ts';

const eventually = <Value>(ask: () => Value) => expect.poll(ask, { timeout: 15_000, interval: 10 });

let folder: string;
let path: string;
let db: Database.Database;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'posthorn-outbox-'));
  path = join(folder, 'app.db');
  db = new Database(path);
  createOutboxTable(db);
});
afterEach(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

function rows(): Record<string, unknown>[] {
  return db.prepare('SELECT * FROM posthorn_outbox ORDER BY id').all() as Record<string, unknown>[];
}

describe.each(['WAL', 'DELETE'])('the outbox of a SQLite file in journal mode %s', (mode) => {
  const whole = { limit: 10, except: [] };
  const publish =
    (verdict: (row: OutboxRow) => OutboxVerdict, seen: string[] = []) =>
    async (taken: readonly OutboxRow[]) => {
      seen.push(...taken.map(({ data }) => data));
      return taken.map(verdict);
    };
  beforeEach(() => {
    db.pragma(`journal_mode = ${mode}`);
  });

  it('hands on rows in their order, deletes what is done, keeps what is for later, sets aside what is refused', async () => {
    const source = createSqliteOutbox({ outbox: path });
    for (const data of [1, 2, 3, 4]) emit(db, { type: 'a', data });
    const seen: string[] = [];
    const verdicts: OutboxVerdict[] = ['done', 'later', { refused: 'because' }, 'done'];
    expect(
      await source.take(
        { ...whole, except: [4] },
        publish(({ id }) => verdicts[id - 1]!, seen),
      ),
    ).toBe(3);
    expect(seen).toEqual(['1', '2', '3']);
    expect(rows()).toMatchObject([
      { data: '2', failed_at: null },
      { data: '3', error: 'because', failed_at: expect.closeTo(Date.now(), -5) as number },
      { data: '4' },
    ]);
    expect(
      await source.take(
        whole,
        publish(() => 'done', seen),
      ),
    ).toBe(2);
    expect(rows()).toMatchObject([{ data: '3' }]);
    expect(
      await source.take(
        whole,
        publish(() => 'done', seen),
      ),
    ).toBe(0);
    source.close();
    source.close();
  });

  it('does not wait while the application writes, and does not hand on a row again for that', async () => {
    const source = createSqliteOutbox({ outbox: path });
    emit(db, { type: 'a', data: 1 });
    const seen: string[] = [];
    const startedAt = performance.now();
    const taken = await source.take(whole, async (found) => {
      db.exec('BEGIN IMMEDIATE');
      emit(db, { type: 'a', data: 2 });
      return publish(() => 'done', seen)(found);
    });
    expect(taken).toBe(1);
    expect(
      await source.take(
        whole,
        publish(() => 'done', seen),
      ),
    ).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    db.exec('COMMIT');
    expect(
      await source.take(
        whole,
        publish(() => 'done', seen),
      ),
    ).toBe(1);
    expect(seen).toEqual(['1', '2']);
    expect(rows()).toEqual([]);
    source.close();
  });

  it('sees nothing of a transaction that is open on the very same connection', async () => {
    const source = createSqliteOutbox({ outbox: db });
    const seen: string[] = [];
    db.exec('BEGIN');
    emit(db, { type: 'a', data: 1 });
    expect(
      await source.take(
        whole,
        publish(() => 'done', seen),
      ),
    ).toBe(0);
    db.exec('ROLLBACK');
    emit(db, { type: 'a', data: 2 });
    expect(
      await source.take(
        whole,
        publish(() => 'done', seen),
      ),
    ).toBe(1);
    expect(seen).toEqual(['2']);
    expect(db.pragma('busy_timeout', { simple: true })).toBe(5_000);
    source.close();
    expect(db.open).toBe(true);
  });

  it('gives each row a key that no other has, also in a file made anew', async () => {
    const keys: string[] = [];
    for (let i = 0; i < 2; i++) {
      db.exec('DROP TABLE posthorn_outbox; DELETE FROM sqlite_sequence');
      createOutboxTable(db);
      emit(db, { type: 'a', data: i });
      emit(db, { type: 'a', data: i });
      db.exec(`UPDATE posthorn_outbox SET created_at = created_at + ${i}`);
      const source = createSqliteOutbox({ outbox: path });
      await source.take(whole, async (found) => {
        keys.push(...found.map(({ key }) => key));
        return found.map(() => 'later');
      });
      source.close();
    }
    expect(new Set(keys).size).toBe(4);
  });
});

it('is looked for until it is there: the file, then its table', async () => {
  const later = join(folder, 'later.db');
  const absent: string[] = [];
  const source = createSqliteOutbox({ outbox: later, onAbsent: (error) => absent.push(String(error)) });
  const take = (): Promise<number | null> => source.take({ limit: 1, except: [] }, async () => ['done']);
  expect(await take()).toBe(0);
  const app = new Database(later);
  createOutboxTable(app);
  app.prepare(`INSERT INTO posthorn_outbox (type, data) VALUES ('a', '1')`).run();
  await expect.poll(take, { timeout: 15_000 }).toBe(1);
  expect(absent).toEqual([expect.stringMatching(/unable to open database file|directory does not exist/)]);
  source.close();
  app.close();
});

it('emit works with node:sqlite, too', () => {
  const other = new DatabaseSync(path);
  emit(other, { type: 'a', data: { b: 1 }, occurredAt: new Date(5) });
  other.close();
  expect(rows()).toMatchObject([{ type: 'a', data: '{"b":1}', occurred_at: 5, tenant_id: 'default' }]);
});

describe('a Posthorn that takes from a SQLite database', () => {
  let receiver: Receiver;
  const stops: (() => Promise<void>)[] = [];
  beforeEach(async () => {
    receiver = await startReceiver();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
    await receiver.close();
  });

  async function startBeside(options: PosthornOptions): Promise<Posthorn> {
    const posthorn = await startLibrary({ wireFormat: 'standard', ...options });
    stops.push(() => posthorn.stop());
    valueOf(await posthorn.subscriptions.create({ url: receiver.url() }));
    return posthorn;
  }

  it('in the same process, from your own connection: what committed arrives, what rolled back does not', async () => {
    await startBeside({ outbox: db });
    const place = db.transaction((data: number) => {
      emit(db, { type: 'order.created', data });
      if (data < 0) throw new Error('no');
    });
    expect(() => {
      place(-1);
    }).toThrow('no');
    place(1);
    const { body, headers } = await receiver.waitFor(() => true);
    expect(JSON.parse(body)).toMatchObject({ type: 'order.created', data: 1 });
    expect(headers['webhook-id']).toMatch(/^evt_/);
    await eventually(rows).toEqual([]);
    expect(receiver.requests).toHaveLength(1);
  });

  it('in the same process, from a file', async () => {
    await startBeside({ outbox: path });
    emit(db, { type: 'order.created', data: 1, id: 'o-1' });
    const { headers } = await receiver.waitFor(() => true);
    expect(headers['webhook-id']).toBe('o-1');
    await eventually(rows).toEqual([]);
  });

  it('in another process, as POSTHORN_OUTBOX_FILE says', async () => {
    const server = await startServer(join(folder, 'posthorn'), { outboxFile: path });
    stops.push(() => server.stop());
    await server.webhook(receiver.url(), ['*']);
    emit(db, { type: 'order.created', data: 1, tenant: 'default' });
    await receiver.waitFor(() => true);
    await eventually(rows).toEqual([]);
  });

  it(
    'stores an event once where its process is killed before it could delete the row',
    { timeout: 60_000 },
    async () => {
      const data = join(folder, 'posthorn');
      const child = fork(new URL('taking-child.ts', import.meta.url), [data, path, receiver.url()]);
      await once(child, 'message');
      // The application holds the file, so that rows cannot be deleted.
      const writer = new Database(path);
      emit(db, { type: 'order.created', data: 1 });
      await receiver.waitFor(() => true);
      writer.exec('BEGIN IMMEDIATE');
      emit(writer, { type: 'order.created', data: 2 });
      writer.exec('COMMIT; BEGIN IMMEDIATE');
      await receiver.waitForCount(2);
      child.kill('SIGKILL');
      await once(child, 'exit');
      writer.exec('ROLLBACK');
      expect(rows().map((row) => row.data)).toContain('2');
      writer.close();

      const server = await startServer(data, { outboxFile: path });
      stops.push(() => server.stop());
      await eventually(rows).toEqual([]);
      const { events } = (await server.call<{ events: unknown[] }>('GET', '/v1/events')).body;
      expect(events).toHaveLength(2);
    },
  );

  it.each([
    ['', /^outbox: is no database; give a path, or a Database of better-sqlite3$/],
    [{}, /^outbox: is no database/],
  ])('refuses %j for a database at once', (outbox, says) => {
    const make = (): unknown => createPosthorn({ store: 'memory', outbox: outbox as string });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(says);
  });
});
