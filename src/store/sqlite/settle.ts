import { isEnd, transitions } from '../../model/delivery.ts';
import type { DeliveryStatus } from '../../model/delivery.ts';
import type { Id } from '../../model/id.ts';
import type { Settlement } from '../store.ts';
import type { Run, Stream, WriterContext } from './verbs.ts';

const fromSending: ReadonlySet<DeliveryStatus> = new Set(Object.values(transitions.sending));

/** Refuses what the transition table does not have, before it can spoil a batch. */
export function checkSettlement({ status, dueAt, deliveryId }: Settlement): void {
  if (!fromSending.has(status)) throw new Error(`A delivery cannot go from sending to ${status} (${deliveryId}).`);
  if ((dueAt !== null) !== (status === 'pending')) {
    throw new Error(`dueAt belongs to pending and to nothing else (${deliveryId} to ${status}).`);
  }
}

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
  const move = `UPDATE deliveries
    SET status = ?, reason = ?, attempt_count = ?, due_at = ?, last_error = ?, ended_at = ?, lease = NULL
    WHERE tenant_id = ? AND id = ? AND status = 'sending' AND lease = ? AND attempt_count = ?`;
  const end = db.prepare(move);
  const retry = db.prepare(`${move} RETURNING endpoint_id`).pluck();
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
      if (dueAt === null) {
        const { changes } = end.run(
          status,
          stream[at + 3],
          stream[at + 4],
          null,
          stream[at + 6],
          stream[at + 7],
          tenantId,
          deliveryId,
          session,
          stream[at + 8],
        );
        if (changes === 0) return 0;
      } else {
        const endpointId = retry.get(
          status,
          stream[at + 3],
          stream[at + 4],
          dueAt,
          stream[at + 6],
          null,
          tenantId,
          deliveryId,
          session,
          stream[at + 8],
        ) as Id | undefined;
        if (endpointId === undefined) return 0;
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
      return 1;
    },
  };
}
