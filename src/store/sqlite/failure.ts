import { statfsSync } from 'node:fs';
import { PosthornError } from '../../errors.ts';
import type { ErrorCode } from '../../errors.ts';

/** What an error becomes on its way from the writer's thread to the caller. */
export interface Failure {
  /** Of the error table; null for a mistake of ours, which stays a plain Error. */
  code: ErrorCode | null;
  message: string;
  /** `call`: this call alone is wrong. `batch`: the store could not write just now. `writer`: it has to open the file anew. */
  scope: 'call' | 'batch' | 'writer';
}

/** A file system with less room than this is full, whatever the system called the error. */
const FULL_BELOW_BYTES = 256 * 1024;

/** Names what SQLite (or our own code) threw. */
export function describe(error: unknown, dataDir: string): Failure {
  if (error instanceof PosthornError) return { code: error.code, message: error.message, scope: 'call' };
  const message = error instanceof Error ? error.message : String(error);
  const sqlite = (error as { code?: unknown }).code;
  if (typeof sqlite !== 'string' || !sqlite.startsWith('SQLITE_')) return { code: null, message, scope: 'call' };

  if (sqlite === 'SQLITE_FULL' || (sqlite.startsWith('SQLITE_IOERR') && isFull(dataDir))) {
    return {
      code: 'STORE_FULL',
      message: `The disk of the store is full (${dataDir}). Nothing was stored. Free space or lower the retention; accepted events are safe.`,
      scope: 'batch',
    };
  }
  if (sqlite === 'SQLITE_CONSTRAINT_PRIMARYKEY' || sqlite === 'SQLITE_CONSTRAINT_UNIQUE') {
    return { code: 'ALREADY_EXISTS', message: `It exists already (${message}).`, scope: 'call' };
  }
  if (/^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|RANGE|ERROR$)/.test(sqlite)) return { code: null, message, scope: 'call' };
  const again = sqlite.startsWith('SQLITE_BUSY') || sqlite.startsWith('SQLITE_LOCKED') || sqlite === 'SQLITE_NOMEM';
  return {
    code: 'STORE_UNAVAILABLE',
    message: `The store in ${dataDir} does not take writes now (${sqlite}: ${message}). Nothing was stored; try again.`,
    scope: again ? 'batch' : 'writer',
  };
}

/** The error a caller sees. */
export function toError(failure: Failure): Error {
  if (failure.code === null) return new Error(failure.message);
  const waiting = failure.code === 'STORE_UNAVAILABLE' || failure.code === 'STORE_FULL';
  return new PosthornError(failure.code, failure.message, waiting ? { retryAfterSeconds: 1 } : {});
}

function isFull(dataDir: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dataDir);
    return bavail * bsize < FULL_BELOW_BYTES;
  } catch {
    return false;
  }
}
