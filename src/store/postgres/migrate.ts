import type pg from 'pg';
import { setTimeout as wait } from 'node:timers/promises';
import { PosthornError } from '../../errors.ts';
import type { Connections } from './connections.ts';
import { isRepeatable } from './failure.ts';
import { migrations as ours } from './migrations/index.ts';
import type { Migration } from './migrations/index.ts';
import { ensurePartitionsAround } from './partitions.ts';

/** Longest that a migration waits for a table: what comes behind it in the table's queue waits as long. */
const LOCK_MS = 300;
const LOCK_TRIES = 30;
/** Between two tries, so that traffic gets through. */
const PAUSE_MS = 700;
/** A migration may rewrite a large table: the client waits for it rather than leaves it half told. */
const QUERY_MS = 86_400_000;

const LEDGER = `
CREATE TABLE IF NOT EXISTS posthorn.migrations (
  number integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  compatible_from integer NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)`;
const LEDGER_COLUMNS = ['number', 'name', 'checksum', 'compatible_from'];

/** What the schema holds: is a ledger of ours there, and what else that no extension brought. */
const SCHEMA_CONTENT = {
  sql: `
SELECT
  (SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = to_regnamespace($1) AND c.relname = 'migrations' AND c.relkind = 'r' AND a.attname = ANY ($2)
  ) AS "ledgerColumns",
  (SELECT c.relname::text FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relname LIMIT 1) AS stranger`,
};

const APPLIED = 'SELECT number, name, checksum, compatible_from FROM posthorn.migrations ORDER BY number';

/** Live ones whose code cannot work with a migration. */
const OLDER_NODES = `SELECT name FROM posthorn.nodes
  WHERE ended_at IS NULL AND renewed_at + lease_ms * interval '1 ms' > clock_timestamp() AND knows < $1 ORDER BY number LIMIT 5`;
const FIRST = 1;

interface Content {
  ledgerColumns: number;
  stranger: string | null;
}

interface Applied {
  number: number;
  name: string;
  checksum: string;
  compatible_from: number;
}

/** `001-first`: how people see a migration. */
export function nameOf(migration: Migration): string {
  return `${String(migration.number).padStart(3, '0')}-${migration.name}`;
}

/**
 * The migrations that the database lacks, oldest first; all of them where its schema is missing or empty.
 * @throws PosthornError where the schema is somebody else's, where an applied migration differs from ours, and where a
 *   newer Posthorn has applied one that this code cannot run with
 */
export async function pendingIn(
  connections: Connections,
  migrations: readonly Migration[] = ours,
): Promise<Migration[]> {
  if (!(await hasLedger(connections))) return [...migrations];
  const { rows } = await connections.query<Applied>({ sql: APPLIED, parameters: [] });
  return lacking(rows, migrations);
}

/**
 * Applies what the database lacks, each migration in a transaction of its own with its line in the ledger; makes the
 * schema where there is none, and the partitions of the coming days. Several processes may call it at once: one works, the others see what it did. A migration
 * waits for a table no longer than a third of a second at a time, so that running nodes are not held up.
 * @returns the names of the migrations that this call applied
 * @throws PosthornError as {@link pendingIn} does, and STORE_UNAVAILABLE where a table stays in use; else what `pg` throws
 */
export async function migrate(
  connections: Connections,
  { migrations = ours }: { migrations?: readonly Migration[] } = {},
): Promise<string[]> {
  const applied =
    (await pendingIn(connections, migrations)).length === 0 ? [] : await applyAll(connections, migrations);
  await ensurePartitionsAround(connections, await databaseTime(connections));
  return applied;
}

async function applyAll(connections: Connections, migrations: readonly Migration[]): Promise<string[]> {
  const applied: string[] = [];
  const client = connections.single();
  await client.connect();
  try {
    await makeLedger(client, connections);
    for (;;) {
      const next = await applyNext(client, connections, migrations);
      if (next === null) return applied;
      applied.push(nameOf(next));
    }
  } finally {
    await client.end();
  }
}

/** Whether the ledger is there. Throws where the schema holds what is not ours. */
async function hasLedger(connections: Connections): Promise<boolean> {
  const { schema } = connections;
  const { rows } = await connections.query<Content>({
    ...SCHEMA_CONTENT,
    parameters: [quoted(schema), LEDGER_COLUMNS],
  });
  const { ledgerColumns, stranger } = rows[0]!;
  if (ledgerColumns === LEDGER_COLUMNS.length) return true;
  if (stranger === null) return false;
  throw new PosthornError(
    'STORE_UNAVAILABLE',
    `The schema "${schema}" of the database is not Posthorn's: it holds "${stranger}". Name another one with POSTHORN_DATABASE_SCHEMA.`,
  );
}

