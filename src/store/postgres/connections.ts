import { createHash } from 'node:crypto';
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
/**
 * The share of the connections that is kept for lists and look-ups: a long one must not hold up a delivery. Two are for
 * everything: whoever takes from the outbox keeps one, and needs another to store what it took.
 */
const OTHERS = 0.4;
const INT8 = 20;
/**
 * Named statements and transactions find every row by an index, in its order. Left to itself the planner reads the whole
 * table of open deliveries while that is small, or all of a line to sort it, and keeps that plan when the table has grown:
 * measured at 190 µs a delivery instead of 40.
 */
const BY_INDEX = {
  ...{ enable_seqscan: 'off', enable_bitmapscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off' },
  ...{ enable_sort: 'off', enable_incremental_sort: 'off' },
};

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
  readonly #quoted: string;
  /** SQL in this database's schema, of named statements. */
  readonly #texts = new Map<string, { name: string; text: string }>();
  #pools: { named: Pool; others: Pool } | null = null;
  #prepares = true;
  /** Behind a pooler connections of the server are shared: nothing may be left on them, and what is set goes with a transaction. */
  #isPooled = false;

  constructor(options: ConnectionOptions) {
    this.#o = options;
    this.#quoted = `"${options.schema.replaceAll('"', '""')}".`;
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
        if (left === 1 || !isRepeatable(error)) throw toStoreError(error);
      }
    }
  }

  /** The same once, with the error as the driver throws it. */
  async raw<Row extends QueryResultRow = QueryResultRow>(statement: NamedStatement): Promise<Answer<Row>> {
    try {
      return await this.#once<Row>(statement);
    } catch (error) {
      if (!this.#unprepared(error)) throw error;
      return this.#once<Row>(statement);
    }
  }

  async #once<Row extends QueryResultRow>(statement: NamedStatement): Promise<Answer<Row>> {
    if (this.#isPooled && statement.name !== undefined) return this.#transactionOnce((run) => run<Row>(statement));
    const client = await this.#connect(statement.name === undefined ? 'others' : 'named');
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
        if (left === 1 || !isRepeatable(error)) throw toStoreError(error);
      }
    }
  }

  /** The same once, with the error as the driver throws it. */
  async rawTransaction<Result>(work: (run: Run) => Promise<Result>): Promise<Result> {
    try {
      return await this.#transactionOnce(work);
    } catch (error) {
      if (!this.#unprepared(error)) throw error;
      return this.#transactionOnce(work);
    }
  }

  async #transactionOnce<Result>(work: (run: Run) => Promise<Result>): Promise<Result> {
    const client = await this.#connect('named');
    let fault: unknown;
    try {
      await client.query(this.#isPooled ? `BEGIN; ${setAll({ ...session(this.#o), ...BY_INDEX }, 'LOCAL')}` : 'BEGIN');
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

  /** Ends all connections; the next statement makes new ones. */
  async end(): Promise<void> {
    const pools = this.#pools;
    this.#pools = null;
    await Promise.all([...new Set(pools ? [pools.named, pools.others] : [])].map((pool) => pool.end()));
  }

  async #connect(kind: 'named' | 'others'): Promise<PoolClient> {
    this.#pools ??= this.#open();
    try {
      return await this.#pools[kind].connect();
    } catch (error) {
      throw neverSent(error);
    }
  }

  #open(): { named: Pool; others: Pool } {
    const { poolSize } = this.#o;
    const byIndex = { ...session(this.#o), ...BY_INDEX };
    const others = Math.floor(poolSize * OTHERS);
    const named = this.#pool(others > 0 ? poolSize - others : poolSize, byIndex);
    return { named, others: others > 0 ? this.#pool(others, session(this.#o)) : named };
  }

  #pool(max: number, settings: Readonly<Record<string, string>>): Pool {
    const pool = new pg.Pool({
      ...clientOptions(this.#o),
      max,
      idleTimeoutMillis: IDLE_MS,
      allowExitOnIdle: true,
      Client,
      // By statements, not at start-up: poolers refuse start-up parameters that they do not know.
      // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the pool waits for it, whatever its types say
      onConnect: (client) => this.#prepare(client, settings),
    });
    pool.on('error', (error) => {
      this.#o.onFault(error);
    });
    pool.on('connect', (client) => {
      // While it is in use the pool does not listen: the query under way fails, which is word enough.
      client.on('error', () => undefined);
    });
    return pool;
  }

  async #prepare(client: pg.ClientBase, settings: Readonly<Record<string, string>>): Promise<void> {
    if (await this.#isShared(client)) this.#isPooled = true;
    else await client.query(setAll(settings));
  }

  /** True where somebody else than the process that was logged in to answers. */
  async #isShared(client: pg.ClientBase): Promise<boolean> {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return rows[0]!.pid !== (client as unknown as { processID: number }).processID;
  }

  async #run<Row extends QueryResultRow>(
    client: PoolClient,
    { name, sql, parameters }: NamedStatement,
  ): Promise<Answer<Row>> {
    const values = parameters as unknown[];
    const named = name === undefined ? { text: this.inSchema(sql) } : this.#named(name, sql);
    const { rows, rowCount } = await client.query<Row>(
      this.#prepares ? { ...named, values } : { text: named.text, values },
    );
    return { rows, rowCount: rowCount ?? 0 };
  }

  /**
   * The statement's name on the server tells its text, too: connections of a pooler are shared with other schemas and other
   * releases, whose statements have the same names.
   */
  #named(name: string, sql: string): { name: string; text: string } {
    let named = this.#texts.get(name);
    if (named === undefined) {
      const text = this.inSchema(sql);
      const digest = createHash('sha256').update(text).digest('base64url').slice(0, 8);
      this.#texts.set(name, (named = { name: `posthorn_${name}_${digest}`, text }));
    }
    return named;
  }

  /** True where the fault is a pooler that keeps no prepared statements: from now on there are none. Nothing was done then. */
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
      getTypeParser: ((oid: number, format?: 'text'): unknown =>
        oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  };
}

/** The driver leaves a connection open where logging in fails for want of a password; the server ends it a minute later. */
class Client extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
    if (!callback) return super.connect();
    super.connect((error: Error | null) => {
      if (error) (this as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      callback(error!);
    });
    return undefined;
  }
}

/** `SET` statements; `LOCAL` ones end with their transaction. */
function setAll(settings: Readonly<Record<string, string>>, scope: 'LOCAL' | '' = ''): string {
  return Object.entries(settings)
    .map(([name, value]) => `SET ${scope} ${name} = ${value}`)
    .join('; ');
}

function session({ statementTimeoutMs }: ConnectionOptions): Record<string, string> {
  return {
    statement_timeout: String(statementTimeoutMs),
    idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_MS),
    // No look through a table is worth more than one core: deliveries go on beside it.
    max_parallel_workers_per_gather: '0',
  };
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
