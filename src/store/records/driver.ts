import type { CompiledQuery, Kysely } from 'kysely';
import type { RecordChange } from '../store.ts';
import type { Tables } from './tables.ts';

/** SQL with its values bound, as Kysely compiles it. */
export interface Statement {
  sql: string;
  parameters: readonly unknown[];
}

/** What kept a change from being made. */
export interface Objection {
  index: number;
  row: unknown;
}

/** What the records need of an engine. Kysely compiles for its dialect, the engine runs. */
export interface RecordDriver {
  readonly dialect: 'sqlite' | 'postgres';
  /** The table or view that has events with their payload. */
  readonly eventsWithData: 'events' | 'events_with_data';
  /** Compiles only; it has no connection of its own. */
  readonly db: Kysely<Tables>;
  /** Rows of one query, from what is committed. */
  readonly read: <Row>(query: { compile(): CompiledQuery<Row> }) => Promise<Row[]>;
  /** All of them as one unit, durable when it resolves; to the rows each one changed. */
  readonly change: (queries: readonly { compile(): CompiledQuery }[], options?: ChangeOptions) => Promise<number[]>;
  /**
   * The same unless one of the objections, asked in turn within the same unit, finds a row: then nothing changes, and
   * it resolves to the first that did, by its index, and its row. Null: no objection, and everything is changed.
   */
  readonly changeUnless: (
    objections: readonly { compile(): CompiledQuery }[],
    queries: readonly { compile(): CompiledQuery }[],
    options?: ChangeOptions,
  ) => Promise<Objection | null>;
}

export interface ChangeOptions {
  /** What other nodes have to know of. */
  tell?: readonly RecordChange[];
  /** Changes under the same name, of whatever node, go one after the other. */
  inTurn?: readonly string[];
}
