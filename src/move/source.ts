import type Database from 'better-sqlite3';
import { existsSync } from 'node:fs';
import { PosthornError } from '../errors.ts';
import { timeOf } from '../model/id.ts';
import type { KeyRing } from '../store/seal.ts';
import { databasePath, lockDataDir, openForReading, openForWriting } from '../store/sqlite/database.ts';
import { pendingIn } from '../store/sqlite/migrate.ts';
import { markMoved, markMoving, readMark, unmark } from '../store/sqlite/moved.ts';
import type { MovedMark } from '../store/sqlite/moved.ts';
import { beginSession, endSession } from '../store/sqlite/session.ts';
import { movedTables } from './tables.ts';
import type { MovedTable } from './tables.ts';

/** A page ends at so many bytes of text, whatever its rows: a payload may have megabytes. */
const PAGE_BYTES = 4 * 1024 * 1024;
const NUL = '\0';

export type Value = string | number | null;
/** The values of {@link MovedTable.columns}, in their order. */
export type Row = Value[];

export interface Page {
  rows: Row[];
  /** Key of the last row; null where the page is empty. */
  last: Value[] | null;
  isEnd: boolean;
}

/** The embedded store that is moved: locked for as long as it is open, so that nobody writes to it. */
export class Source {
  readonly dataDir: string;
  readonly #lock: Database.Database;
  #reader: Database.Database | null = null;
  readonly #pages = new Map<string, Database.Statement>();

  /** @throws PosthornError with one line, where there is no store, it lacks migrations, or somebody uses it */
  constructor(dataDir: string) {
    this.dataDir = dataDir;
    if (!existsSync(databasePath(dataDir))) {
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `There is no embedded store in ${dataDir}: name its directory with --data-dir.`,
      );
    }
    this.#lock = lockDataDir(dataDir);
    try {
      if (pendingIn(this.#db).length > 0) {
        throw new PosthornError(
          'STORE_UNAVAILABLE',
          `The store in ${dataDir} needs migrations before it can be moved: run \`posthorn migrate --data-dir ${dataDir}\`.`,
        );
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** How an earlier move left the store; null = it was never moved. */
  get mark(): MovedMark | null {
    return readMark(this.#db);
  }

  /**
   * Marks it as moving: no server starts on it any more. What was on the wire when its last server ended is due `now`
   * (epoch ms), as it would be at a start.
   */
  begin(to: string, now: number): MovedMark {
    return this.#change((db) => {
      endSession(db, beginSession(db, now), now);
      return markMoving(db, to, now);
    });
  }

  /** Marks it as moved. */
  finish(mark: MovedMark): void {
    this.#change((db) => {
      markMoved(db, mark);
    });
  }

  /** Takes the mark off. */
  undo(): void {
    this.#change(unmark);
  }

  /** The root of derived keys, sealed. */
  root(): string {
    return this.#db.prepare("SELECT value FROM meta WHERE key = 'root'").pluck().get() as string;
  }

  /** @throws PosthornError where the master keys do not open what the store keeps sealed */
  checkKeys(ring: KeyRing): void {
    const rows = this.#db.prepare('SELECT tenant_id, id, sealed FROM secrets').iterate() as IterableIterator<{
      tenant_id: string;
      id: string;
      sealed: string;
    }>;
    try {
      ring.unseal(this.root(), '', 'root');
      for (const { tenant_id, id, sealed } of rows) ring.unseal(sealed, tenant_id, id);
    } catch (cause) {
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `The master key does not open the secrets in ${this.dataDir}: ${(cause as Error).message} Give the keys that its server runs with in POSTHORN_MASTER_KEY or POSTHORN_MASTER_KEY_FILE.`,
        { cause },
      );
    } finally {
      rows.return?.();
    }
  }

  count(table: MovedTable): number {
    return this.#db
      .prepare(`SELECT count(*) FROM ${table.from}${whereOf([table.where])}`)
      .pluck()
      .get() as number;
  }

  /** When its oldest event was accepted, epoch ms; null where there is none. */
  oldestAt(): number | null {
    const id = this.#db.prepare('SELECT min(id) FROM events').pluck().get() as string | null;
    return id === null ? null : timeOf(id);
  }

  /** The rows behind `after`, at most `limit`, and no more than some megabytes. */
  page(table: MovedTable, after: readonly Value[] | null, limit: number): Page {
    const statement = this.#statement(table, after !== null);
    const page: Page = { rows: [], last: null, isEnd: false };
    let bytes = 0;
    for (const values of statement.iterate(...(after ?? [])) as IterableIterator<Value[]>) {
      const row = values.slice(table.key.length);
      for (const [column, value] of row.entries()) {
        if (typeof value !== 'string') continue;
        bytes += value.length;
        if (value.includes(NUL)) row[column] = withoutNul(value);
      }
      page.rows.push(row);
      page.last = values.slice(0, table.key.length);
      if (page.rows.length === limit || bytes >= PAGE_BYTES) return page;
    }
    page.isEnd = true;
    return page;
  }

  close(): void {
    this.#reader?.close();
    this.#lock.close();
  }

  get #db(): Database.Database {
    return (this.#reader ??= openForReading(this.dataDir));
  }

  #statement(table: MovedTable, isBehind: boolean): Database.Statement {
    const name = `${table.name} ${isBehind}`;
    let statement = this.#pages.get(name);
    if (!statement) {
      const key = table.key.join(', ');
      const behind = isBehind ? `(${key}) > (${table.key.map(() => '?').join(', ')})` : null;
      const columns = table.columns.map(({ from }) => from).join(', ');
      const sql = `SELECT ${key}, ${columns} FROM ${table.from}${whereOf([table.where, behind])} ORDER BY ${key}`;
      this.#pages.set(name, (statement = this.#db.prepare(sql).raw()));
    }
    return statement;
  }

  /** Writes. The reader is away meanwhile: the last one to close folds the log into the database, and only a writer may. */
  #change<Result>(work: (db: Database.Database) => Result): Result {
    this.#pages.clear();
    this.#reader?.close();
    this.#reader = null;
    const db = openForWriting(this.dataDir, null);
    try {
      return work(db);
    } finally {
      db.close();
    }
  }
}

/** Rows in the store, by table: what there is to move. */
export function countRows(source: Source): Record<string, number> {
  return Object.fromEntries(movedTables.map((table) => [table.name, source.count(table)]));
}

/** PostgreSQL has no NUL in its texts. Descriptions could hold one; nothing that is signed, compared or parsed does. */
function withoutNul(text: string): string {
  return text.replaceAll(NUL, '\uFFFD');
}

function whereOf(conditions: readonly (string | null)[]): string {
  const given = conditions.filter((condition) => condition !== null);
  return given.length === 0 ? '' : ` WHERE ${given.join(' AND ')}`;
}