/** Applied migrations are ours, from the first on; those beyond ours must be ones that this code can live with. */
function lacking(applied: readonly Applied[], migrations: readonly Migration[]): Migration[] {
  const newest = migrations.at(-1)?.number ?? 0;
  for (const [index, row] of applied.entries()) {
    const known = migrations[index];
    if (known === undefined) {
      if (row.compatible_from <= newest) continue;
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `The database was migrated by a newer Posthorn, and this one cannot work with it any more (migration ${row.number} "${row.name}"). Run that version or a later one.`,
      );
    }
    if (known.number !== row.number || known.checksum !== row.checksum) {
      throw new PosthornError(
        'STORE_UNAVAILABLE',
        `Migration ${row.number} "${row.name}" of the database is not the one this Posthorn knows. Run the version that made it.`,
      );
    }
  }
  return migrations.slice(applied.length);
}

/** One caller at a time makes the schema and the ledger. The right to make a schema is only asked for where it is needed. */
async function makeLedger(client: pg.Client, connections: Connections): Promise<void> {
  await inTransaction(client, async () => {
    await takeTurn(client, connections);
    const { rows } = await client.query<{ isThere: boolean }>('SELECT to_regnamespace($1) IS NOT NULL AS "isThere"', [
      quoted(connections.schema),
    ]);
    if (!rows[0]!.isThere) await client.query(`CREATE SCHEMA ${quoted(connections.schema)}`);
    await client.query(connections.inSchema(LEDGER));
  });
}

/** The oldest migration that is still lacking once it is our turn; null where there is none. */
async function applyNext(
  client: pg.Client,
  connections: Connections,
  migrations: readonly Migration[],
): Promise<Migration | null> {
  for (let tries = 1; ; tries++) {
    let next: Migration | undefined;
    try {
      await inTransaction(client, async () => {
        await takeTurn(client, connections);
        const { rows } = await client.query<Applied>(connections.inSchema(APPLIED));
        [next] = lacking(rows, migrations);
        if (next === undefined) return;
        await refuseWhileOthersRun(client, connections, next);
        await client.query(`SET LOCAL lock_timeout = ${LOCK_MS}`);
        await query(client, connections.inSchema(next.sql));
        await client.query(
          connections.inSchema(
            'INSERT INTO posthorn.migrations (number, name, checksum, compatible_from) VALUES ($1, $2, $3, $4)',
          ),
          [next.number, next.name, next.checksum, next.compatibleFrom],
        );
      });
      return next ?? null;
    } catch (error) {
      if (!isRepeatable(error)) throw error;
      if (tries === LOCK_TRIES) {
        throw new PosthornError(
          'STORE_UNAVAILABLE',
          `Migration ${next === undefined ? '' : `${nameOf(next)} `}found its tables in use ${LOCK_TRIES} times, and changed nothing. End long transactions on the database, and migrate again.`,
          { cause: error },
        );
      }
      await wait(PAUSE_MS);
    }
  }
}

/** Nodes of an older release go before what they cannot live with comes. */
async function refuseWhileOthersRun(client: pg.Client, connections: Connections, next: Migration): Promise<void> {
  if (next.compatibleFrom <= FIRST) return; // every release can live with it; of the first one there is no table to ask yet
  const { rows } = await client.query<{ name: string }>(connections.inSchema(OLDER_NODES), [next.compatibleFrom]);
  if (rows.length === 0) return;
  throw new PosthornError(
    'STORE_UNAVAILABLE',
    `Migration ${nameOf(next)} ends what nodes of an older release need, and some still run: ${rows.map(({ name }) => name).join(', ')}. Update or stop them, then migrate again.`,
  );
}

/** Whoever migrates this schema goes one after the other, however long that takes. */
async function takeTurn(client: pg.Client, connections: Connections): Promise<void> {
  await client.query('SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0');
  await query(client, `SELECT pg_advisory_xact_lock(hashtextextended('posthorn migrate ${connections.schema}', 0))`);
}

/** A text that may hold several statements, and take as long as it has to. */
async function query(client: pg.Client, text: string): Promise<void> {
  await client.query({ text, query_timeout: QUERY_MS } as pg.QueryConfig);
}

async function inTransaction(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN');
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined); // the connection is gone; the first error says why
    throw error;
  }
}

/** Epoch ms. */
async function databaseTime(connections: Connections): Promise<number> {
  const { rows } = await connections.query<{ now: number }>({
    sql: 'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now',
    parameters: [],
  });
  return rows[0]!.now;
}

function quoted(schema: string): string {
  return `"${schema.replaceAll('"', '""')}"`;
}
