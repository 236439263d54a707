import { sql } from 'kysely';
import type { RawBuilder, SqlBool } from 'kysely';
import { firstIdAt } from '../../model/id.ts';
import type { Id } from '../../model/id.ts';

/** How far the clock of the machine may have stood back while ids went on: ids are made in order, whatever the clock does. */
const SLACK_MS = 3 * 3_600_000;

/**
 * The condition for rows created at or after `from` (epoch ms). Where the id leaves no doubt, the row is not looked at:
 * a count then stays within the index.
 */
export function createdFrom(id: string, createdAt: string, from: number): RawBuilder<SqlBool> {
  const ids = sql.ref(id);
  return sql<SqlBool>`${ids} >= ${firstIdAt(from)} and (${ids} >= ${firstIdAt(from + SLACK_MS)} or ${sql.ref(createdAt)} >= ${from})`;
}

/** Whatever is created before a time (epoch ms; undefined = ever) has an id before this one. */
export function idsBefore(to: number | undefined): Id {
  return to === undefined ? '~' : firstIdAt(to + SLACK_MS);
}

/**
 * The condition for rows created at or after `from` and before `to` (epoch ms; undefined = no bound). The time decides;
 * the id, which carries a time never before the row's own, bounds how much of the index is walked.
 */
export function createdBetween(
  id: string,
  createdAt: string,
  from: number | undefined,
  to: number | undefined,
): RawBuilder<SqlBool> {
  const terms = [sql<SqlBool>`1 = 1`];
  if (from !== undefined) {
    terms.push(createdFrom(id, createdAt, from));
  }
  if (to !== undefined) {
    terms.push(sql`${sql.ref(id)} < ${idsBefore(to)}`, sql`${sql.ref(createdAt)} < ${to}`);
  }
  return sql<SqlBool>`${sql.join(terms, sql` and `)}`;
}
