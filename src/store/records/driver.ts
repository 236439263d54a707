import type { CompiledQuery } from 'kysely';

/** SQL with its values bound, as Kysely compiles it. */
export interface Statement {
  sql: string;
  parameters: readonly unknown[];
}

/** What the records need of an engine. Kysely compiles; the engine runs. */
export interface RecordDriver {
  /** Rows of one query, from what is committed. */
  read<Row>(query: CompiledQuery<Row>): Promise<Row[]>;
  /** All of them as one unit, durable when it resolves; to the rows each one changed. */
  change(queries: readonly CompiledQuery[]): Promise<number[]>;
}
