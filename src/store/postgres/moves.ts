import { isEnd, sourcesOf } from '../../model/delivery.ts';
import type { DeliveryStatus } from '../../model/delivery.ts';
import type { Id } from '../../model/id.ts';
import { idsBefore } from '../records/created-between.ts';
import type { MoveRequest, RedeliverRequest } from '../store.ts';
import { asciiArray, int8Array } from './binary-array.ts';
import type { Run } from './connections.ts';
import type { Context } from './context.ts';
import { holdHistory } from './prune-locks.ts';
import { rowsOf } from './rows.ts';

/** What a redelivery can begin from, in each of the two tables. */
const sources = sourcesOf('redeliver');
const OPEN = sources.filter((status) => !isEnd(status));
const ENDED = sources.filter(isEnd);

/** Rows that another node has locked just now are waited for: a move is not done before they are. */
function oldest(from: MoveRequest['from']): string {
  return `SELECT tenant_id, id FROM posthorn.open_deliveries
    WHERE tenant_id = $1 AND endpoint_id = $2 AND status = '${from}' AND id < $4 AND created_at < $5::bigint
    ORDER BY ${from === 'pending' ? 'due_at, id' : 'id'} LIMIT $3 FOR UPDATE`;
}

function keep(from: MoveRequest['from']): string {
  return `WITH those AS (${oldest(from)})
    UPDATE posthorn.open_deliveries d SET status = $6, reason = $7, due_at = $8::bigint
    FROM those t WHERE d.tenant_id = t.tenant_id AND d.id = t.id`;
}

function cancel(from: MoveRequest['from']): string {
  return `WITH those AS (${oldest(from)}), gone AS (
      DELETE FROM posthorn.open_deliveries d USING those t WHERE d.tenant_id = t.tenant_id AND d.id = t.id RETURNING d.*
    )
    INSERT INTO posthorn.ended_deliveries
      (tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, last_error, created_at, ended_at)
    SELECT tenant_id, id, event_id, endpoint_id, 'cancelled', $6, attempt_count, schedule_start, last_error, created_at, $7::bigint
    FROM gone`;
}

/** The moves people and endpoints cause. */
export class Moving {
  readonly #c: Context;

  constructor(context: Context) {
    this.#c = context;
  }

  /** Resolves to fewer than `limit` only where a look found nothing more. */
  async move(request: MoveRequest): Promise<number> {
    const { tenantId, endpointId, to, limit, now } = request;
    let moved = 0;
    // A row that changed hands while it was waited for leaves a slice short: it is done when a slice is empty.
    for (;;) {
      const slice = await this.#slice({ ...request, limit: limit - moved });
      moved += slice;
      if (slice === 0 || moved >= limit) break;
    }
    if (to === 'pending' && moved > 0) this.#c.noteDue(tenantId, endpointId, now);
    return moved;
  }

  async #slice({ tenantId, endpointId, from, to, reason, limit, before, now }: MoveRequest): Promise<number> {
    const whose = [tenantId, endpointId, limit, idsBefore(before), before ?? Number.MAX_SAFE_INTEGER];
    const { rowCount } = await this.#c.connections.query(
      to === 'cancelled'
        ? { name: `cancel_${from}`, sql: cancel(from), parameters: [...whose, reason, now] }
        : { name: `move_${from}`, sql: keep(from), parameters: [...whose, to, reason, to === 'pending' ? now : null] },
    );
    return rowCount;
  }

  async redeliver(request: RedeliverRequest): Promise<Id[]> {
    const { tenantId, deliveryIds, from = sources, dueAt, spacingMs } = request;
    const moved = await this.#c.connections.transaction(async (run) => {
      await run(holdHistory);
      const found = await movable(run, tenantId, deliveryIds, from);
      const those = deliveryIds
        .filter((id) => found.has(id))
        .map((id, i) => ({ id, endpointId: found.get(id)!, dueAt: Math.round(dueAt + i * spacingMs) }));
      if (those.length > 0) {
        const tenantIds = asciiArray(those.map(() => tenantId));
        const ids = asciiArray(those.map(({ id }) => id));
        const times = int8Array(those.map((one) => one.dueAt));
        await run({ name: 'redeliver_open', sql: REDELIVER_OPEN, parameters: [tenantIds, ids, times] });
        await run({ name: 'redeliver_ended', sql: REDELIVER_ENDED, parameters: [tenantIds, ids, times] });
      }
      return those;
    });
    for (const one of moved) this.#c.noteDue(tenantId, one.endpointId, one.dueAt);
    return moved.map(({ id }) => id);
  }

  async acknowledge(tenantId: string, deliveryId: Id, now: number): Promise<boolean> {
    const { rowCount } = await this.#c.connections.query({
      sql: `UPDATE posthorn.ended_deliveries SET acknowledged_at = coalesce(acknowledged_at, $3::bigint)
            WHERE tenant_id = $1 AND id = $2 AND status = 'dead_letter'`,
      parameters: [tenantId, deliveryId, now],
    });
    return rowCount === 1;
  }
}

