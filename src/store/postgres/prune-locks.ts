import type { Connections, NamedStatement, Run } from './connections.ts';

/** Longest that a sweep waits for redeliveries under way. */
const WAIT_MS = 200;

/** Another node sweeps at this moment: what there is to do is being done. */
export class SweptElsewhere extends Error {
  override name = 'SweptElsewhere';
}

/**
 * First in every transaction that makes deliveries of an ended event open again, or adds some: no sweep takes the event,
 * its payload or its deliveries away before that transaction is over. They do not wait for one another.
 */
export const holdHistory: NamedStatement = {
  name: 'hold_history',
  sql: `SELECT pg_advisory_xact_lock_shared(hashtextextended('posthorn.history', 0))`,
  parameters: [],
};

/**
 * A transaction of a sweep: one at a time in the whole cluster, and none of {@link holdHistory} beside it.
 * @throws SweptElsewhere where another node is at it; else what `pg` throws
 */
export async function sweeping<Result>(connections: Connections, work: (run: Run) => Promise<Result>): Promise<Result> {
  return connections.rawTransaction(async (run) => {
    const { rows } = await run<{ isOurs: boolean }>({
      sql: `SELECT pg_try_advisory_xact_lock(hashtextextended('posthorn.sweep', 0)) AS "isOurs"`,
      parameters: [],
    });
    if (!rows[0]!.isOurs) throw new SweptElsewhere();
    await run({ sql: `SET LOCAL lock_timeout = ${WAIT_MS}`, parameters: [] });
    await run({ sql: `SELECT pg_advisory_xact_lock(hashtextextended('posthorn.history', 0))`, parameters: [] });
    return work(run);
  });
}
