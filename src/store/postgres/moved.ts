import { PosthornError } from '../../errors.ts';
import type { Connections, Run } from './connections.ts';

export const MOVED_FROM = 'moved_from';

/** What the database's `meta` says of a move that brought its rows. */
export interface MovedFrom {
  /** The same as in the mark of the store it came from. */
  id: string;
  /** Verified: servers may start. */
  isDone: boolean;
}

const FIND = `SELECT value FROM posthorn.meta WHERE key = '${MOVED_FROM}'`;

/** The move that brought this database's rows; null where none did. */
export async function readMovedFrom(run: Run): Promise<MovedFrom | null> {
  const { rows } = await run<{ value: string }>({ sql: FIND, parameters: [] });
  return rows[0] === undefined ? null : (JSON.parse(rows[0].value) as MovedFrom);
}

/**
 * Half a copy would answer for the whole.
 * @throws PosthornError `STORE_UNAVAILABLE` with one line, where a move into this database has not ended
 */
export async function refuseHalfMoved(connections: Connections): Promise<void> {
  const from = await readMovedFrom((statement) => connections.query(statement));
  if (from === null || from.isDone) return;
  throw new PosthornError(
    'STORE_UNAVAILABLE',
    `A move of an embedded store into the schema "${connections.schema}" of this database has not ended. Run \`posthorn move\` again to finish it, or drop the schema.`,
  );
}
