import type Database from 'better-sqlite3';
import { randomUUID } from 'node:crypto';
import { PosthornError } from '../../errors.ts';

const KEY = 'moved_to';

/** Says of a data directory that its store is moving to PostgreSQL, or has moved: no server starts on it any more. */
export interface MovedMark {
  /** Of this move: the database keeps it too, so that an interrupted one finds its own copy again. */
  id: string;
  /** Where to, for people: host, database and schema. No secret. */
  to: string;
  isDone: boolean;
  /** Epoch ms: when it began. */
  startedAt: number;
}

/** The mark of a store; null where it was never moved. */
export function readMark(db: Database.Database): MovedMark | null {
  const text = db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(KEY) as string | undefined;
  return text === undefined ? null : (JSON.parse(text) as MovedMark);
}

/** Marks the store as moving to `to` from now on (epoch ms); an earlier mark of the same move stays. */
export function markMoving(db: Database.Database, to: string, now: number): MovedMark {
  const found = readMark(db);
  if (found !== null) return found;
  const mark: MovedMark = { id: randomUUID(), to, isDone: false, startedAt: now };
  write(db, mark);
  return mark;
}

export function markMoved(db: Database.Database, mark: MovedMark): void {
  write(db, { ...mark, isDone: true });
}

/** Takes the mark off: a server starts on the store again. */
export function unmark(db: Database.Database): void {
  db.prepare('DELETE FROM meta WHERE key = ?').run(KEY);
}

/**
 * What was accepted here beside the copy would be lost, and what is pending would be sent by both.
 * @throws PosthornError `STORE_UNAVAILABLE` with one line that says where the data is, where the store was moved
 */
export function refuseMoved(db: Database.Database, dataDir: string): void {
  const mark = readMark(db);
  if (mark === null) return;
  const undo = `posthorn move --undo --data-dir ${dataDir}`;
  throw new PosthornError(
    'STORE_UNAVAILABLE',
    mark.isDone
      ? `The store in ${dataDir} was moved to ${mark.to}: set POSTHORN_DATABASE_URL to it. If that copy is given up, \`${undo}\` brings this one back.`
      : `The store in ${dataDir} is moving to ${mark.to}, and the move has not ended: run it again to finish it. If it is given up, \`${undo}\` takes the mark off.`,
  );
}

function write(db: Database.Database, mark: MovedMark): void {
  db.prepare('INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value').run(
    KEY,
    JSON.stringify(mark),
  );
}
