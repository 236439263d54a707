import { setTimeout as wait } from 'node:timers/promises';
import { firstIdAt } from '../../model/id.ts';
import type { Id } from '../../model/id.ts';
import type { Connections, Run } from './connections.ts';
import { isRepeatable, sqlState, toStoreError } from './failure.ts';

const DAY_MS = 86_400_000;
const DAYS_BACK = 2;
const DAYS_AHEAD = 7;
/** Longest wait for a table: what comes behind in the table's queue waits as long. */
const LOCK_MS = 200;
const TRIES = 25;
const PAUSE_MS = 400;
/** Partitions made in one transaction: the default one is locked until its end. */
const DAYS_AT_ONCE = 5;
/** A default partition with more rows than this of one day keeps them: moving them would hold up traffic. */
const MAX_MOVED = 10_000;
/** The same range was partitioned by another node meanwhile: the next look finds it. */
const OVERLAPS = new Set(['42P07', '42P17']);

/** Tables in partitions of a day each, by the id whose time tells the day, in the order in which a day is dropped. */
export const partitionKeys = {
  payloads: 'event_id',
  events: 'id',
  ended_deliveries: 'id',
  attempts: 'delivery_id',
} as const;
export type PartitionedTable = keyof typeof partitionKeys;
export const partitionedTables = Object.keys(partitionKeys) as PartitionedTable[];

export interface Partition {
  table: PartitionedTable;
  name: string;
  /** Ids from here on… */
  from: Id;
  /** …and before this one. */
  to: Id;
}

const LIST = `
  SELECT parent.relname::text AS "table", child.relname::text AS name, pg_get_expr(child.relpartbound, child.oid) AS bound
  FROM pg_namespace n
  JOIN pg_class parent ON parent.relnamespace = n.oid AND parent.relname = ANY ($2::text[])
  JOIN pg_inherits i ON i.inhparent = parent.oid
  JOIN pg_class child ON child.oid = i.inhrelid
  WHERE n.nspname = $1`;
const BOUND = /^FOR VALUES FROM \('([0-9A-Z]+)'\) TO \('([0-9A-Z]+)'\)$/;

/** The partitions by time, oldest first; without the default ones, which take what lies outside. */
export async function listPartitions(connections: Connections): Promise<Partition[]> {
  return list((statement) => connections.query(statement), connections.schema);
}

async function list(run: Run, schema: string): Promise<Partition[]> {
  const { rows } = await run<{ table: PartitionedTable; name: string; bound: string }>({
    sql: LIST,
    parameters: [schema, partitionedTables],
  });
  const partitions = rows.flatMap(({ table, name, bound }) => {
    const [, from, to] = BOUND.exec(bound) ?? [];
    return from === undefined || to === undefined ? [] : [{ table, name, from, to }];
  });
  return partitions.sort((a, b) => (a.from < b.from ? -1 : 1));
}

/**
 * Makes the daily partitions (UTC) that are missing between two moments, epoch ms, both days included. Any node may call
 * it at any time: it waits for a table no longer than 200 ms at once, and tries again. A day of which the default
 * partition holds very many rows stays there.
 * @returns how many partitions it made
 * @throws PosthornError STORE_UNAVAILABLE where the tables stay in use, or where the role is neither their owner nor a member of it
 */
export async function ensurePartitions(connections: Connections, from: number, to: number): Promise<number> {
  const days: number[] = [];
  for (let day = startOfDay(from); day <= to; day += DAY_MS) days.push(day);
  const existing = await listPartitions(connections);
  let made = 0;
  for (const table of partitionedTables) {
    const missing = lacking(table, days, existing);
    for (let i = 0; i < missing.length; i += DAYS_AT_ONCE) {
      made += await makeDays(connections, table, missing.slice(i, i + DAYS_AT_ONCE));
    }
  }
  return made;
}

/** The usual ones: from two days back, for what is on its way, to seven days ahead, for nodes that are away. */
export function ensurePartitionsAround(connections: Connections, now: number): Promise<number> {
  return ensurePartitions(connections, now - DAYS_BACK * DAY_MS, now + DAYS_AHEAD * DAY_MS);
}

/**
 * First in a transaction that changes partitions: as their owner, who alone may, and never long in the way of others.
 * The role of the connection needs no more than to be a member of the owner.
 */
