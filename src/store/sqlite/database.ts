import Database from 'better-sqlite3';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { PosthornError } from '../../errors.ts';

/** 8 KiB: 2 µs of CPU a delivery less than 4 KiB, and 1 % smaller. */
export const PAGE_BYTES = 8192;
/** The writer's page cache: holds the growing ends of the trees at any number of rows, and bounds memory. */
const WRITER_CACHE_KIB = 32 * 1024;
const READER_CACHE_KIB = 16 * 1024;
/** How long to wait for somebody who looks at the file with another tool and locks it. */
const BUSY_MS = 5_000;

export function databasePath(dataDir: string): string {
  return join(dataDir, 'posthorn.db');
}

/** The one connection that writes: WAL, every commit fsynced, checkpoints run by the writer when it has time. */
export function openForWriting(dataDir: string, maxBytes: number | null): Database.Database {
  const db = new Database(databasePath(dataDir), { timeout: BUSY_MS });
  if (process.platform !== 'win32') chmodSync(databasePath(dataDir), 0o600); // its log takes the same mode
  db.pragma(`page_size = ${PAGE_BYTES}`);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('wal_autocheckpoint = 0');
  db.pragma(`cache_size = -${WRITER_CACHE_KIB}`);
  db.pragma('temp_store = MEMORY');
  if (maxBytes !== null) db.pragma(`max_page_count = ${Math.max(1, Math.floor(maxBytes / PAGE_BYTES))}`);
  return db;
}

/** A connection for lists and gets: sees what is committed, changes nothing, blocks nobody. */
export function openForReading(dataDir: string): Database.Database {
  const db = new Database(databasePath(dataDir), { readonly: true, timeout: BUSY_MS });
  db.pragma(`cache_size = -${READER_CACHE_KIB}`);
  db.pragma('temp_store = MEMORY');
  return db;
}

/**
 * Takes the data directory for this process: an exclusive lock of the operating system on `posthorn.lock`, which
 * ends with the process however it ends. Close the connection to give it back.
 * @throws PosthornError `STORE_UNAVAILABLE` with one line that names the directory, where somebody holds it
 */
export function lockDataDir(dataDir: string): Database.Database {
  const lock = new Database(join(dataDir, 'posthorn.lock'), { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    lock.close();
    throw new PosthornError(
      'STORE_UNAVAILABLE',
      `The data directory ${dataDir} is in use by another Posthorn. Stop that one, or choose another directory with POSTHORN_DATA_DIR.`,
      { cause },
    );
  }
}
