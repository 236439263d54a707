import { sql } from 'kysely';
import type { Expression, Kysely } from 'kysely';
import type { Tables } from './tables.ts';

/** Finds one row where the query finds none: an objection to a change that needs what is looked for. */
export function absence(db: Kysely<Tables>, query: Expression<unknown>) {
  return db.selectNoFrom(sql.lit(1).as('one')).where((where) => where.not(where.exists(query)));
}
