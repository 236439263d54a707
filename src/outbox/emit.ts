import { readOutboxEvent, type OutboxEvent } from './outbox-event.ts';
import { insertEvent } from './sqlite-table.ts';
import { isSqlite, runnerOf, type PostgresTransaction, type SqliteDatabase } from './transactions.ts';

export interface EmitOptions {
  /** Schema of Posthorn's tables, as POSTHORN_DATABASE_SCHEMA has it; default `posthorn`. */
  schema?: string;
}

/**
 * Stores an event in your own transaction: it exists if, and only if, that commits, and is on its way within
 * milliseconds of it. This process needs no Posthorn; one that runs on the same database takes the event from there.
 *
 *     await emit(tx, { type: 'order.created', data: order, id: `order-${order.id}` });
 *
 * @param tx the transaction: of pg, postgres.js, Kysely, Drizzle, Prisma or Knex, or a function that runs SQL in it.
 *   With better-sqlite3 the database itself, inside `db.transaction`; there `emit` is done when it returns.
 * @throws PosthornError `BAD_REQUEST` before any SQL, where the event could never be sent: it names the field
 * @throws TypeError where `tx` is no transaction
 */
export function emit(tx: SqliteDatabase, event: OutboxEvent): void;
export function emit(tx: PostgresTransaction, event: OutboxEvent, options?: EmitOptions): Promise<void>;
export function emit(
  tx: SqliteDatabase | PostgresTransaction,
  event: OutboxEvent,
  options: EmitOptions = {},
): Promise<void> | void {
  if (!isSqlite(tx)) return emitInPostgres(tx, event, options);
  // Thrown, not rejected: nobody awaits inside db.transaction, and the transaction would commit without its event.
  insertEvent(tx, readOutboxEvent(event));
}

async function emitInPostgres(tx: PostgresTransaction, event: OutboxEvent, options: EmitOptions): Promise<void> {
  const { type, data, tenant, id, occurredAt, category, group, source } = readOutboxEvent(event);
  const { schema = 'posthorn' } = options;
  const run = runnerOf(tx);
  // Each value is given as text, whatever the driver would make of it.
  await run(
    `SELECT "${schema.replaceAll('"', '""')}".emit($1::text, $2::text, $3::text, $4::text, ` +
      '($5::text)::timestamptz, $6::text, $7::text, $8::text)',
    [type, data, tenant, id, occurredAt?.toISOString() ?? null, category, group, source],
  );
}
