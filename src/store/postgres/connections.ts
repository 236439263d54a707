import pg from 'pg';
import type { Pool, PoolClient, QueryResultRow } from 'pg';
import type { Statement } from '../records/driver.ts';
import { isRepeatable, isUnprepared, neverSent, sqlState, toStoreError } from './failure.ts';

/** How long a connection may take to come about, from the pool or anew. */
const CONNECT_MS = 5_000;
/** What the client waits beyond the server's own time-out before it takes a connection for dead. */
const GRACE_MS = 1_000;
const IDLE_MS = 60_000;
/** A transaction that we forgot to end must not hold locks, and the past, for ever. */
const IDLE_IN_TRANSACTION_MS = 60_000;
/** Tries of a statement that lost against another transaction. */
const TRIES = 5;
const INT8 = 20;

export interface ConnectionOptions {
  /** `postgres://…`, with whatever libpq reads in it (`sslmode`, `sslrootcert`). */
  url: string;
  /** Schema of all tables. */
  schema: string;
  poolSize: number;
  /** Longest that one statement may take, ms. */
  statementTimeoutMs: number;
  /** Connections that went wrong while idle. */
  onFault: (error: unknown) => void;
}

/** A statement; with a name it is prepared once per connection, for those that run all the time. */
export interface NamedStatement extends Statement {
  readonly name?: string;
}

export interface Answer<Row> {
  rows: Row[];
  rowCount: number;
}

/** Runs statements: on any connection, or inside one transaction. Errors are those of {@link toStoreError}. */
export interface Run {
  <Row extends QueryResultRow = QueryResultRow>(statement: NamedStatement): Promise<Answer<Row>>;
}

/**
 * The pool of connections. SQL names its schema `posthorn.`, whatever it is called in this database. Named
 * statements are prepared once per connection; behind a pooler that cannot keep names it goes on without.
 */
export class Connections {
  readonly #o: ConnectionOptions;
  readonly #pool: Pool;
  readonly #quoted: string;
  /** SQL in this database's schema, of named statements. */
  readonly #texts = new Map<string, string>();
  #prepares = true;

  constructor(options: ConnectionOptions) {
    this.#o = options;
    this.#quoted = `"${options.schema.replaceAll('"', '""')}".`;
    this.#pool = new pg.Pool({
      ...clientOptions(options),
      max: options.poolSize,
      idleTimeoutMillis: IDLE_MS,
      allowExitOnIdle: true,
    });
    this.#pool.on('error', (error) => {
      options.onFault(error);
    });
    this.#pool.on('connect', (client) => {
      prepareSession(client, options);
    });
  }

  get schema(): string {
    return this.#o.schema;
  }

  /** The SQL with this database's schema. */
  inSchema(sql: string): string {
    return sql.replaceAll('posthorn.', this.#quoted);
  }

  /** One statement in a transaction of its own, tried again where another transaction was in its way. */
  async query<Row extends QueryResultRow = QueryResultRow>(statement: NamedStatement): Promise<Answer<Row>> {
    for (let left = TRIES; ; left--) {
      try {
        return await this.raw<Row>(statement);
      } catch (error) {
        if (left === 1 || !(isRepeatable(error) || this.#unprepared(error))) throw toStoreError(error);
      }
    }
  }

  /** The same once, with the error as the driver throws it. */
  async raw<Row extends QueryResultRow = QueryResultRow>(statement: NamedStatement): Promise<Answer<Row>> {
    const client = await this.#connect();
    let fault: unknown;
    try {
      return await this.#run<Row>(client, statement);
    } catch (error) {
      fault = error;
      throw error;
    } finally {
      client.release(isBroken(fault));
    }
  }

  /** Several statements as one unit; tried again as a whole where another transaction was in its way. */
  async transaction<Result>(work: (run: Run) => Promise<Result>): Promise<Result> {
    for (let left = TRIES; ; left--) {
      try {
        return await this.rawTransaction(work);
      } catch (error) {
        if (left === 1 || !(isRepeatable(error) || this.#unprepared(error))) throw toStoreError(error);
      }
    }
  }

  /** The same once, with the error as the driver throws it. */
  async rawTransaction<Result>(work: (run: Run) => Promise<Result>): Promise<Result> {
    const client = await this.#connect();
    let fault: unknown;
    try {
      await client.query('BEGIN');
      const result = await work((statement) => this.#run(client, statement));
      await client.query('COMMIT');
      return result;
    } catch (error) {
      fault = error;
      if (!isBroken(error)) {
        await client.query('ROLLBACK').catch((second: unknown) => {
          fault = second;
        });
      }
      throw error;
    } finally {
      client.release(isBroken(fault));
    }
  }

  /** A connection outside the pool, for `LISTEN`; the caller connects it, and ends it. */
  single(): pg.Client {
    const client = new pg.Client(clientOptions(this.#o));
    client.on('error', () => undefined); // `end` follows, which the caller hears
    return client;
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }

  async #connect(): Promise<PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw neverSent(error);
    }
  }

  async #run<Row extends QueryResultRow>(
    client: PoolClient,
    { name, sql, parameters }: NamedStatement,
  ): Promise<Answer<Row>> {
    let text = name === undefined ? this.inSchema(sql) : this.#texts.get(name);
    if (text === undefined) this.#texts.set(name!, (text = this.inSchema(sql)));
    const values = parameters as unknown[];
    const { rows, rowCount } = await client.query<Row>(
      name !== undefined && this.#prepares ? { name: `posthorn_${name}`, text, values } : { text, values },
    );
    return { rows, rowCount: rowCount ?? 0 };
  }

  /** True where the fault is a pooler that keeps no prepared statements: from now on there are none. */
  #unprepared(error: unknown): boolean {
    if (!isUnprepared(error)) return false;
    this.#prepares = false;
    return true;
  }
}

function clientOptions({ url, statementTimeoutMs }: ConnectionOptions): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: 'posthorn',
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: statementTimeoutMs + GRACE_MS,
    keepAlive: true,
    types: {
      // Counts and epoch milliseconds: whole numbers that a JavaScript number holds.
      getTypeParser: ((oid: number, format?: 'text') =>
        oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  };
}

/**
 * Set by a statement, not at start-up: poolers refuse start-up parameters that they do not know.
 *
 * Every statement of ours finds its rows by an index. Left to itself the planner reads the whole table of open deliveries
 * while that is small, joins it with what is to be settled by comparing each with each, and keeps that plan when the table
 * has grown: measured at 190 µs a delivery instead of 50.
 */
function prepareSession(client: PoolClient, { statementTimeoutMs }: ConnectionOptions): void {
  const session = {
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    enable_seqscan: 'off',
    enable_hashjoin: 'off',
    enable_mergejoin: 'off',
  };
  const sql = Object.entries(session)
    .map(([name, value]) => `SET ${name} = ${value}`)
    .join('; ');
  client.query(sql).catch(() => undefined);
}

/** A connection that failed without a word of the server's is not used again. */
function isBroken(error: unknown): boolean {
  if (error === undefined) return false;
  const state = sqlState(error);
  return state === null ? !isOurs(error) : state.startsWith('08') || state.startsWith('57P');
}

/** Thrown by our own code inside a transaction: the connection is well. */
function isOurs(error: unknown): boolean {
  return error instanceof Error && error.name === 'PosthornError';
}
