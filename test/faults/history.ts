import { expect } from 'vitest';
import type { Received, Receiver } from '../e2e/receiver.ts';
import type { PostgresServer } from '../postgres/server.ts';

/** What the store says became of one event with one endpoint. */
export interface HistoryRow {
  ownId: string;
  status: string;
  attemptCount: number;
  /** Status codes of the attempts, in order; 0 = no answer. */
  codes: number[];
}

const HISTORY = `
  SELECT e.own_id AS "ownId", d.status, d.attempt_count AS "attemptCount",
    coalesce((SELECT array_agg(coalesce(a.status_code, 0) ORDER BY a.number) FROM posthorn.attempts a
      WHERE a.tenant_id = d.tenant_id AND a.delivery_id = d.id), '{}') AS codes
  FROM posthorn.events e LEFT JOIN posthorn.deliveries d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
  ORDER BY e.id`;

export async function historyOf(server: PostgresServer, database: string): Promise<HistoryRow[]> {
  return server.query<HistoryRow>(HISTORY, database);
}

/** Resolves once no delivery is open any more; rejects with what is, after a while. */
export async function whenAllEnded(server: PostgresServer, database: string, timeoutMs = 30_000): Promise<void> {
  await expect
    .poll(
      () =>
        server.query(
          'SELECT status, count(*)::int AS n FROM posthorn.deliveries WHERE ended_at IS NULL GROUP BY status',
          database,
        ),
      { timeout: timeoutMs, interval: 100 },
    )
    .toEqual([]);
}

/** How many copies of each event arrived. */
export function copiesOf(requests: readonly Received[]): Map<string, number> {
  const copies = new Map<string, number>();
  for (const { headers } of requests) {
    const id = String(headers['webhook-id']);
    copies.set(id, (copies.get(id) ?? 0) + 1);
  }
  return copies;
}

export interface Agreement {
  server: PostgresServer;
  database: string;
  receiver: Receiver;
  /** Ids that were answered with 202, all of them for the one endpoint. */
  accepted: ReadonlyMap<string, unknown>;
  /** Copies of one event beyond the attempts in its history; 0 = none. */
  extraCopies: number;
  /** The same over all events together. */
  extraInAll: number;
}

/**
 * Nothing was lost, nothing is there twice, and the history agrees with what the receiver saw: for one endpoint whose
 * receiver always answers 200. @returns how many copies were extra
 */
export async function expectAgreement(given: Agreement): Promise<number> {
  const { accepted, receiver, extraCopies, extraInAll } = given;
  const rows = await historyOf(given.server, given.database);
  const copies = copiesOf(receiver.requests);
  const ids = rows.map(({ ownId }) => ownId);
  expect(ids.length, 'events stored twice').toBe(new Set(ids).size);
  expect([...accepted.keys()].filter((id) => !copies.has(id))).toEqual([]);
  expect(new Set(ids)).toEqual(new Set(accepted.keys()));
  expect([...copies.keys()].filter((id) => !accepted.has(id))).toEqual([]);
  let extra = 0;
  for (const row of rows) {
    expect(row, row.ownId).toMatchObject({ status: 'delivered', attemptCount: row.codes.length });
    expect(row.codes.at(-1), row.ownId).toBe(200);
    // An attempt whose answer never came in (code 0) may have been seen or not; one with a code was.
    const answered = row.codes.filter((code) => code !== 0).length;
    const copiesOfIt = copies.get(row.ownId)!;
    expect(copiesOfIt, row.ownId).toBeGreaterThanOrEqual(answered);
    expect(copiesOfIt - row.codes.length, `extra copies of ${row.ownId}`).toBeLessThanOrEqual(extraCopies);
    extra += Math.max(0, copiesOfIt - row.codes.length);
  }
  expect(extra, 'extra copies in all').toBeLessThanOrEqual(extraInAll);
  return extra;
}
