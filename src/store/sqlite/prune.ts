import type { Id } from '../../model/id.ts';
import type { Run, WriterContext } from './verbs.ts';

/** Rows looked at and deleted in one transaction: some 20 ms, so that commits behind it do not wait long. */
const MAX_ROWS = 2_000;
const EVENTS_AT_ONCE = 64;

export interface PruneResult {
  /** Events deleted. */
  deleted: number;
  /** Nothing older is left. False with 0 deleted: this slice saw only events that stay; call again. */
  isDone: boolean;
}

interface Candidate {
  rowid: number;
  tenant_id: string;
  id: Id;
  created_at: number;
  fan_out_after: Id | null;
}

/**
 * Deletes what is old. Candidates come in the order of the events table, which is the order of acceptance: no index is
 * paid for on the way in. A pass remembers where it stands, so events that stay are looked at once a pass.
 */
export function createPrune({ db }: WriterContext): { prune: Run } {
  const nextEvents = db.prepare(
    'SELECT rowid, tenant_id, id, created_at, fan_out_after FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?',
  );
  const isOpen = db.prepare(
    `SELECT 1 FROM deliveries INDEXED BY deliveries_by_event
     WHERE tenant_id = ? AND event_id = ? AND status IN ('pending', 'sending', 'held') LIMIT 1`,
  );
  const deliveriesOf = db
    .prepare('SELECT id FROM deliveries INDEXED BY deliveries_by_event WHERE tenant_id = ? AND event_id = ? LIMIT ?')
    .pluck();
  const deleteAttempts = db.prepare('DELETE FROM attempts WHERE tenant_id = ? AND delivery_id = ?');
  const deleteDelivery = db.prepare('DELETE FROM deliveries WHERE tenant_id = ? AND id = ?');
  const deleteKeys = db.prepare('DELETE FROM dedupe WHERE tenant_id = ? AND event_id = ?');
  const deleteEvent = db.prepare('DELETE FROM events WHERE rowid = ?');

  let after = 0;
  /** An event whose many deliveries are deleted in several slices: looked through for open ones only once. */
  let begun = 0;

  /** Deletes up to `room` deliveries of an event, and the event behind the last; returns the rows spent. */
  function forget({ rowid, tenant_id, id }: Candidate, room: number): { rows: number; isGone: boolean } {
    const ids = deliveriesOf.all(tenant_id, id, room) as Id[];
    for (const deliveryId of ids) {
      deleteAttempts.run(tenant_id, deliveryId);
      deleteDelivery.run(tenant_id, deliveryId);
    }
    if (ids.length === room) return { rows: room, isGone: false };
    deleteKeys.run(tenant_id, id);
    deleteEvent.run(rowid);
    return { rows: ids.length + 1, isGone: true };
  }

  return {
    prune(stream, at): PruneResult {
      const before = stream[at] as number;
      const limit = stream[at + 1] as number;
      let deleted = 0;
      let rows = 0;
      while (deleted < limit && rows < MAX_ROWS) {
        const candidates = nextEvents.all(after, Math.min(EVENTS_AT_ONCE, limit - deleted)) as Candidate[];
        for (const candidate of candidates) {
          if (candidate.created_at >= before) {
            after = 0;
            return { deleted, isDone: true };
          }
          if (rows >= MAX_ROWS) return { deleted, isDone: false };
          rows += 1;
          const { rowid, tenant_id, id, fan_out_after } = candidate;
          const stays = begun !== rowid && (fan_out_after !== null || isOpen.get(tenant_id, id) !== undefined);
          if (!stays) {
            const outcome = forget(candidate, MAX_ROWS);
            rows += outcome.rows;
            if (!outcome.isGone) {
              begun = rowid;
              return { deleted, isDone: false };
            }
            deleted += 1;
          }
          after = rowid;
        }
        if (candidates.length === 0) {
          after = 0;
          return { deleted, isDone: true };
        }
      }
      return { deleted, isDone: false };
    },
  };
}
