import type { OutboxRow, OutboxSource, OutboxVerdict } from '../outbox.ts';
import type { Connections } from './connections.ts';

/** Of the payloads of one take: they are in memory at once. The first row is taken whatever its size. */
const MAX_BYTES = 8 * 1024 * 1024;
/** A node that stops in the middle of a take (SIGSTOP, a lost machine) keeps the others from it no longer than this. */
const STALL_MS = 15_000;

/**
 * One node takes at a time, under a lock that ends with its transaction: two would hand on the rows of one session side
 * by side, out of their order. The lock is in a CTE, so rows that are gone since this statement began may still be seen;
 * FOR UPDATE passes them over.
 */
const TAKE = `
WITH turn AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock(hashtextextended('posthorn.outbox relay', 0)) AS mine,
         set_config('idle_in_transaction_session_timeout', $3, true) AS stall
), next AS MATERIALIZED (
  SELECT id, octet_length(data) AS bytes FROM posthorn.outbox
  WHERE (SELECT mine AND stall IS NOT NULL FROM turn) AND failed_at IS NULL AND id <> ALL ($2::bigint[])
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), counted AS (
  SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM next
)
SELECT turn.mine, o.id, o.tenant_id, o.type, o.data, o.own_id, o.category, o.group_key, o.source,
       CASE WHEN isfinite(o.occurred_at) THEN floor(extract(epoch FROM o.occurred_at) * 1000)::bigint END AS occurred_at,
       floor(extract(epoch FROM CASE WHEN isfinite(o.created_at) THEN o.created_at ELSE clock_timestamp() END) * 1000)::bigint AS created_at,
       extract(epoch FROM o.created_at)::text AS created_exactly
FROM turn LEFT JOIN (counted c JOIN posthorn.outbox o ON o.id = c.id AND o.failed_at IS NULL AND c.before < ${MAX_BYTES}) ON true
ORDER BY o.id`;

const DELETE = 'DELETE FROM posthorn.outbox WHERE id = ANY ($1::bigint[]) AND failed_at IS NULL';

const SET_ASIDE = `
UPDATE posthorn.outbox o SET failed_at = clock_timestamp(), error = bad.error
FROM unnest($1::bigint[], $2::text[]) AS bad (id, error)
WHERE o.id = bad.id AND o.failed_at IS NULL`;

interface Row {
  mine: boolean;
  id: number | null;
  tenant_id: string;
  type: string;
  data: string;
  own_id: string | null;
  category: string | null;
  group_key: string | null;
  source: string | null;
  occurred_at: number | null;
  created_at: number;
  created_exactly: string;
}

export interface PostgresOutboxOptions {
  connections: Connections;
  /** Calls the listener whenever some transaction that emitted has committed: a hint. */
  onHint: (listener: () => void) => void;
  /** After how long a take that stands still is cut off; default 15,000. */
  stallMs?: number;
}

/** The table `outbox`, which `posthorn.emit` fills. Keeps one connection of the pool while it takes. */
export function createPostgresOutbox({ connections, onHint, stallMs = STALL_MS }: PostgresOutboxOptions): OutboxSource {
  return {
    pollMs: 250,
    onFilled: onHint,
    take: ({ limit, except }, publish) =>
      connections.transaction(async (run) => {
        const { rows } = await run<Row>({ sql: TAKE, parameters: [limit, except, String(stallMs)] });
        if (!rows[0]!.mine) return null;
        const taken = rows.filter(({ id }) => id !== null).map(toOutboxRow);
        if (taken.length === 0) return 0;
        const { done, refused, errors } = sorted(taken, await publish(taken));
        if (done.length > 0) await run({ sql: DELETE, parameters: [done] });
        if (refused.length > 0) await run({ sql: SET_ASIDE, parameters: [refused, errors] });
        return taken.length;
      }),
    close: () => undefined,
  };
}

function toOutboxRow(row: Row): OutboxRow {
  const id = row.id!;
  return {
    id,
    // Ids begin anew in a database made anew; the moment does not come again.
    key: `${id} ${row.created_exactly}`,
    tenantId: row.tenant_id,
    type: row.type,
    data: row.data,
    ownId: row.own_id,
    occurredAt: row.occurred_at,
    category: row.category,
    group: row.group_key,
    source: row.source,
    createdAt: row.created_at,
  };
}

function sorted(
  rows: readonly OutboxRow[],
  verdicts: readonly OutboxVerdict[],
): { done: number[]; refused: number[]; errors: string[] } {
  const done: number[] = [];
  const refused: number[] = [];
  const errors: string[] = [];
  rows.forEach(({ id }, i) => {
    const verdict = verdicts[i]!;
    if (verdict === 'done') done.push(id);
    else if (verdict !== 'later') {
      refused.push(id);
      errors.push(verdict.refused);
    }
  });
  return { done, refused, errors };
}
