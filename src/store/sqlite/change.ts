import type Database from 'better-sqlite3';
import type { Statement } from '../records/driver.ts';
import type { Run, Stream, WriterContext } from './verbs.ts';

const KEPT_STATEMENTS = 200;

/** Prepared statements by their text; the ones used longest ago are forgotten. */
export class StatementCache {
  readonly #db: Database.Database;
  readonly #kept = new Map<string, Database.Statement>();

  constructor(db: Database.Database) {
    this.#db = db;
  }

  get(sql: string): Database.Statement {
    let statement = this.#kept.get(sql);
    if (statement) this.#kept.delete(sql);
    else statement = this.#db.prepare(sql);
    this.#kept.set(sql, statement);
    if (this.#kept.size > KEPT_STATEMENTS) this.#kept.delete(this.#kept.keys().next().value!);
    return statement;
  }
}

export function packChange(stream: Stream, statements: readonly Statement[]): void {
  for (const { sql, parameters } of statements) stream.push(sql, parameters);
}

/** Changes of records: the statements of one call, as one unit; returns the rows each of them changed. */
export function createChange({ db }: WriterContext): { change: Run } {
  const statements = new StatementCache(db);
  return {
    change(stream, at) {
      const changes: number[] = [];
      const end = stream[at - 1] as number;
      for (let i = at; i < end; i += 2) {
        changes.push(statements.get(stream[i] as string).run(...(stream[i + 1] as unknown[])).changes);
      }
      return changes;
    },
  };
}
