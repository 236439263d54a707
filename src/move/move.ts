import { PosthornError } from '../errors.ts';
import { Connections } from '../store/postgres/connections.ts';
import { ensurePartitions } from '../store/postgres/partitions.ts';
import { migrateDatabase, prepareDatabase } from '../store/postgres/prepare.ts';
import type { KeyRing } from '../store/seal.ts';
import { ProgressCounter } from './progress.ts';
import type { MoveProgress } from './progress.ts';
import { countRows, Source } from './source.ts';
import { Target } from './target.ts';
import type { Progress } from './target.ts';
import { movedTables } from './tables.ts';
import type { MovedTable } from './tables.ts';
import { verify } from './verify.ts';
import type { VerifiedTable } from './verify.ts';

const ROWS_AT_ONCE = 4_000;
/** A page is stored within milliseconds; a busy server may take longer, and large tables are counted and analysed. */
const STATEMENT_MS = 600_000;
/** Days of history that get partitions of their own: what is older lies in one, as there would be too many. */
const PARTITIONED_DAYS = 100;
const DAY_MS = 86_400_000;

export interface MoveOptions {
  /** Directory of the embedded store; its server must be stopped. */
  dataDir: string;
  /** `postgres://…` */
  url: string;
  schema: string;
  /** Over the master keys that the store was run with. */
  keyRing: KeyRing;
  now?: () => number;
  onProgress?: (progress: MoveProgress) => void;
  /** Rows to a transaction; default 4,000. */
  rowsAtOnce?: number;
}

export interface MoveOutcome {
  /** Where the rows are, for people: no secret in it. */
  to: string;
  /** An earlier run had finished it; nothing was left to do. */
  wasDone: boolean;
  /** Empty where it `wasDone`. */
  tables: VerifiedTable[];
}

/**
 * Takes an embedded store to PostgreSQL: every row, with its ids, hashes and sealed secrets as they are. It may be
 * ended at any moment and run again: it goes on where it stood. From its beginning on no server starts on the embedded
 * store, and until both sides were compared none on the database; so nothing is sent by two.
 * @throws PosthornError with one line, where it cannot go on
 */
export async function moveToPostgres(options: MoveOptions): Promise<MoveOutcome> {
  const { now = Date.now, onProgress = () => undefined, rowsAtOnce = ROWS_AT_ONCE } = options;
  return withBoth(options, async (source, connections) => {
    source.checkKeys(options.keyRing);
    await prepareDatabase(connections, { migrate: true });
    const target = new Target(connections);
    const to = describeTarget(connections);
    checkMark(source, to, await target.check(source.mark));
    const mark = source.begin(to, now());
    const wasDone = await target.claim(mark, source.root());
    let tables: VerifiedTable[] = [];
    if (!wasDone) {
      try {
        await makePartitions(connections, source.oldestAt(), now());
        const total = Object.values(countRows(source)).reduce((sum, rows) => sum + rows, 0);
        const copied = new ProgressCounter('copy', total, onProgress);
        for (const table of movedTables) await copy(table, source, target, copied, rowsAtOnce);
        await target.analyze();
        const verified = new ProgressCounter('verify', total, onProgress);
        tables = await verify({
          source,
          target,
          rowsAtOnce,
          onRows: (table, rows) => {
            verified.add(table, rows);
          },
        });
        await target.finish(mark);
      } catch (error) {
        throw interrupted(error);
      }
    }
    // Last: until then the mark says that the move has not ended, and the next run finds that it has.
    source.finish(mark);
    return { to: mark.to, wasDone, tables };
  });
}

export interface MovePlan {
  to: string;
  /** Rows to move, by table. */
  rows: Record<string, number>;
}

/** What {@link moveToPostgres} would do; changes nothing. Throws where it could not begin. */
export async function planMove(options: MoveOptions): Promise<MovePlan> {
  return withBoth(options, async (source, connections) => {
    source.checkKeys(options.keyRing);
    const to = describeTarget(connections);
    const lacking = await migrateDatabase(connections, { dryRun: true });
    checkMark(source, to, lacking.length === 0 && (await new Target(connections).check(source.mark)));
    return { to, rows: countRows(source) };
  });
}

/**
 * Gives a move up: servers start on the embedded store again. The copy is not touched, and must not be served beside it.
 * @returns where the copy is; null where the store was not marked
 */
export function undoMove(dataDir: string): string | null {
  const source = new Source(dataDir);
  try {
    const { mark } = source;
    if (mark !== null) source.undo();
    return mark?.to ?? null;
  } finally {
    source.close();
  }
}

async function withBoth<Result>(
  { dataDir, url, schema }: MoveOptions,
  work: (source: Source, connections: Connections) => Promise<Result>,
): Promise<Result> {
  const source = new Source(dataDir);
  const connections = new Connections({
    url,
    schema,
    poolSize: 2,
    statementTimeoutMs: STATEMENT_MS,
    onFault: () => undefined, // an idle connection; the next statement says what is wrong
  });
  try {
    return await work(source, connections);
  } finally {
    await connections.end();
    source.close();
  }
}

/** A store goes to one place: two copies would send the same deliveries. `isThere`: the database holds this very move. */
function checkMark({ mark, dataDir }: Source, to: string, isThere: boolean): void {
  if (mark === null || isThere || (!mark.isDone && mark.to === to)) return;
  throw new PosthornError(
    'INVALID_STATE',
    `The store in ${dataDir} ${mark.isDone ? 'was moved' : 'is moving'} to ${mark.to}. If that copy is given up, \`posthorn move --undo --data-dir ${dataDir}\` lets it be moved elsewhere.`,
  );
}

async function makePartitions(connections: Connections, oldestAt: number | null, now: number): Promise<void> {
  const from = Math.max(oldestAt ?? now, now - PARTITIONED_DAYS * DAY_MS);
  await ensurePartitions(connections, from, now);
}

/** Reads the next page while the last one is stored. */
async function copy(
  table: MovedTable,
  source: Source,
  target: Target,
  counter: ProgressCounter,
  rowsAtOnce: number,
): Promise<void> {
  let progress: Progress = await target.progress(table);
  counter.skip(progress.rows);
  if (progress.isDone) return;
  let page = source.page(table, progress.after, rowsAtOnce);
  for (;;) {
    const storing = target.store(table, page, progress);
    const next = page.isEnd ? null : source.page(table, page.last, rowsAtOnce);
    progress = await storing;
    if (page.rows.length > 0) counter.add(table.name, page.rows.length);
    if (next === null) return;
    page = next;
  }
}

/** Where a database is, as far as people may see it; the driver knows what it makes of the URL. */
function describeTarget(connections: Connections): string {
  const { host, port, database = '' } = connections.single();
  return `postgres://${host}:${port}/${database} (schema ${connections.schema})`;
}

/** The database went away: the same call again goes on where this one stood. */
function interrupted(error: unknown): unknown {
  if (!(error instanceof PosthornError) || !['STORE_UNAVAILABLE', 'STORE_FULL'].includes(error.code)) return error;
  const { cause } = error;
  const why = cause instanceof Error ? cause.message : error.message;
  return new PosthornError(error.code, `The move was interrupted (${why}). Run it again: it goes on where it stands.`, {
    cause: error,
  });
}
