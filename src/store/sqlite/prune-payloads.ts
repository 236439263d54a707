import type { Id } from '../../model/id.ts';
import type { Store } from '../store.ts';
import type { PruneResult } from './prune.ts';
import type { Run, WriterContext } from './verbs.ts';

/** Events looked at in one transaction: some milliseconds. */
const MAX_ROWS = 2_000;
const EVENTS_AT_ONCE = 64;

interface Candidate {
  rowid: number;
  id: Id;
  created_at: number;
  is_unfinished: 0 | 1;
  has_data: 0 | 1;
}

/**
 * Forgets the data of old events, tenant by tenant, in the order of event ids. Of each tenant a pass begins where the last
 * one met the first event that stays, or where it ended: so what is forgotten is not walked over every hour.
 */
export function createPrunePayloads({ db }: WriterContext): { prunePayloads: Run } {
  const nextTenant = db
    .prepare('SELECT tenant_id FROM events INDEXED BY events_by_id WHERE tenant_id > ? ORDER BY tenant_id LIMIT 1')
    .pluck();
  const nextEvents = db.prepare(
    `SELECT rowid, id, created_at, fan_out_after IS NOT NULL AS is_unfinished, octet_length(data) > 0 AS has_data
     FROM events INDEXED BY events_by_id WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?`,
  );
  const isOpen = db.prepare(
    `SELECT 1 FROM deliveries INDEXED BY deliveries_by_event
     WHERE tenant_id = ? AND event_id = ? AND status IN ('pending', 'sending', 'held') LIMIT 1`,
  );
  const forget = db.prepare("UPDATE events SET data = '' WHERE rowid = ?");

  /** Up to here everything of a tenant is forgotten. */
  const forgottenTo = new Map<string, Id>();
  /** Where the pass stands: behind this event of this tenant. '' = before the first. */
  let tenant = '';
  let after: Id = '';
  /** One of this tenant stayed in this pass. */
  let someStay = false;

  function goTo(next: string): void {
    tenant = next;
    after = forgottenTo.get(next) ?? '';
    someStay = false;
  }

  function stays({ id, is_unfinished, has_data }: Candidate): boolean {
    return has_data === 1 && (is_unfinished === 1 || isOpen.get(tenant, id) !== undefined);
  }

  /** Goes on with the present tenant; true where nothing old of it is left. */
  function pruneTenant(before: number, spent: { deleted: number; rows: number }, limit: number): boolean {
    while (spent.deleted < limit && spent.rows < MAX_ROWS) {
      const candidates = nextEvents.all(tenant, after, Math.min(EVENTS_AT_ONCE, limit - spent.deleted)) as Candidate[];
      if (candidates.length === 0) return true;
      for (const candidate of candidates) {
        if (candidate.created_at >= before) return true;
        spent.rows += 1;
        after = candidate.id;
        if (stays(candidate)) {
          someStay = true;
          continue;
        }
        if (candidate.has_data === 1) {
          forget.run(candidate.rowid);
          spent.deleted += 1;
        }
        if (!someStay) forgottenTo.set(tenant, candidate.id);
      }
    }
    return false;
  }

  return {
    prunePayloads(stream, at): PruneResult {
      const { before, limit } = stream[at] as Parameters<Store['prunePayloads']>[0];
      const spent = { deleted: 0, rows: 0 };
      while (spent.deleted < limit && spent.rows < MAX_ROWS) {
        if (tenant !== '' && !pruneTenant(before, spent, limit)) continue;
        const next = nextTenant.get(tenant) as string | undefined;
        goTo(next ?? '');
        if (next === undefined) return { deleted: spent.deleted, isDone: true };
        spent.rows += 1;
      }
      return { deleted: spent.deleted, isDone: false };
    },
  };
}
