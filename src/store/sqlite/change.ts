import type Database from 'better-sqlite3';
import type { Objection, Statement } from '../records/driver.ts';
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

export function packChangeUnless(
  stream: Stream,
  objections: readonly Statement[],
  statements: readonly Statement[],
): void {
  stream.push(objections.length);
  packChange(stream, objections);
  packChange(stream, statements);
}

/** Changes of records: the statements of one call, as one unit; returns the rows each of them changed. `changeUnless` asks first. */
export function createChange({ db }: WriterContext): { change: Run; changeUnless: Run } {
  const statements = new StatementCache(db);

  function runAll(stream: Stream, at: number, end: number): number[] {
    const changes: number[] = [];
    for (let i = at; i < end; i += 2) {
      changes.push(statements.get(stream[i] as string).run(...(stream[i + 1] as unknown[])).changes);
    }
    return changes;
  }

  return {
    change: (stream, at) => runAll(stream, at, stream[at - 1] as number),

    changeUnless(stream, at): Objection | null {
      const count = stream[at] as number;
      const first = at + 1;
      for (let index = 0; index < count; index++) {
        const i = first + index * 2;
        const row = statements.get(stream[i] as string).get(...(stream[i + 1] as unknown[]));
        if (row !== undefined) return { index, row };
      }
      runAll(stream, first + count * 2, stream[at - 1] as number);
      return null;
    },
  };
}
