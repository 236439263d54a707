import type { Id } from '../../model/id.ts';
import type { AcceptEntry, AcceptOutcome, FanOutSlice, NewDelivery } from '../store.ts';
import { notFound, PosthornError } from '../../errors.ts';
import type { Run, Stream, WriterContext } from './verbs.ts';

const STATUSES = ['sending', 'pending', 'held'] as const;
const HELD_OVER_QUOTA = STATUSES.length;

export function packAccept(stream: Stream, entries: readonly AcceptEntry[]): void {
  stream.push(entries.length);
  for (const { event, dedupe, deliveries, fanOutAfter } of entries) {
    stream.push(
      event.tenantId,
      event.id,
      event.ownId,
      event.type,
      event.occurredAt,
      event.category,
      event.group,
      event.source,
      event.createdAt,
      fanOutAfter,
      event.data,
      dedupe.length,
    );
    for (const { key, fingerprint } of dedupe) stream.push(key, fingerprint);
    packDeliveries(stream, deliveries);
  }
}

function packDeliveries(stream: Stream, deliveries: readonly NewDelivery[]): void {
  stream.push(deliveries.length);
  for (const { id, endpointId, status, dueAt, reason } of deliveries) {
    const code = reason === 'over_quota' ? HELD_OVER_QUOTA : STATUSES.indexOf(status);
    stream.push(id, endpointId, code, dueAt ?? null);
  }
}

export function packFanOut(stream: Stream, slice: FanOutSlice): void {
  stream.push(slice.tenantId, slice.eventId, slice.from, slice.after, slice.now);
  packDeliveries(stream, slice.deliveries);
}

export function packAddDeliveries(
  stream: Stream,
  tenantId: string,
  eventId: Id,
  deliveries: readonly NewDelivery[],
  now: number,
): void {
  stream.push(tenantId, eventId, now);
  packDeliveries(stream, deliveries);
}

function isPlain(stream: Stream, at: number): boolean {
  return (
    stream[at + 2] === null &&
    stream[at + 5] === null &&
    stream[at + 6] === null &&
    stream[at + 7] === null &&
    stream[at + 9] === null
  );
}

interface Known {
  event_id: Id;
  fingerprint: string;
}

