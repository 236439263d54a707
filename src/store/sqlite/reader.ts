// The reader's thread: lists and gets on a connection of their own, so that a long list delays no commit.
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
const db = openForReading(dataDir);
const statements = new StatementCache(db);

port.on('message', (request: ReaderRequest | 'close') => {
  if (request === 'close') {
    db.close();
    port.close();
    return;
  }
  const { id, sql, parameters } = request;
  try {
    port.postMessage({ id, rows: statements.get(sql).all(...parameters) } satisfies ReaderReply);
  } catch (error) {
    port.postMessage({ id, failure: describe(error, dataDir) } satisfies ReaderReply);
  }
});
