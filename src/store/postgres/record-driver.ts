import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import type { CompiledQuery } from 'kysely';
import type { ChangeOptions, RecordDriver } from '../records/driver.ts';
import type { Tables } from '../records/tables.ts';
import type { Connections, Run } from './connections.ts';
import { tellStatements } from './change-feed.ts';

/** What the records need, on PostgreSQL. A change of several statements is a transaction; so is one that others hear of. */
export function createRecordDriver(connections: Connections, node: () => number): RecordDriver {
  const db = new Kysely<Tables>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (instance) => new PostgresIntrospector(instance),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  }).withSchema(connections.schema);

  async function runAll(
    run: Run,
    queries: readonly { compile(): CompiledQuery }[],
    { tell = [] }: ChangeOptions,
  ): Promise<number[]> {
    const counts: number[] = [];
    for (const query of queries) counts.push((await run(query.compile())).rowCount);
    if (tell.length > 0) for (const statement of tellStatements(node(), tell)) await run(statement);
    return counts;
  }

  return {
    db,
    dialect: 'postgres',
    eventsWithData: 'events_with_data',
    async read(query) {
      const { rows } = await connections.query(query.compile());
      return rows as never;
    },
    change: (queries, options = {}) =>
      connections.transaction(async (run) => {
        await takeTurn(run, options);
        return runAll(run, queries, options);
      }),
    changeUnless: (objections, queries, options = {}) =>
      connections.transaction(async (run) => {
        await takeTurn(run, options);
        for (const [index, objection] of objections.entries()) {
          const { rows } = await run(objection.compile());
          if (rows.length > 0) return { index, row: rows[0] };
        }
        await runAll(run, queries, options);
        return null;
      }),
  };
}

/** In one order everywhere, so that two nodes wait for each other and never in a circle. */
async function takeTurn(run: Run, { inTurn = [] }: ChangeOptions): Promise<void> {
  for (const name of [...inTurn].sort()) {
    await run({ sql: 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', parameters: [`posthorn:${name}`] });
  }
}
