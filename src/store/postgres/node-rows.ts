import { tellStatements } from './change-feed.ts';
import type { Connections, Run } from './connections.ts';
import { giveBackFlights } from './flights.ts';
import { migrations } from './migrations/index.ts';
import { CHANNEL_SQL } from './notices.ts';

/** Rows given back in one transaction. */
const SLICE = 10_000;
/** The same of flights. */
const FLIGHT_SLICE = 1_000;
const NOW = 'floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint';

/** What a node needs to know of another one. */
export interface OtherNode {
  number: number;
  delivers: boolean;
  /** The newest node that it takes into account. */
  seen: number;
  /** Until its lease runs out, ms; not above 0: it did. */
  leftMs: number;
}

export interface Renewal {
  /** False where another node has ended this one. */
  isRenewed: boolean;
  /** The database's clock, epoch ms. */
  now: number;
  /** Those that are not ended. */
  others: OtherNode[];
}

/**
 * How long a lease lasts. Right after the database came up, nobody can have renewed anything: then there is a third of
 * a lease to do so.
 */
const EXPIRES = `greatest(renewed_at + lease_ms * interval '1 ms', pg_postmaster_start_time() + lease_ms * interval '1 ms' / 3)`;

/**
 * A new row; ends the one of the same process before it. Numbers become visible in their order, because only one
 * registration is under way at any time: who has seen a number has seen those below it.
 */
export async function register(
  connections: Connections,
  { name, delivers, leaseMs, previous }: { name: string; delivers: boolean; leaseMs: number; previous: number | null },
): Promise<number> {
  return connections.transaction(async (run) => {
    await run({
      sql: 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))',
      parameters: [`posthorn nodes ${connections.schema}`],
    });
    if (previous !== null) {
      await run({
        sql: 'UPDATE posthorn.nodes SET ended_at = clock_timestamp() WHERE number = $1::bigint AND ended_at IS NULL',
        parameters: [previous],
      });
    }
    const { rows } = await run<{ number: number }>({
      sql: `INSERT INTO posthorn.nodes (name, delivers, lease_ms, knows)
            VALUES ($1::text, $2::boolean, $3::integer, $4::integer) RETURNING number`,
      parameters: [name, delivers, leaseMs, migrations.at(-1)!.number],
    });
    const { number } = rows[0]!;
    for (const statement of tellStatements(number, [{ kind: 'nodes', tenantId: '', key: '' }])) await run(statement);
    return number;
  });
}

/** Renews the lease, says which nodes it takes into account and calls `call` out on the channel; reads all others. */
export async function renew(connections: Connections, number: number, seen: number, call: string): Promise<Renewal> {
  const { rows } = await connections.query<Renewal & { called: unknown }>({
    name: 'node_renew',
    sql: `
      WITH renewed AS (
        UPDATE posthorn.nodes SET renewed_at = clock_timestamp(), seen = greatest(seen, $2::bigint)
        WHERE number = $1::bigint AND ended_at IS NULL RETURNING 1
      )
      SELECT EXISTS (SELECT FROM renewed) AS "isRenewed", extract(epoch FROM clock_timestamp())::float8 * 1000 AS now,
        coalesce((SELECT json_agg(json_build_object('number', number, 'delivers', delivers, 'seen', seen,
          'leftMs', extract(epoch FROM ${EXPIRES} - clock_timestamp()) * 1000) ORDER BY number)
          FROM posthorn.nodes WHERE ended_at IS NULL AND number <> $1::bigint), '[]') AS others,
        pg_notify(${CHANNEL_SQL}, $3::text) AS called`,
    parameters: [number, seen, call],
  });
  return rows[0]!;
}

/** Ends those of the nodes whose lease ran out. Resolves to the ones that this call ended: they are the caller's to release. */
export async function endExpired(connections: Connections, numbers: readonly number[]): Promise<number[]> {
  const { rows } = await connections.query<{ number: number }>({
    sql: `
      UPDATE posthorn.nodes SET ended_at = clock_timestamp()
      WHERE number IN (
        SELECT number FROM posthorn.nodes
        WHERE number = ANY ($1::bigint[]) AND ended_at IS NULL AND ${EXPIRES} < clock_timestamp()
        ORDER BY number FOR UPDATE SKIP LOCKED)
      RETURNING number`,
    parameters: [numbers],
  });
  return rows.map(({ number }) => number);
}

/** A node goes of itself, and the others hear of it. */
export async function endNode(connections: Connections, number: number): Promise<void> {
  await connections.transaction(async (run) => {
    await run({
      sql: 'UPDATE posthorn.nodes SET ended_at = clock_timestamp() WHERE number = $1::bigint AND ended_at IS NULL',
      parameters: [number],
    });
    await tellOrphans(run, number);
  });
}

/** Work of nodes that are gone is there to be taken, and their place is free. */
export async function tellOrphans(run: Run, by: number): Promise<void> {
  const told = ['orphans', 'nodes'] as const;
  for (const statement of tellStatements(
    by,
    told.map((kind) => ({ kind, tenantId: '', key: '' })),
  ))
    await run(statement);
}

/**
 * Gives back what these nodes hold: deliveries are due now, fan-outs are anybody's. Rows that somebody has locked are
 * passed over, and are left to the next {@link staleLeases}.
 */
export async function release(connections: Connections, numbers: readonly number[]): Promise<void> {
  await connections.query({
    sql: `UPDATE posthorn.events SET fan_out_node = NULL WHERE fan_out_after IS NOT NULL AND fan_out_node = ANY ($1::bigint[])`,
    parameters: [numbers],
  });
  for (;;) {
    const { rowCount } = await connections.query({
      sql: giveBackFlights(
        `SELECT tenant_id, event_id, id FROM posthorn.flights WHERE lease = ANY ($1::bigint[]) LIMIT ${FLIGHT_SLICE} FOR UPDATE SKIP LOCKED`,
        NOW,
      ),
      parameters: [numbers],
    });
    if (rowCount === 0) break;
  }
  for (;;) {
    const { rowCount } = await connections.query({
      sql: `
        UPDATE posthorn.open_deliveries d
        SET status = 'pending', lease = NULL, due_at = ${NOW}
        FROM (
          SELECT tenant_id, id FROM posthorn.open_deliveries
          WHERE status = 'sending' AND lease = ANY ($1::bigint[]) LIMIT ${SLICE} FOR UPDATE SKIP LOCKED) s
        WHERE d.tenant_id = s.tenant_id AND d.id = s.id`,
      parameters: [numbers],
    });
    if (rowCount < SLICE) return;
  }
}

/** Holders of leases that are no live nodes: whoever ended them did not get to release what they held. */
export async function staleLeases(connections: Connections): Promise<number[]> {
  const { rows } = await connections.query<{ number: number }>({
    sql: `
      SELECT number FROM (
        SELECT lease AS number FROM posthorn.open_deliveries WHERE status = 'sending'
        UNION
        SELECT lease FROM posthorn.flights
        UNION
        SELECT fan_out_node FROM posthorn.events WHERE fan_out_after IS NOT NULL AND fan_out_node IS NOT NULL) holders
      WHERE NOT EXISTS (SELECT FROM posthorn.nodes n WHERE n.number = holders.number AND n.ended_at IS NULL)`,
    parameters: [],
  });
  return rows.map(({ number }) => number);
}
