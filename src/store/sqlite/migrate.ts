import Database from 'better-sqlite3';
import { existsSync } from 'node:fs';
import { PosthornError } from '../../errors.ts';
import { databasePath } from './database.ts';
import { migrations } from './migrations/index.ts';
import type { Migration } from './migrations/index.ts';

const LEDGER = `
CREATE TABLE IF NOT EXISTS migrations (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT`;

interface Applied {
  number: number;
  name: string;
  checksum: string;
}

/**
 * Which migrations the store in a data directory still lacks, by name, oldest first. Opens it read-only.
 * @throws PosthornError where the store was made by a newer Posthorn, or an applied migration differs from ours
 */
export function pendingMigrations(dataDir: string): string[] {
  const path = databasePath(dataDir);
  if (!existsSync(path)) return migrations.map(nameOf);
  const db = new Database(path, { readonly: true });
  try {
    return pendingIn(db).map(nameOf);
  } finally {
    db.close();
  }
}

/** The migrations a database lacks. Throws as {@link pendingMigrations} does. */
export function pendingIn(db: Database.Database): Migration[] {
  const known = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'").get();
  if (known === undefined) return [...migrations];
  const applied = db.prepare('SELECT number, name, checksum FROM migrations ORDER BY number').all() as Applied[];
  for (const [index, row] of applied.entries()) {
    const ours = migrations[index];
    if (!ours) {
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `The store was written by a newer Posthorn (migration ${row.number} "${row.name}"). Run that version or a later one.`,
      );
    }
    if (ours.checksum !== row.checksum || ours.number !== row.number) {
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `Migration ${row.number} "${row.name}" of the store is not the one this Posthorn knows. Run the version that made it.`,
      );
    }
  }
  return migrations.slice(applied.length);
}

/** Applies what is missing, each migration in a transaction of its own with its line in the ledger. `now`: epoch ms. */
export function migrate(db: Database.Database, now: number): void {
  const missing = pendingIn(db);
  if (missing.length === 0) return;
  db.exec(LEDGER);
  const record = db.prepare('INSERT INTO migrations (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)');
  for (const migration of missing) {
    db.transaction(() => {
      db.exec(migration.sql);
      record.run(migration.number, migration.name, migration.checksum, now);
    }).immediate();
  }
  // This connection plans with the statistics too, as those opened later will.
  db.exec('ANALYZE sqlite_schema');
}

function nameOf(migration: Migration): string {
  return `${String(migration.number).padStart(3, '0')}-${migration.name}`;
}
