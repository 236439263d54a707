// The reader's thread: lists and gets on a connection of their own, so that a long list delays no commit.
import type Database from 'better-sqlite3';
import { parentPort, workerData } from 'node:worker_threads';
import type { Statement } from '../records/driver.ts';
import { StatementCache } from './change.ts';
import { openForReading } from './database.ts';
import { describe } from './failure.ts';
import type { Failure } from './failure.ts';

export interface ReaderRequest extends Statement {
  id: number;
}

export type ReaderReply = { id: number; rows: unknown[] } | { id: number; failure: Failure };

const { dataDir } = workerData as { dataDir: string };
const port = parentPort!;
/** Opened at the first read: the thread starts while the writer still makes the file. */
let open: { db: Database.Database; statements: StatementCache } | null = null;

function connect(): { db: Database.Database; statements: StatementCache } {
  const db = openForReading(dataDir);
  return { db, statements: new StatementCache(db) };
}

port.on('message', (request: ReaderRequest | 'close') => {
  if (request === 'close') {
    open?.db.close();
    port.close();
    return;
  }
  const { id, sql, parameters } = request;
  try {
    open ??= connect();
    port.postMessage({ id, rows: open.statements.get(sql).all(...parameters) } satisfies ReaderReply);
  } catch (error) {
    port.postMessage({ id, failure: describe(error, dataDir) } satisfies ReaderReply);
  }
});
