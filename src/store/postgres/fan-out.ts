import { notFound, PosthornError } from '../../errors.ts';
import type { Event } from '../../model/event.ts';
import type { Id } from '../../model/id.ts';
import { toEvent } from '../records/event-row.ts';
import type { EventRow } from '../records/event-row.ts';
import type { FanOutSlice, NewDelivery } from '../store.ts';
import { DeliveryColumns } from './accept.ts';
import type { Run } from './connections.ts';
import type { Context } from './context.ts';
import type { Doubts } from './doubts.ts';
import { isOfTheStore } from './failure.ts';
import { holdHistory } from './prune-locks.ts';

const COLUMNS = `(tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, due_at, lease, created_at, size)`;
/** `$1` is the lease; `$2` to `$10` are the columns of {@link DeliveryColumns}. */
const deliveries = (size: string): string => `SELECT tenant_id, id, event_id, endpoint_id, status, reason, 0, 0, due_at,
    CASE WHEN status = 'sending' THEN $1::bigint END, created_at, ${size}
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::int[], $8::text[], $9::text[], $10::bigint[])
    AS u(tenant_id, id, event_id, endpoint_id, created_at, size, status, reason, due_at)`;

/** The same for every delivery of one event: looked up once. */
const SIZE =
  '(SELECT coalesce(max(length(p.data)), 0) FROM posthorn.payloads p WHERE p.tenant_id = $11 AND p.event_id = $12)';

const EXTEND = `WITH e AS (
    UPDATE posthorn.events SET fan_out_after = $14 WHERE tenant_id = $11 AND id = $12 AND fan_out_after = $13 RETURNING id
  ), d AS (
    INSERT INTO posthorn.open_deliveries ${COLUMNS} ${deliveries(SIZE)} WHERE EXISTS (SELECT FROM e)
  )
  SELECT id FROM e`;

/** Each is handed to one node: those of this node that are not under way, and those of nodes that are gone. */
const TAKE_UNFINISHED = `WITH those AS (
    SELECT e.tenant_id, e.id FROM posthorn.events e
    WHERE e.fan_out_after IS NOT NULL AND (e.fan_out_node IS NULL OR e.fan_out_node = $1::bigint
      OR NOT EXISTS (SELECT FROM posthorn.nodes n WHERE n.number = e.fan_out_node AND n.ended_at IS NULL))
    ORDER BY e.id LIMIT $2 FOR UPDATE SKIP LOCKED
  ), taken AS (
    UPDATE posthorn.events e SET fan_out_node = $1::bigint FROM those t WHERE e.tenant_id = t.tenant_id AND e.id = t.id
    RETURNING e.*
  )
  SELECT t.*, coalesce(p.data, '') AS data FROM taken t
  LEFT JOIN posthorn.payloads p ON p.tenant_id = t.tenant_id AND p.event_id = t.id ORDER BY t.id`;

interface UnfinishedRow extends EventRow, Record<string, unknown> {
  fan_out_after: Id;
}

/** Deliveries that are added to an event which is stored. */
export class FanningOut {
  readonly #c: Context;
  readonly #doubts: Doubts;

  constructor(context: Context, doubts: Doubts) {
    this.#c = context;
    this.#doubts = doubts;
  }

  async extend({ tenantId, eventId, deliveries: those, from, after, now }: FanOutSlice): Promise<boolean> {
    const columns = columnsOf(tenantId, eventId, 0, now, those);
    const node = this.#c.node();
    const { rowCount } = await this.#certain(columns, node, () =>
      this.#c.connections.query({
        name: 'extend_fan_out',
        sql: EXTEND,
        parameters: [node, ...columns.parameters(), tenantId, eventId, from, after],
      }),
    );
    if (rowCount === 0) return false;
    columns.noteDue(this.#c);
    return true;
  }

  /** An event's row is locked meanwhile: two replays at once must not send twice. */
  async add(tenantId: string, eventId: Id, wanted: readonly NewDelivery[], now: number): Promise<Id[]> {
    const node = this.#c.node();
    const tried = columnsOf(tenantId, eventId, 0, now, wanted);
    const add = async (run: Run): Promise<DeliveryColumns> => {
      await run(holdHistory);
      const [event] = (
        await run<{ fan_out_after: Id | null; size: number | null }>({
          sql: `SELECT e.fan_out_after,
                  (SELECT length(p.data) FROM posthorn.payloads p WHERE p.tenant_id = e.tenant_id AND p.event_id = e.id) AS size
                FROM posthorn.events e WHERE e.tenant_id = $1 AND e.id = $2 FOR NO KEY UPDATE`,
          parameters: [tenantId, eventId],
        })
      ).rows;
      if (!event) throw notFound('event', eventId);
      if (event.fan_out_after !== null) {
        throw new PosthornError(
          'INVALID_STATE',
          'The event is still on its way to its webhooks; try again in a second.',
        );
      }
      if (event.size === null)
        throw new PosthornError('INVALID_STATE', 'The payload of the event is past its retention.');
      const { rows } = await run<{ endpoint_id: Id }>({
        sql: 'SELECT endpoint_id FROM posthorn.deliveries WHERE tenant_id = $1 AND event_id = $2',
        parameters: [tenantId, eventId],
      });
      const served = new Set(rows.map((row) => row.endpoint_id));
      const fresh = wanted.filter(({ endpointId }) => !served.has(endpointId));
      const columns = columnsOf(tenantId, eventId, event.size, now, fresh);
      const sql = `INSERT INTO posthorn.open_deliveries ${COLUMNS} ${deliveries('size')}`;
      if (fresh.length > 0) await run({ name: 'add_deliveries', sql, parameters: [node, ...columns.parameters()] });
      return columns;
    };
    const columns = await this.#certain(tried, node, () => this.#c.connections.transaction(add));
    columns.noteDue(this.#c);
    return columns.ids;
  }

  /** Where the answer is lost its caller sends none of them: what was stored all the same is given back. */
  async #certain<Result>(columns: DeliveryColumns, node: number, store: () => Promise<Result>): Promise<Result> {
    try {
      return await store();
    } catch (error) {
      if (isOfTheStore(error)) {
        this.#doubts.giveUp(columns.leased(), node);
        columns.noteDue(this.#c);
      }
      throw error;
    }
  }

  async takeUnfinished(limit: number): Promise<{ event: Event; after: Id }[]> {
    const { rows } = await this.#c.connections.query<UnfinishedRow>({
      sql: TAKE_UNFINISHED,
      parameters: [this.#c.node(), limit],
    });
    return rows.map((row) => ({ event: toEvent(row), after: row.fan_out_after }));
  }
}

function columnsOf(
  tenantId: string,
  eventId: Id,
  size: number,
  now: number,
  deliveries: readonly NewDelivery[],
): DeliveryColumns {
  const columns = new DeliveryColumns();
  columns.push(tenantId, eventId, size, now, deliveries);
  return columns;
}
