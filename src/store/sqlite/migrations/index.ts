import { createHash } from 'node:crypto';
import { sql as first } from './001-first.ts';
import { sql as peopleAndPlans } from './002-people-and-plans.ts';

export interface Migration {
  number: number;
  name: string;
  sql: string;
  /** SHA-256 of the SQL: a migration that was applied is never edited. */
  checksum: string;
}

function migration(number: number, name: string, sql: string): Migration {
  return { number, name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
}

/** In order, forward only. A new one gets the next number and a file of its own. */
export const migrations: readonly Migration[] = [
  migration(1, 'first', first),
  migration(2, 'people-and-plans', peopleAndPlans),
];