/** The verbs that create events and deliveries. */
export function createAccept({ db, session, due }: WriterContext): {
  accept: Run;
  extendFanOut: Run;
  addDeliveries: Run;
} {
  const insertEvent = db.prepare(
    `INSERT INTO events (tenant_id, id, own_id, type, occurred_at, category, group_key, source, created_at, fan_out_after, data)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  // Binding a value costs 60 ns, so the usual row (no own id, category, group, source; born leased) binds only what varies.
  const insertPlainEvent = db.prepare(
    'INSERT INTO events (tenant_id, id, type, occurred_at, created_at, data) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const insertDelivery = db.prepare(
    `INSERT INTO deliveries (tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, due_at, created_at)
     VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?)`,
  );
  const insertLeased = db.prepare(
    `INSERT INTO deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, lease, created_at)
     VALUES (?, ?, ?, ?, 'sending', 0, 0, ${session}, ?)`,
  );
  const findKey = db.prepare('SELECT event_id, fingerprint FROM dedupe WHERE tenant_id = ? AND key = ?');
  const insertKey = db.prepare(
    'INSERT OR IGNORE INTO dedupe (tenant_id, key, event_id, fingerprint) VALUES (?, ?, ?, ?)',
  );
  const eventAsItIs = db.prepare(
    'SELECT fan_out_after, octet_length(data) > 0 AS has_data FROM events WHERE tenant_id = ? AND id = ?',
  );
  const ownIdOf = db.prepare('SELECT own_id FROM events WHERE tenant_id = ? AND id = ?').pluck();
  const deliveriesOf = db.prepare('SELECT count(*) FROM deliveries WHERE tenant_id = ? AND event_id = ?').pluck();
  const endpointsOf = db.prepare('SELECT endpoint_id FROM deliveries WHERE tenant_id = ? AND event_id = ?').pluck();
  const setFanOut = db.prepare(
    'UPDATE events SET fan_out_after = ? WHERE tenant_id = ? AND id = ? AND fan_out_after = ?',
  );

  function duplicateOf(tenantId: string, stream: Stream, at: number, end: number): AcceptOutcome | null {
    let found: Known | null = null;
    let sameBody = true;
    for (let i = at; i < end; i += 2) {
      const known = findKey.get(tenantId, stream[i]) as Known | undefined;
      if (!known) continue;
      // Two keys that name two events cannot both mean this body.
      if (known.fingerprint !== stream[i + 1] || (found && found.event_id !== known.event_id)) sameBody = false;
      found ??= known;
    }
    if (!found) return null;
    const eventId = found.event_id;
    const ownId = (ownIdOf.get(tenantId, eventId) ?? null) as string | null;
    return { kind: 'duplicate', eventId, ownId, deliveries: deliveriesOf.get(tenantId, eventId) as number, sameBody };
  }

  function insertDeliveries(
    tenantId: unknown,
    eventId: unknown,
    stream: Stream,
    at: number,
    now: unknown,
    except: ReadonlySet<unknown> | null,
  ): number {
    const end = at + 1 + (stream[at] as number) * 4;
    for (let i = at + 1; i < end; i += 4) {
      const endpointId = stream[i + 1];
      if (except?.has(endpointId)) continue;
      switch (stream[i + 2]) {
        case 0:
          insertLeased.run(tenantId, stream[i], eventId, endpointId, now);
          break;
        case 1: {
          const dueAt = (stream[i + 3] ?? now) as number;
          insertDelivery.run(tenantId, stream[i], eventId, endpointId, 'pending', null, dueAt, now);
          due.note(tenantId as string, endpointId as Id, dueAt);
          break;
        }
        default: {
          const reason = stream[i + 2] === HELD_OVER_QUOTA ? 'over_quota' : 'endpoint_disabled';
          insertDelivery.run(tenantId, stream[i], eventId, endpointId, 'held', reason, null, now);
        }
      }
    }
    return end;
  }

  /** The outcomes of a call of which nothing is stored, since one of its entries repeats a key with another body; else null. */
  function conflictIn(stream: Stream, start: number, count: number): AcceptOutcome[] | null {
    let at = start;
    for (let n = 0; n < count; n++) {
      const keysAt = at + 12;
      const keysEnd = keysAt + (stream[at + 11] as number) * 2;
      const known = keysEnd > keysAt ? duplicateOf(stream[at] as string, stream, keysAt, keysEnd) : null;
      if (known?.kind === 'duplicate' && !known.sameBody) {
        return Array.from({ length: count }, (_, i) => (i === n ? known : { kind: 'accepted' }));
      }
      at = keysEnd + 1 + (stream[keysEnd] as number) * 4;
    }
    return null;
  }

  return {
    accept(stream, start) {
      let at = start;
      const count = stream[at++] as number;
      // Several are accepted together or not at all, so they are looked through before the first is stored.
      const conflict = count > 1 ? conflictIn(stream, at, count) : null;
      if (conflict) return conflict;
      let outcomes: AcceptOutcome[] | null = null;
      for (let n = 0; n < count; n++) {
        const tenantId = stream[at] as string;
        const eventId = stream[at + 1];
        const createdAt = stream[at + 8];
        const keysAt = at + 12;
        const keysEnd = keysAt + (stream[at + 11] as number) * 2;
        const duplicate = keysEnd > keysAt ? duplicateOf(tenantId, stream, keysAt, keysEnd) : null;
        if (duplicate) {
          outcomes ??= Array.from({ length: count }, () => ({ kind: 'accepted' }));
          outcomes[n] = duplicate;
          at = keysEnd + 1 + (stream[keysEnd] as number) * 4;
          continue;
        }
        if (isPlain(stream, at)) {
          insertPlainEvent.run(tenantId, eventId, stream[at + 3], stream[at + 4], createdAt, stream[at + 10]);
        } else insertEvent.run(stream.slice(at, at + 11));
        for (let i = keysAt; i < keysEnd; i += 2) insertKey.run(tenantId, stream[i], eventId, stream[i + 1]);
        at = insertDeliveries(tenantId, eventId, stream, keysEnd, createdAt, null);
      }
      return outcomes ?? count;
    },

    extendFanOut(stream, at) {
      const [tenantId, eventId, from, after, now] = stream.slice(at, at + 5);
      if (setFanOut.run(after, tenantId, eventId, from).changes === 0) return false;
      insertDeliveries(tenantId, eventId, stream, at + 5, now, null);
      return true;
    },

    addDeliveries(stream, at) {
      const [tenantId, eventId, now] = [stream[at], stream[at + 1], stream[at + 2]];
      const event = eventAsItIs.get(tenantId, eventId) as { fan_out_after: Id | null; has_data: 0 | 1 } | undefined;
      if (!event) throw notFound('event', String(eventId));
      if (event.has_data === 0)
        throw new PosthornError('INVALID_STATE', 'The payload of the event is past its retention.');
      if (event.fan_out_after !== null) {
        throw new PosthornError(
          'INVALID_STATE',
          'The event is still on its way to its webhooks; try again in a second.',
        );
      }
      // Two replays at once must not send twice: whoever comes second finds the endpoint served.
      const served = new Set(endpointsOf.all(tenantId, eventId));
      const end = insertDeliveries(tenantId, eventId, stream, at + 3, now, served);
      const stored: Id[] = [];
      for (let i = at + 4; i < end; i += 4) if (!served.has(stream[i + 1])) stored.push(stream[i] as Id);
      return stored;
    },
  };
}
