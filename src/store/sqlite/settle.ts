import { isEnd } from '../../model/delivery.ts';
import type { Id } from '../../model/id.ts';
import type { Settlement } from '../store.ts';
import type { Run, Stream, WriterContext } from './verbs.ts';

export function packSettlement(stream: Stream, settlement: Settlement): void {
  const { attempt, status, attemptCount } = settlement;
  stream.push(
    settlement.tenantId,
    settlement.deliveryId,
    status,
    settlement.reason,
    attemptCount,
    settlement.dueAt,
    settlement.lastError,
    isEnd(status) ? settlement.now : null,
    attempt ? attemptCount - 1 : attemptCount,
  );
  if (!attempt) return;
  stream.push(
    attempt.number,
    attempt.startedAt,
    attempt.durationMs,
    attempt.succeeded ? 1 : 0,
    attempt.statusCode,
    attempt.failure,
    attempt.detail,
  );
}

/** Positions behind which a settlement with an attempt goes on. */
const ATTEMPT_AT = 9;

/**
 * Fenced twice: by the lease, and by the number of attempts made before, so that not even a process whose writer was
 * started anew can write the same attempt twice.
 */
export function createSettle({ db, session, due }: WriterContext): { settle: Run } {
  const held = `tenant_id = ? AND id = ? AND status = 'sending' AND lease = ${session} AND attempt_count = ?`;
  // The usual end binds only what varies: each bound value costs 60 ns.
  const deliver = db.prepare(
    `UPDATE deliveries SET status = 'delivered', reason = NULL, attempt_count = ?, last_error = NULL, ended_at = ?, lease = NULL WHERE ${held}`,
  );
  const end = db.prepare(
    `UPDATE deliveries SET status = ?, reason = ?, attempt_count = ?, last_error = coalesce(?, last_error), ended_at = ?, lease = NULL WHERE ${held}`,
  );
  const retry = db
    .prepare(
      `UPDATE deliveries SET status = 'pending', reason = ?, attempt_count = ?, due_at = ?, last_error = coalesce(?, last_error), lease = NULL
       WHERE ${held} RETURNING endpoint_id`,
    )
    .pluck();
  const insertAttempt = db.prepare(
    `INSERT INTO attempts (tenant_id, delivery_id, number, started_at, duration_ms, succeeded, status_code, failure, detail)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );

  return {
    settle(stream, at) {
      const tenantId = stream[at] as string;
      const deliveryId = stream[at + 1];
      const status = stream[at + 2];
      const dueAt = stream[at + 5] as number | null;
      const reason = stream[at + 3];
      const attemptCount = stream[at + 4];
      const lastError = stream[at + 6];
      const endedAt = stream[at + 7];
      const countBefore = stream[at + 8];
      if (dueAt === null) {
        const { changes } =
          status === 'delivered' && reason === null && lastError === null
            ? deliver.run(attemptCount, endedAt, tenantId, deliveryId, countBefore)
            : end.run(status, reason, attemptCount, lastError, endedAt, tenantId, deliveryId, countBefore);
        if (changes === 0) return false;
      } else {
        const endpointId = retry.get(reason, attemptCount, dueAt, lastError, tenantId, deliveryId, countBefore) as
          Id | undefined;
        if (endpointId === undefined) return false;
        due.note(tenantId, endpointId, dueAt);
      }
      const attempt = at + ATTEMPT_AT;
      if (attempt < (stream[at - 1] as number)) {
        insertAttempt.run(
          tenantId,
          deliveryId,
          stream[attempt],
          stream[attempt + 1],
          stream[attempt + 2],
          stream[attempt + 3],
          stream[attempt + 4],
          stream[attempt + 5],
          stream[attempt + 6],
        );
      }
      return true;
    },
  };
}
