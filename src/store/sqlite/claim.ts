import type { Event } from '../../model/event.ts';
import type { Id } from '../../model/id.ts';
import { toEvent } from '../records/event-row.ts';
import type { EventRow } from '../records/event-row.ts';
import type { ClaimedDelivery, ClaimRequest, ClaimResult } from '../store.ts';
import type { DueLine } from '../due.ts';
import type { Run, WriterContext } from './verbs.ts';

/** Event data in one answer: past it the claim stops and says that there is more. Bounds memory with large events. */
const MAX_DATA_CHARS = 8 * 1024 * 1024;

interface DueRow {
  id: Id;
  event_id: Id;
  attempt_count: number;
  schedule_start: number;
}

/** Leases what is due. 100 of one endpoint's 100,000, among 1,000 others: see bench/store.ts. */
export function createClaim({ db, session, due }: WriterContext): { claim: Run } {
  const findDue = db.prepare(
    `SELECT id, event_id, attempt_count, schedule_start FROM deliveries INDEXED BY deliveries_due
     WHERE tenant_id = ? AND endpoint_id = ? AND status = 'pending' AND due_at <= ? ORDER BY due_at, id LIMIT ?`,
  );
  const lease = db.prepare(
    `UPDATE deliveries SET status = 'sending', reason = NULL, due_at = NULL, lease = ? WHERE tenant_id = ? AND id = ? AND status = 'pending'`,
  );
  const nextOf = db
    .prepare(
      `SELECT due_at FROM deliveries INDEXED BY deliveries_due
       WHERE tenant_id = ? AND endpoint_id = ? AND status = 'pending' ORDER BY due_at LIMIT 1`,
    )
    .pluck();
  const nextOfAll = db
    .prepare(
      `SELECT due_at FROM deliveries INDEXED BY deliveries_next WHERE status = 'pending' AND due_at > ? ORDER BY due_at LIMIT 1`,
    )
    .pluck();
  const findEvent = db.prepare('SELECT * FROM events WHERE tenant_id = ? AND id = ?');

  /** Leases up to `count` of one endpoint; fewer than `count` were due, or the data is full. */
  function take(into: Taken, line: Pick<DueLine, 'tenantId' | 'endpointId'>, count: number, now: number): number {
    const { tenantId, endpointId } = line;
    const rows = findDue.all(tenantId, endpointId, now, count) as DueRow[];
    for (const row of rows) {
      lease.run(session, tenantId, row.id);
      const { id, event_id, attempt_count, schedule_start } = row;
      into.deliveries.push({
        id,
        endpointId,
        attemptCount: attempt_count,
        scheduleStart: schedule_start,
        event: eventOf(into, tenantId, event_id),
      });
    }
    return rows.length;
  }

  function eventOf(into: Taken, tenantId: string, id: Id): Event {
    const key = `${tenantId}\0${id}`;
    let event = into.events.get(key);
    if (!event) {
      event = toEvent(findEvent.get(tenantId, id) as EventRow);
      into.events.set(key, event);
      into.dataChars += event.data.length;
    }
    return event;
  }

  function claimOnly(into: Taken, request: ClaimRequest): boolean {
    let left = request.limit;
    for (const line of request.only ?? []) {
      if (request.except.has(line.endpointId)) continue;
      if (left === 0 || into.dataChars >= MAX_DATA_CHARS) return true;
      left -= takeInSteps(into, line, Math.min(left, request.perEndpoint), request.now);
    }
    return into.dataChars >= MAX_DATA_CHARS;
  }

  /** Large events are taken a few at a time, so that one endpoint cannot overrun the bound by much. */
  function takeInSteps(
    into: Taken,
    line: Pick<DueLine, 'tenantId' | 'endpointId'>,
    count: number,
    now: number,
  ): number {
    let taken = 0;
    while (taken < count && into.dataChars < MAX_DATA_CHARS) {
      const asked = Math.min(STEP, count - taken);
      const got = take(into, line, asked, now);
      taken += got;
      if (got < asked) break;
    }
    return taken;
  }

  function claimRing(into: Taken, { now, limit, perEndpoint, except }: ClaimRequest): boolean {
    let isFull = false;
    const wasCut = due.handOut(now, { limit, perEndpoint, except }, (line, count) => {
      if (into.dataChars >= MAX_DATA_CHARS) {
        isFull = true;
        return 0;
      }
      const taken = takeInSteps(into, line, count, now);
      if (taken < count && into.dataChars < MAX_DATA_CHARS) {
        due.exhausted(line, (nextOf.get(line.tenantId, line.endpointId) ?? null) as number | null);
      } else if (taken < count) isFull = true;
      return taken;
    });
    return wasCut || isFull;
  }

  return {
    claim(stream, at): ClaimResult {
      const request = stream[at] as ClaimRequest;
      const into: Taken = { deliveries: [], events: new Map(), dataChars: 0 };
      const more = request.only ? claimOnly(into, request) : claimRing(into, request);
      return {
        deliveries: into.deliveries,
        more,
        nextDueAt: (nextOfAll.get(request.now) ?? null) as number | null,
      };
    },
  };
}

const STEP = 32;

interface Taken {
  deliveries: ClaimedDelivery[];
  /** Deliveries of one event share its object, here and, after cloning, on the caller's side. */
  events: Map<string, Event>;
  dataChars: number;
}

/** Fills the ring from the index: one seek per endpoint that has something pending, however long its line. */
export function fillDueRing({ db, due }: Pick<WriterContext, 'db' | 'due'>): void {
  due.clear();
  const ofTenant = db.prepare(
    `SELECT endpoint_id, due_at FROM deliveries INDEXED BY deliveries_due
     WHERE status = 'pending' AND tenant_id = ? AND endpoint_id > ? ORDER BY endpoint_id, due_at LIMIT 1`,
  );
  const nextTenant = db
    .prepare(
      `SELECT tenant_id FROM deliveries INDEXED BY deliveries_due
       WHERE status = 'pending' AND tenant_id > ? ORDER BY tenant_id LIMIT 1`,
    )
    .pluck();
  for (let tenantId = nextTenant.get(''); tenantId !== undefined; tenantId = nextTenant.get(tenantId)) {
    for (let after = ''; ;) {
      const head = ofTenant.get(tenantId, after) as { endpoint_id: Id; due_at: number } | undefined;
      if (!head) break;
      due.note(tenantId as string, head.endpoint_id, head.due_at);
      after = head.endpoint_id;
    }
  }
}
