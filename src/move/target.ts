import { PosthornError } from '../errors.ts';
import { float8Array, int4Array, int8Array, textArray } from '../store/postgres/binary-array.ts';
import type { Connections, Run } from '../store/postgres/connections.ts';
import { toStoreError } from '../store/postgres/failure.ts';
import { MOVED_FROM, readMovedFrom } from '../store/postgres/moved.ts';
import type { MovedMark } from '../store/sqlite/moved.ts';
import { movedTables } from './tables.ts';
import type { ColumnType, MovedTable } from './tables.ts';
import type { Page, Row, Value } from './source.ts';

/** Rows that come over at once when they are read back: few at first, then as many as make up so much text. */
const FIRST_ROWS = 10;
const MOST_ROWS = 2_000;
const FETCH_CHARS = 4 * 1024 * 1024;

/** How far a table has come; kept in `meta`, written in the transaction of the rows it speaks of. */
export interface Progress {
  /** Key of the last row that was copied; null = none was. */
  after: Value[] | null;
  rows: number;
  isDone: boolean;
}

const nothing: Progress = { after: null, rows: 0, isDone: false };

/** The database that is moved to, as far as a move needs to know it. */
export class Target {
  readonly #connections: Connections;
  readonly #run: Run = (statement) => this.#connections.query(statement);

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /**
   * Takes the database for this move, or finds it taken by it before.
   * @param root the sealed root of the store, which the keys of its hashes come from
   * @returns true where the move into it was finished before
   * @throws PosthornError where it holds anything else, or servers run on it
   */
  async claim(mark: MovedMark, root: string): Promise<boolean> {
    const isNew = await this.#connections.transaction(async (run) => {
      await run({
        sql: 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))',
        parameters: [`posthorn move ${this.#schema}`],
      });
      if (await this.#isOurs(run, mark.id)) return false;
      await this.#refuseFilled(run);
      await run({
        sql: 'INSERT INTO posthorn.meta (key, value) VALUES ($1, $2)',
        parameters: [MOVED_FROM, JSON.stringify({ id: mark.id, isDone: false })],
      });
      return true;
    });
    if (!isNew && (await readMovedFrom(this.#run))?.isDone === true) return true;
    // Nodes show themselves first and look for the claim then; so either they find it, or they are found here.
    try {
      await this.#refuseServed();
    } catch (error) {
      if (isNew)
        await this.#connections.query({ sql: 'DELETE FROM posthorn.meta WHERE key = $1', parameters: [MOVED_FROM] });
      throw error;
    }
    await this.#connections.query({
      sql: `INSERT INTO posthorn.meta (key, value) VALUES ('root', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
      parameters: [root],
    });
    return false;
  }

  /**
   * Looks without changing anything.
   * @returns whether the move that the mark speaks of was begun here; else the database is free for one
   * @throws PosthornError where it is neither
   */
  async check(mark: MovedMark | null): Promise<boolean> {
    if (await this.#isOurs(this.#run, mark?.id ?? null)) return true;
    await this.#refuseFilled(this.#run);
    await this.#refuseServed();
    return false;
  }

  async progress(table: MovedTable): Promise<Progress> {
    const { rows } = await this.#connections.query<{ value: string }>({
      sql: 'SELECT value FROM posthorn.meta WHERE key = $1',
      parameters: [progressKey(table)],
    });
    return rows[0] === undefined ? nothing : (JSON.parse(rows[0].value) as Progress);
  }

  /**
   * Stores a page and how far that is, both or neither. Where the answer to an earlier commit was lost, its outcome is
   * waited for, and seen: the progress must be the one that this page goes on from.
   */
  async store(table: MovedTable, page: Page, from: Progress): Promise<Progress> {
    const to: Progress = {
      after: page.last ?? from.after,
      rows: from.rows + page.rows.length,
      isDone: page.isEnd,
    };
    await this.#connections.transaction(async (run) => {
      await this.#advance(run, table, from, to);
      if (page.rows.length > 0) await run({ sql: insertOf(table), parameters: arraysOf(table, page.rows) });
    });
    return to;
  }

  /** Every row of a table, a few thousand at a time, in no order. */
  async scan(table: MovedTable, each: (rows: Row[]) => void): Promise<void> {
    const names = table.columns.map(({ name }) => name);
    const cursor = `posthorn_move_${table.name}`;
    const reading = this.#connections.rawTransaction(async (run) => {
      const sql = `DECLARE ${cursor} NO SCROLL CURSOR FOR SELECT ${names.join(', ')} FROM posthorn.${table.name}`;
      await run({ sql, parameters: [] });
      for (let limit = FIRST_ROWS; ;) {
        const { rows } = await run<Record<string, Value>>({ sql: `FETCH ${limit} FROM ${cursor}`, parameters: [] });
        if (rows.length === 0) return;
        const values = rows.map((row) => names.map((name) => row[name]!));
        each(values);
        limit = Math.max(1, Math.min(MOST_ROWS, Math.floor(FETCH_CHARS / (charsOf(values) / rows.length + 1))));
      }
    });
    // Not tried again by itself: rows would be counted twice.
    await reading.catch((error: unknown) => {
      throw toStoreError(error);
    });
  }

  /** Tells the planner what is there: its own look would come minutes later. */
  async analyze(): Promise<void> {
    for (const { name } of movedTables)
      await this.#connections.query({ sql: `ANALYZE posthorn.${name}`, parameters: [] });
  }

  /** Declares it whole: servers may start. */
  async finish(mark: MovedMark): Promise<void> {
    await this.#connections.transaction(async (run) => {
      await run({
        sql: 'UPDATE posthorn.meta SET value = $2 WHERE key = $1',
        parameters: [MOVED_FROM, JSON.stringify({ id: mark.id, isDone: true })],
      });
      await run({ sql: 'DELETE FROM posthorn.meta WHERE key = ANY ($1)', parameters: [movedTables.map(progressKey)] });
    });
  }

  get #schema(): string {
    return this.#connections.schema;
  }

  async #isOurs(run: Run, id: string | null): Promise<boolean> {
    const found = await readMovedFrom(run);
    if (found === null) return false;
    if (found.id === id) return true;
    throw new PosthornError(
      'INVALID_STATE',
      `The schema "${this.#schema}" of the database holds ${found.isDone ? 'what was moved from another store' : 'a move of another store that has not ended'}. Name another one with --database-schema, or drop it.`,
    );
  }

  async #refuseFilled(run: Run): Promise<void> {
    const sql = `SELECT ${movedTables.map(({ name }) => `EXISTS (SELECT FROM posthorn.${name}) AS ${name}`).join(', ')}`;
    const { rows } = await run<Record<string, boolean>>({ sql, parameters: [] });
    const filled = Object.entries(rows[0]!).find(([, isFilled]) => isFilled)?.[0];
    if (filled === undefined) return;
    throw new PosthornError(
      'INVALID_STATE',
      `The schema "${this.#schema}" of the database is not empty (${filled}): a store is moved into an empty one only. Name another one with --database-schema, or drop it.`,
    );
  }

  async #refuseServed(): Promise<void> {
    const { rows } = await this.#connections.query<{ name: string }>({
      sql: `SELECT name FROM posthorn.nodes
            WHERE ended_at IS NULL AND renewed_at > clock_timestamp() - lease_ms * interval '1 ms' LIMIT 1`,
      parameters: [],
    });
    if (rows[0] === undefined) return;
    throw new PosthornError(
      'INVALID_STATE',
      `A Posthorn runs on this database (${rows[0].name}), or ran until a moment ago. Stop it, and move again.`,
    );
  }

  async #advance(run: Run, table: MovedTable, from: Progress, to: Progress): Promise<void> {
    const [key, before, after] = [progressKey(table), JSON.stringify(from), JSON.stringify(to)];
    const { rowCount } =
      from === nothing
        ? await run({
            sql: 'INSERT INTO posthorn.meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING',
            parameters: [key, after],
          })
        : await run({
            sql: 'UPDATE posthorn.meta SET value = $3 WHERE key = $1 AND value = $2',
            parameters: [key, before, after],
          });
    if (rowCount === 1) return;
    throw new PosthornError(
      'INVALID_STATE',
      `The copy of ${table.name} went on while it was waited for, by an earlier run or another one. Run the move again: it goes on from there.`,
    );
  }
}

function charsOf(rows: readonly Row[]): number {
  let chars = 0;
  for (const row of rows) for (const value of row) if (typeof value === 'string') chars += value.length;
  return chars;
}

function progressKey({ name }: MovedTable): string {
  return `move ${name}`;
}

function insertOf({ name, columns }: MovedTable): string {
  const arrays = columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
  return `INSERT INTO posthorn.${name} (${columns.map((column) => column.name).join(', ')}) SELECT * FROM unnest(${arrays})`;
}

const encoders: Record<ColumnType, (values: never[]) => Buffer> = {
  text: textArray,
  bigint: int8Array,
  integer: int4Array,
  'double precision': float8Array,
};

function arraysOf({ columns }: MovedTable, rows: readonly Row[]): Buffer[] {
  return columns.map(({ type }, index) => encoders[type](rows.map((row) => row[index]) as never[]));
}