/**
 * The tenant comes with the ids, row by row, although it is the same: to `tenant_id = $1` alone an index answers, too, with
 * everything that the tenant has, and a planner that takes the table for empty joins the ids to that.
 */
const KEYS = { tenant_id: '$1::text[]', id: '$2::text[]' };
const IDS = `(${rowsOf(KEYS)}) s`;
const IDS_AND_TIMES = `(${rowsOf({ ...KEYS, due_at: '$3::bigint[]' })}) s`;
const BY_ID = 'd.tenant_id = s.tenant_id AND d.id = s.id';

/** Locked in the order of the ids. Without its payload an event cannot be sent: such deliveries stay as they are. */
function lock(table: 'open_deliveries' | 'ended_deliveries'): string {
  return `SELECT d.id, d.endpoint_id FROM ${IDS} JOIN posthorn.${table} d ON ${BY_ID}
    WHERE d.status = ANY($3::text[])
      AND (SELECT true FROM posthorn.payloads p WHERE p.tenant_id = d.tenant_id AND p.event_id = d.event_id LIMIT 1)
    FOR UPDATE OF d`;
}

const REDELIVER_OPEN = `UPDATE posthorn.open_deliveries d
  SET status = 'pending', reason = NULL, due_at = s.due_at, schedule_start = attempt_count
  FROM ${IDS_AND_TIMES} WHERE ${BY_ID}`;
const REDELIVER_ENDED = `WITH back AS (
    DELETE FROM posthorn.ended_deliveries d USING ${IDS_AND_TIMES} WHERE ${BY_ID} RETURNING d.*, s.due_at
  )
  INSERT INTO posthorn.open_deliveries
    (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, due_at, last_error, created_at, size)
  SELECT b.tenant_id, b.id, b.event_id, b.endpoint_id, 'pending', b.attempt_count, b.attempt_count, b.due_at, b.last_error, b.created_at,
    length(p.data)
  FROM back b JOIN posthorn.payloads p ON p.tenant_id = b.tenant_id AND p.event_id = b.event_id`;

/** Those that may move, locked, with their endpoints. */
async function movable(
  run: Run,
  tenantId: string,
  ids: readonly Id[],
  from: readonly DeliveryStatus[],
): Promise<Map<Id, Id>> {
  const keys = [asciiArray(ids.map(() => tenantId)), asciiArray(ids.toSorted())];
  const look = (table: Parameters<typeof lock>[0], statuses: readonly DeliveryStatus[]) => {
    const parameters = [...keys, asciiArray(statuses.filter((status) => from.includes(status)))];
    return run<{ id: Id; endpoint_id: Id }>({ name: `redeliver_lock_${table}`, sql: lock(table), parameters });
  };
  const open = await look('open_deliveries', OPEN);
  const ended = await look('ended_deliveries', ENDED);
  return new Map([...open.rows, ...ended.rows].map((row) => [row.id, row.endpoint_id]));
}
