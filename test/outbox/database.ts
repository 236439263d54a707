import pg from 'pg';
import type { QueryResultRow } from 'pg';
import { Connections } from '../../src/store/postgres/connections.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { startPostgres, type PostgresOptions, type PostgresServer } from '../postgres/server.ts';

/** A PostgreSQL that has Posthorn's tables, and no Posthorn. */
export interface OutboxDatabase {
  server: PostgresServer;
  url: string;
  connections: Connections;
  /** Rows that wait, in their order. */
  rows(): Promise<Record<string, unknown>[]>;
  query<Row extends QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** A connection of an application's own. */
  client(user?: string): Promise<pg.Client>;
  stop(): Promise<void>;
}

export async function startDatabase(options: PostgresOptions & { schema?: string } = {}): Promise<OutboxDatabase> {
  const { schema = 'posthorn' } = options;
  const server = await startPostgres(options);
  const connections = new Connections({
    url: server.url(),
    schema,
    poolSize: 6,
    statementTimeoutMs: 10_000,
    onFault: () => undefined,
  });
  await migrate(connections);
  const clients: pg.Client[] = [];

  async function query<Row extends QueryResultRow>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return (await connections.raw<Row>({ sql, parameters: values })).rows;
  }

  return {
    server,
    url: server.url(),
    connections,
    query,
    rows: () => query('SELECT * FROM posthorn.outbox ORDER BY id'),
    async client(user) {
      const client = new pg.Client({ connectionString: server.url('postgres', user) });
      client.on('error', () => undefined);
      await client.connect();
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) await client.end().catch(() => undefined);
      await connections.end();
      await server.stop();
    },
  };
}
