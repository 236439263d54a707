import Type from 'typebox';
import { badField } from '../errors.ts';

/** Query parameters of every list. */
export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'How many at most.' })),
  cursor: Type.Optional(Type.String({ description: '`nextCursor` of the list before this one.', maxLength: 512 })),
};

export const DEFAULT_LIMIT = 50;

const VERSION = '1';

/** Where the next list begins: `null` at the end. Opaque, so that what it holds can change. */
function cursorAfter(position: string): string {
  return Buffer.from(VERSION + position).toString('base64url');
}

/** The position in a cursor, null without one. Throws BAD_REQUEST for what is not one of ours (as `isPosition` sees it). */
function readCursor(cursor: string | undefined, isPosition: (text: string) => boolean): string | null {
  if (cursor === undefined) return null;
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  const position = text.slice(1);
  if (!text.startsWith(VERSION) || cursorAfter(position) !== cursor || !isPosition(position)) {
    throw badField('cursor', 'is not a cursor of this list; pass on a `nextCursor`, or leave it out to begin');
  }
  return position;
}

const ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

function isId(text: string): boolean {
  return ID.test(text);
}

/**
 * Asks a list for one more than wanted, to know whether there is another page.
 * @returns the rows to show and the cursor behind them
 */
export async function pageById<Row extends { readonly id: string }>(
  query: { limit?: number; cursor?: string },
  list: (page: { limit: number; before: string | null }) => Promise<readonly Row[]>,
): Promise<{ rows: readonly Row[]; nextCursor: string | null }> {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const found = await list({ limit: limit + 1, before: readCursor(query.cursor, isId) });
  if (found.length <= limit) return { rows: found, nextCursor: null };
  const rows = found.slice(0, limit);
  return { rows, nextCursor: cursorAfter(rows.at(-1)!.id) };
}

/** The same for a list that lies in memory, in the order in which it is shown. */
export function pageInMemory<Row>(
  rows: readonly Row[],
  query: { limit?: number; cursor?: string },
  options: {
    positionOf: (row: Row) => string;
    isPosition: (text: string) => boolean;
    /** True for rows that come behind a position, whether or not its own row is still there. */
    isBehind: (row: Row, position: string) => boolean;
    defaultLimit?: number;
  },
): { rows: readonly Row[]; nextCursor: string | null } {
  const limit = query.limit ?? options.defaultLimit ?? DEFAULT_LIMIT;
  const after = readCursor(query.cursor, options.isPosition);
  const from = after === null ? 0 : firstIndex(rows, (row) => options.isBehind(row, after));
  const shown = rows.slice(from, from + limit);
  const isMore = rows.length > from + limit;
  return { rows: shown, nextCursor: isMore ? cursorAfter(options.positionOf(shown.at(-1)!)) : null };
}

/** Where the rows begin that fit: behind all that do not, so that a list of ten thousand takes fourteen looks. */
function firstIndex<Row>(rows: readonly Row[], fits: (row: Row) => boolean): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (fits(rows[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** For {@link pageInMemory}: newest first, by id. */
export const newestFirst = {
  positionOf: (row: { readonly id: string }): string => row.id,
  isPosition: isId,
  isBehind: (row: { readonly id: string }, position: string): boolean => row.id < position,
};

/** For {@link pageInMemory}: newest first, by time of creation, then by id; for what may have been made elsewhere before. */
export const newestMadeFirst = {
  positionOf: (row: { readonly createdAt: number; readonly id: string }): string => `${row.createdAt} ${row.id}`,
  isPosition(text: string): boolean {
    const [createdAt, id] = splitPosition(text);
    return Number.isSafeInteger(createdAt) && isId(id);
  },
  isBehind(row: { readonly createdAt: number; readonly id: string }, position: string): boolean {
    const [createdAt, id] = splitPosition(position);
    return row.createdAt < createdAt || (row.createdAt === createdAt && row.id < id);
  },
};

function splitPosition(text: string): [createdAt: number, id: string] {
  const [, createdAt, id] = /^(\d{1,15}) (.*)$/.exec(text) ?? [];
  return [Number(createdAt ?? Number.NaN), id ?? ''];
}
