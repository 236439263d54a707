import { PosthornError } from '../errors.ts';
import { bucketOf, Digest } from './digest.ts';
import type { Row, Source } from './source.ts';
import type { Target } from './target.ts';
import { movedTables } from './tables.ts';
import type { MovedTable } from './tables.ts';

/** Buckets that are looked into, and rows that are named: enough to see what happened. */
const MAX_BUCKETS = 8;
const MAX_NAMED = 5;

/** A table as both sides have it. */
export interface VerifiedTable {
  table: string;
  rows: number;
  /** Rows in each status, of tables that have one. */
  byStatus: Record<string, number>;
  /** Over every value of every row, the same on both sides: 16 hexadecimal digits. */
  checksum: string;
}

export interface VerifyOptions {
  source: Source;
  target: Target;
  rowsAtOnce: number;
  /** Called with each table's name and how many rows were compared since. */
  onRows: (table: string, rows: number) => void;
}

/**
 * Reads everything again on both sides and compares it, with the same code for both.
 * @throws PosthornError that names the table and its rows, where they differ
 */
export async function verify(options: VerifyOptions): Promise<VerifiedTable[]> {
  const verified: VerifiedTable[] = [];
  for (const table of movedTables) {
    const [here, there] = [digestFor(table), digestFor(table)];
    for (const rows of pagesOf(table, options)) for (const row of rows) here.add(row);
    await options.target.scan(table, (rows) => {
      for (const row of rows) there.add(row);
      options.onRows(table.name, rows.length);
    });
    if (here.rows !== there.rows || here.checksum !== there.checksum)
      throw await difference(table, here, there, options);
    const { rows, byStatus, checksum } = here;
    verified.push({ table: table.name, rows, byStatus: Object.fromEntries(byStatus), checksum });
  }
  return verified;
}

function digestFor({ columns }: MovedTable): Digest {
  return new Digest(columns.findIndex(({ name }) => name === 'status'));
}

function* pagesOf(table: MovedTable, { source, rowsAtOnce }: VerifyOptions): Generator<Row[]> {
  for (let page = source.page(table, null, rowsAtOnce); ; page = source.page(table, page.last, rowsAtOnce)) {
    yield page.rows;
    if (page.isEnd) return;
  }
}

/** Reads both sides once more for the rows that make the difference. */
async function difference(
  table: MovedTable,
  here: Digest,
  there: Digest,
  options: VerifyOptions,
): Promise<PosthornError> {
  const buckets = new Set([...here.differences(there)].slice(0, MAX_BUCKETS));
  const found = new Map<string, string>();
  const pick = (rows: readonly Row[], look: (key: string, text: string) => void): void => {
    for (const row of rows) if (buckets.has(bucketOf(row))) look(keyOf(table, row), JSON.stringify(row));
  };
  for (const rows of pagesOf(table, options)) pick(rows, (key, text) => found.set(key, text));
  const odd = new Set<string>();
  await options.target.scan(table, (rows) => {
    pick(rows, (key, text) => {
      if (found.get(key) === text) found.delete(key);
      else odd.add(key);
    });
  });
  const keys = [...new Set([...found.keys(), ...odd])];
  const named = keys.slice(0, MAX_NAMED).join(', ') + (keys.length > MAX_NAMED ? ', …' : '');
  return new PosthornError(
    'INVALID_STATE',
    `The copy of ${table.name} is not the same as the store: ${there.rows} rows of ${here.rows}, differing at ${named}. ` +
      'Servers refuse it. Drop its schema, and move again with nothing else writing there.',
  );
}

/** What names a row: its tenant and its ids, as far as the table has them. */
function keyOf({ columns, key }: MovedTable, row: Row): string {
  const names = key.includes('rowid') ? ['tenant_id', 'id'] : key;
  return names.map((name) => String(row[columns.findIndex(({ from }) => from === name)])).join('/');
}