export async function beginPartitionChange(run: Run, lockMs: number): Promise<void> {
  const { rows } = await run<{ owner: string | null }>({
    sql: `SELECT quote_ident(pg_get_userbyid(relowner)) AS owner FROM pg_class
          WHERE oid = 'posthorn.events'::regclass AND pg_get_userbyid(relowner) <> current_user`,
    parameters: [],
  });
  const role = rows[0] ? `SET LOCAL ROLE ${rows[0].owner};` : '';
  await run({ sql: `${role} SET LOCAL lock_timeout = ${lockMs}; SET LOCAL enable_seqscan = on`, parameters: [] });
}

async function makeDays(connections: Connections, table: PartitionedTable, days: readonly number[]): Promise<number> {
  for (let left = TRIES; ; left--) {
    try {
      return await connections.rawTransaction(async (run) => {
        await beginPartitionChange(run, LOCK_MS);
        await run({ sql: `SELECT pg_advisory_xact_lock(hashtextextended('posthorn.partitions', 0))`, parameters: [] });
        const missing = lacking(table, days, await list(run, connections.schema));
        if (missing.length === 0) return 0;
        const isClear = (await inDefault(run, table, missing[0]!, missing.at(-1)!)) === 0;
        let made = 0;
        for (const day of missing) {
          const rows = isClear ? 0 : await inDefault(run, table, day, day);
          if (rows > MAX_MOVED) continue;
          await (rows === 0 ? create(run, table, day) : createWithRows(run, table, day));
          made++;
        }
        return made;
      });
    } catch (error) {
      const isLate = isRepeatable(error) || OVERLAPS.has(sqlState(error) ?? '');
      if (!isLate || left === 1) throw toStoreError(error);
      await wait(PAUSE_MS);
    }
  }
}

/** Rows of these days, the last included, that the default partition holds; counted no further than matters. */
async function inDefault(run: Run, table: PartitionedTable, first: number, last: number): Promise<number> {
  const key = partitionKeys[table];
  const { rows } = await run<{ count: number }>({
    sql: `SELECT count(*) AS count FROM (
            SELECT FROM posthorn.${table}_default WHERE ${key} >= $1 AND ${key} < $2 LIMIT ${MAX_MOVED + 1}) found`,
    parameters: [firstIdAt(first), firstIdAt(last + DAY_MS)],
  });
  return rows[0]!.count;
}

async function create(run: Run, table: PartitionedTable, day: number): Promise<void> {
  await run({
    sql: `CREATE TABLE IF NOT EXISTS ${nameOf(table, day)} PARTITION OF posthorn.${table} ${boundsOf(day)}`,
    parameters: [],
  });
}

/** Takes the day's rows along. Nobody may insert meanwhile: they would go into the default partition again. */
async function createWithRows(run: Run, table: PartitionedTable, day: number): Promise<void> {
  const key = partitionKeys[table];
  const name = nameOf(table, day);
  await run({ sql: `LOCK TABLE ONLY posthorn.${table} IN SHARE ROW EXCLUSIVE MODE`, parameters: [] });
  await run({ sql: `LOCK TABLE posthorn.${table}_default IN ACCESS EXCLUSIVE MODE`, parameters: [] });
  await run({ sql: `CREATE TABLE ${name} (LIKE posthorn.${table} INCLUDING ALL)`, parameters: [] });
  await run({
    sql: `WITH moved AS (DELETE FROM posthorn.${table}_default WHERE ${key} >= $1 AND ${key} < $2 RETURNING *)
          INSERT INTO ${name} SELECT * FROM moved`,
    parameters: [firstIdAt(day), firstIdAt(day + DAY_MS)],
  });
  await run({ sql: `ALTER TABLE posthorn.${table} ATTACH PARTITION ${name} ${boundsOf(day)}`, parameters: [] });
}

/** Days of which no partition holds any part. */
function lacking(table: PartitionedTable, days: readonly number[], existing: readonly Partition[]): number[] {
  const own = existing.filter((partition) => partition.table === table);
  return days.filter((day) => {
    const [from, to] = [firstIdAt(day), firstIdAt(day + DAY_MS)];
    return !own.some((partition) => partition.from < to && from < partition.to);
  });
}

function nameOf(table: PartitionedTable, day: number): string {
  return `posthorn.${table}_p${new Date(day).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

function boundsOf(day: number): string {
  return `FOR VALUES FROM ('${firstIdAt(day)}') TO ('${firstIdAt(day + DAY_MS)}')`;
}

function startOfDay(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS;
}
