import type Database from 'better-sqlite3';

/** Rows given back in one transaction. */
const SLICE = 10_000;

/**
 * Begins a session: its number is the lease token of this process. The data directory is locked, so whatever is still
 * `sending` belongs to a process that is gone, and is due again now (epoch ms).
 */
export function beginSession(db: Database.Database, now: number): number {
  const { lastInsertRowid } = db.prepare('INSERT INTO sessions (started_at) VALUES (?)').run(now);
  releaseLeases(db, now);
  return Number(lastInsertRowid);
}

/** Ends it: what it holds is due for the next one at once, and sent without loss of an attempt. */
export function endSession(db: Database.Database, session: number, now: number): void {
  releaseLeases(db, now);
  db.prepare('UPDATE sessions SET ended_at = ? WHERE number = ?').run(now, session);
}

function releaseLeases(db: Database.Database, now: number): void {
  const leased = db.prepare(
    `SELECT tenant_id, id FROM deliveries INDEXED BY deliveries_leased WHERE status = 'sending' LIMIT ${SLICE}`,
  );
  const release = db.prepare(
    `UPDATE deliveries SET status = 'pending', due_at = ?, lease = NULL WHERE tenant_id = ? AND id = ?`,
  );
  const slice = db.transaction(() => {
    const rows = leased.all() as { tenant_id: string; id: string }[];
    for (const { tenant_id, id } of rows) release.run(now, tenant_id, id);
    return rows.length;
  });
  while (slice.immediate() === SLICE);
}
