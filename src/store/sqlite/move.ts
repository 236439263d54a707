import { isEnd, sourcesOf } from '../../model/delivery.ts';
import type { Id } from '../../model/id.ts';
import { idsBefore } from '../records/created-between.ts';
import type { MoveRequest, RedeliverRequest } from '../store.ts';
import type { Run, WriterContext } from './verbs.ts';

/** What a redelivery can begin from. */
const sources = sourcesOf('redeliver');

/** The moves people and endpoints cause. */
export function createMoves({ db, due }: WriterContext): { move: Run; redeliver: Run; acknowledge: Run } {
  const oldest = {
    pending: db
      .prepare(
        `SELECT id FROM deliveries INDEXED BY deliveries_due
         WHERE tenant_id = ? AND endpoint_id = ? AND status = 'pending' AND id < ? AND created_at < ? ORDER BY due_at, id LIMIT ?`,
      )
      .pluck(),
    held: db
      .prepare(
        `SELECT id FROM deliveries INDEXED BY deliveries_held
         WHERE tenant_id = ? AND endpoint_id = ? AND status = 'held' AND id < ? AND created_at < ? ORDER BY id LIMIT ?`,
      )
      .pluck(),
  };
  const moveOne = db.prepare(
    'UPDATE deliveries SET status = ?, reason = ?, due_at = ?, ended_at = ? WHERE tenant_id = ? AND id = ?',
  );
  const redeliverOne = db
    .prepare(
      `UPDATE deliveries
       SET status = 'pending', reason = NULL, due_at = ?, lease = NULL, ended_at = NULL, acknowledged_at = NULL, schedule_start = attempt_count
       WHERE tenant_id = ? AND id = ? AND status IN (SELECT value FROM json_each(?)) AND EXISTS (
         SELECT 1 FROM events e WHERE e.tenant_id = deliveries.tenant_id AND e.id = deliveries.event_id AND octet_length(e.data) > 0)
       RETURNING endpoint_id`,
    )
    .pluck();
  const acknowledgeOne = db.prepare(
    `UPDATE deliveries SET acknowledged_at = coalesce(acknowledged_at, ?) WHERE tenant_id = ? AND id = ? AND status = 'dead_letter'`,
  );

  return {
    move(stream, at) {
      const { tenantId, endpointId, from, to, reason, limit, before, now } = stream[at] as MoveRequest;
      const ids = oldest[from].all(tenantId, endpointId, idsBefore(before), before ?? Number.MAX_SAFE_INTEGER, limit);
      for (const id of ids)
        moveOne.run(to, reason, to === 'pending' ? now : null, isEnd(to) ? now : null, tenantId, id);
      if (to === 'pending' && ids.length > 0) due.note(tenantId, endpointId, now);
      return ids.length;
    },

    redeliver(stream, at) {
      const { tenantId, deliveryIds, from, dueAt, spacingMs } = stream[at] as RedeliverRequest;
      const statuses = JSON.stringify(sources.filter((status) => from?.includes(status) ?? true));
      const moved: Id[] = [];
      for (const id of deliveryIds) {
        const at = Math.round(dueAt + moved.length * spacingMs);
        const endpointId = redeliverOne.get(at, tenantId, id, statuses) as Id | undefined;
        if (endpointId === undefined) continue;
        due.note(tenantId, endpointId, at);
        moved.push(id);
      }
      return moved;
    },

    acknowledge(stream, at) {
      return acknowledgeOne.run(stream[at + 2], stream[at], stream[at + 1]).changes === 1;
    },
  };
}
