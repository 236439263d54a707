import { createHash } from 'node:crypto';
import { sql as first } from './001-first.ts';

export interface Migration {
  number: number;
  name: string;
  /** Names its schema as `posthorn.`. */
  sql: string;
  /** The oldest migration whose code can still run once this one is applied: expand first, contract a version later. */
  compatibleFrom: number;
  /** SHA-256 of the SQL: a migration that was applied is never edited. */
  checksum: string;
}

function migration(number: number, name: string, sql: string, compatibleFrom: number): Migration {
  return { number, name, sql, compatibleFrom, checksum: createHash('sha256').update(sql).digest('hex') };
}

/** In order, forward only. A new one gets the next number and a file of its own. */
export const migrations: readonly Migration[] = [migration(1, 'first', first, 1)];
