import type { Id } from '../../model/id.ts';
import type { Store } from '../store.ts';
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
  id: Id;
  created_at: number;
  fan_out_after: Id | null;
}

/**
 * Deletes what is old, tenant by tenant, in the order of event ids, which is the order of acceptance: no index is paid
 * for on the way in, and what one tenant keeps longer than another is never walked over. A pass remembers where it
 * stands, so events that stay though they are old (they have an open delivery) are looked at once a pass.
 */
export function createPrune({ db }: WriterContext): { prune: Run } {
  const nextTenant = db
    .prepare('SELECT tenant_id FROM events INDEXED BY events_by_id WHERE tenant_id > ? ORDER BY tenant_id LIMIT 1')
    .pluck();
  const nextEvents = db.prepare(
    `SELECT rowid, id, created_at, fan_out_after FROM events INDEXED BY events_by_id
     WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?`,
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

  /** Where the pass stands: behind this event of this tenant. '' = before the first. */
  let tenant = '';
  let after: Id = '';
  /** An event whose many deliveries are deleted in several slices: looked through for open ones only once. */
  let begun: Id | null = null;

  function goTo(next: string): void {
    tenant = next;
    after = '';
  }

  /** Deletes up to `room` deliveries of an event, and the event behind the last; returns the rows spent. */
  function forget({ rowid, id }: Candidate, room: number): { rows: number; isGone: boolean } {
    const ids = deliveriesOf.all(tenant, id, room) as Id[];
    for (const deliveryId of ids) {
      deleteAttempts.run(tenant, deliveryId);
      deleteDelivery.run(tenant, deliveryId);
    }
    if (ids.length === room) return { rows: room, isGone: false };
    deleteKeys.run(tenant, id);
    deleteEvent.run(rowid);
    return { rows: ids.length + 1, isGone: true };
  }

  function stays({ id, fan_out_after }: Candidate): boolean {
    return begun !== id && (fan_out_after !== null || isOpen.get(tenant, id) !== undefined);
  }

  /** Goes on with the present tenant; true where nothing old of it is left. */
  function pruneTenant(before: number, spent: { deleted: number; rows: number }, limit: number): boolean {
    while (spent.deleted < limit && spent.rows < MAX_ROWS) {
      // One first: most tenants have nothing old, and their young events need no look.
      const count = after === '' ? 1 : Math.min(EVENTS_AT_ONCE, limit - spent.deleted);
      const candidates = nextEvents.all(tenant, after, count) as Candidate[];
      if (candidates.length === 0) return true;
      for (const candidate of candidates) {
        if (candidate.created_at >= before) return true;
        if (spent.rows >= MAX_ROWS) return false;
        spent.rows += 1;
        if (!stays(candidate)) {
          const { rows, isGone } = forget(candidate, MAX_ROWS);
          spent.rows += rows;
          begun = isGone ? null : candidate.id;
          if (!isGone) return false;
          spent.deleted += 1;
        }
        after = candidate.id;
      }
    }
    return false;
  }

  return {
    prune(stream, at): PruneResult {
      const { before, limit, beforeOf } = stream[at] as Parameters<Store['prune']>[0];
      const spent = { deleted: 0, rows: 0 };
      while (spent.deleted < limit && spent.rows < MAX_ROWS) {
        const ownBefore = tenant === '' ? null : beforeOf.get(tenant);
        const limitOf = ownBefore === undefined ? before : ownBefore;
        if (limitOf !== null && !pruneTenant(limitOf, spent, limit)) continue;
        const next = nextTenant.get(tenant) as string | undefined;
        goTo(next ?? '');
        if (next === undefined) return { deleted: spent.deleted, isDone: true };
        spent.rows += 1;
      }
      return { deleted: spent.deleted, isDone: false };
    },
  };
}
