import type { OutboxValues } from './outbox-event.ts';
import type { SqliteDatabase } from './transactions.ts';

/**
 * The table that events are emitted to in an application's own SQLite database. Times are epoch milliseconds.
 * Columns that are not named in an INSERT have defaults: `INSERT INTO posthorn_outbox (type, data) VALUES (?, ?)`.
 */
export const outboxTableSql = `
CREATE TABLE IF NOT EXISTS posthorn_outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant_id TEXT NOT NULL DEFAULT 'default',
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  own_id TEXT,
  occurred_at INTEGER,
  category TEXT,
  group_key TEXT,
  source TEXT,
  created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
  failed_at INTEGER,
  error TEXT
);
CREATE INDEX IF NOT EXISTS posthorn_outbox_next ON posthorn_outbox (id) WHERE failed_at IS NULL;
`;

const insertSql =
  'INSERT INTO posthorn_outbox (type, data, tenant_id, own_id, occurred_at, category, group_key, source) ' +
  'VALUES (?, ?, ?, ?, ?, ?, ?, ?)';

interface Insert {
  run(...values: unknown[]): unknown;
}

const inserts = new WeakMap<SqliteDatabase, Insert>();

/** Makes the table for emitted events in your database, where it is not there yet. Call it once, before `emit`. */
export function createOutboxTable(db: SqliteDatabase): void {
  db.exec(outboxTableSql);
}

export function insertEvent(db: SqliteDatabase, event: OutboxValues): void {
  let insert = inserts.get(db);
  if (!insert) inserts.set(db, (insert = db.prepare(insertSql)));
  const { type, data, tenant, id, occurredAt, category, group, source } = event;
  insert.run(type, data, tenant, id, occurredAt?.getTime() ?? null, category, group, source);
}
