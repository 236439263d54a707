/** Runs one statement of PostgreSQL, with `$1`, `$2` … for the values, inside the transaction of its caller. */
export type SqlRunner = (sql: string, values: readonly unknown[]) => unknown;

/** Whatever its parameters are: what counts is that it is there. */
type Callable = (...args: never[]) => unknown;

/** A transaction of one of the drivers, told by its shape, or a function that runs SQL in it. */
export type PostgresTransaction =
  | SqlRunner
  /** pg: a Client, or a PoolClient that `pool.connect()` gave. */
  | { query: Callable }
  /** postgres.js: what `sql.begin` gives. */
  | { unsafe: Callable }
  /** Kysely: what `db.transaction().execute` gives. */
  | { executeQuery: Callable }
  /** Drizzle on node-postgres or postgres.js: what `db.transaction` gives. */
  | { execute: Callable }
  /** Prisma: what an interactive `prisma.$transaction` gives. */
  | { $executeRawUnsafe: Callable }
  /** Knex: what `knex.transaction` gives. */
  | { raw: Callable };

/** better-sqlite3, or what has its shape, such as the DatabaseSync of node:sqlite. */
export interface SqliteDatabase {
  prepare(sql: string): { run(...values: never[]): unknown };
  exec(sql: string): unknown;
}

/** What a driver's object may have, so far as it is looked at here. */
interface Shape {
  prepare?: unknown;
  exec?: unknown;
  unsafe?: unknown;
  begin?: unknown;
  raw?: unknown;
  isTransaction?: unknown;
  executeQuery?: unknown;
  $executeRawUnsafe?: unknown;
  $connect?: unknown;
  execute?: unknown;
  select?: unknown;
  rollback?: unknown;
  query?: unknown;
  totalCount?: unknown;
}

const PLACEHOLDER = /\$\d+/g;

export function isSqlite(tx: unknown): tx is SqliteDatabase {
  const { prepare, exec } = shapeOf(tx);
  return typeof prepare === 'function' && typeof exec === 'function';
}

/**
 * How SQL is run in this transaction.
 *
 * Where a driver's object tells that it is none, it is refused: on a connection of its own the event would exist even
 * when the caller's transaction rolls back.
 * @throws TypeError that says what to pass instead
 */
export function runnerOf(tx: PostgresTransaction): SqlRunner {
  const shape = shapeOf(tx);
  if (typeof shape.executeQuery === 'function') {
    if (shape.isTransaction === false) throw outside('Kysely', 'what db.transaction().execute(async (trx) => …) gives');
    return runKysely(tx as Kysely);
  }
  if (typeof shape.$executeRawUnsafe === 'function') {
    if (typeof shape.$connect === 'function') {
      throw outside('Prisma', 'what prisma.$transaction(async (tx) => …) gives');
    }
    return (sql, values) => (tx as Prisma).$executeRawUnsafe(sql, ...values);
  }
  if (typeof shape.unsafe === 'function') {
    if (typeof shape.begin === 'function') throw outside('postgres.js', 'what sql.begin(async (sql) => …) gives');
    return (sql, values) => (tx as PostgresJs).unsafe(sql, values);
  }
  if (typeof shape.raw === 'function') {
    if (shape.isTransaction !== true) throw outside('Knex', 'what knex.transaction(async (trx) => …) gives');
    return (sql, values) => (tx as Knex).raw(sql.replace(PLACEHOLDER, '?'), values);
  }
  if (typeof shape.execute === 'function' && typeof shape.select === 'function') {
    if (typeof shape.rollback !== 'function') throw outside('Drizzle', 'what db.transaction(async (tx) => …) gives');
    return (sql, values) => (tx as Drizzle).execute(new DrizzleSql(sql, values));
  }
  if (typeof shape.query === 'function') {
    if (typeof shape.totalCount === 'number') throw outside('pg', 'the client that pool.connect() gives');
    return (sql, values) => (tx as Pg).query(sql, values);
  }
  if (typeof tx === 'function') return tx;
  throw new TypeError(
    'emit: the first argument is no transaction that is known; pass one of pg, postgres.js, Kysely, Drizzle, Prisma, ' +
      'Knex or better-sqlite3, or a function (sql, values) => … that runs SQL in yours.',
  );
}

function shapeOf(tx: unknown): Shape {
  return (typeof tx === 'object' || typeof tx === 'function') && tx !== null ? tx : {};
}

function outside(driver: string, remedy: string): TypeError {
  return new TypeError(
    `emit: this ${driver} object is no transaction, so the event would exist even when yours rolls back. Pass ${remedy}.`,
  );
}

interface Pg {
  query(sql: string, values: readonly unknown[]): unknown;
}
interface PostgresJs {
  unsafe(sql: string, values: readonly unknown[]): unknown;
}
interface Prisma {
  $executeRawUnsafe(sql: string, ...values: unknown[]): unknown;
}
interface Knex {
  raw(sql: string, values: readonly unknown[]): unknown;
}
interface Drizzle {
  execute(query: DrizzleSql): unknown;
}
interface Kysely {
  executeQuery(query: object): unknown;
}

/** As Kysely's own `CompiledQuery.raw` makes it; theirs may be another version than ours, so nothing is imported. */
function runKysely(tx: Kysely): SqlRunner {
  return (sql, parameters) =>
    tx.executeQuery({
      sql,
      parameters,
      query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
      queryId: { queryId: 'posthorn' },
    });
}

/** What Drizzle calls an SQLWrapper, finished: text and values as they are. Its strings would carry no values. */
class DrizzleSql {
  readonly #query: { sql: string; params: readonly unknown[] };

  constructor(sql: string, params: readonly unknown[]) {
    this.#query = { sql, params };
  }

  getSQL(): this {
    return this;
  }

  toQuery(): { sql: string; params: readonly unknown[] } {
    return this.#query;
  }
}
