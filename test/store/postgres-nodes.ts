import type { QueryResultRow } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PosthornError } from '../../src/errors.ts';
import type { Id } from '../../src/model/id.ts';
import { tellStatements } from '../../src/store/postgres/change-feed.ts';
import { Connections } from '../../src/store/postgres/connections.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { Nodes } from '../../src/store/postgres/nodes.ts';
import type { RecordChange, StoreListener } from '../../src/store/store.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import type { PostgresServer, PostgresVersion, TestDatabase } from '../postgres/server.ts';

/** Short, so that a take-over does not take long. */
export const LEASE_MS = 1_500;

export type Word =
  | { what: 'leasesLost' | 'orphansFound' | 'placeChanged' }
  | { what: 'recordsChanged'; changes: readonly RecordChange[] | 'everything' }
  | { what: 'endpointPaused'; tenantId: string; endpointId: Id; until: number };

/** A node with all that it told its listener. */
export interface TestNode {
  nodes: Nodes;
  connections: TestConnections;
  words: Word[];
  faults: string[];
  /** Called with every word, at once. */
  onWord: (word: Word) => void;
  count(what: Word['what']): number;
  /** The process is gone: nothing is given back. */
  vanish(): Promise<void>;
  /** Leaves as a process that ends in order does. */
  leave(): Promise<void>;
}

export interface TestNodeOptions {
  delivers?: boolean;
  wall?: () => number;
  monotonic?: () => number;
  /** It never hears what is said on the channel. */
  isDeaf?: keyof typeof deafUrls;
  leaseMs?: number;
}

/** Where a deaf node listens: where nobody answers, or in a database where nobody speaks, as behind a pooler. */
const deafUrls = {
  unreachable: () => 'postgres://127.0.0.1:1/none',
  unheard: (url: string) => new URL('/postgres', url).href,
};

/** Connections of a process that can vanish: nothing of it reaches the database any more. */
class TestConnections extends Connections {
  readonly #listensAt: string | null;
  #isGone = false;
  /** The network between it and the database is down. */
  isCut = false;

  constructor(url: string, listensAt: string | null) {
    super({ url, schema: 'posthorn', poolSize: 6, statementTimeoutMs: 5_000, onFault: () => undefined });
    this.#listensAt = listensAt;
  }

  override query: Connections['query'] = async (statement) => {
    this.#refuseIfGone();
    return super.query(statement);
  };

  override transaction: Connections['transaction'] = async (work) => {
    this.#refuseIfGone();
    return super.transaction(work);
  };

  override single(): ReturnType<Connections['single']> {
    const elsewhere = this.#isGone ? deafUrls.unreachable() : this.#listensAt;
    return elsewhere === null ? super.single() : new TestConnections(elsewhere, null).single();
  }

  override async end(): Promise<void> {
    this.#isGone = true;
    await super.end();
  }

  #refuseIfGone(): void {
    if (this.isCut) throw new PosthornError('STORE_UNAVAILABLE');
    if (this.#isGone) throw new Error('the process is gone');
  }
}

/** A database with every table. */
async function makeDatabase(server: PostgresServer): Promise<TestDatabase> {
  const database = await server.createDatabase();
  const connections = new TestConnections(database.url, null);
  await migrate(connections);
  await connections.end();
  return database;
}

function makeNode(database: TestDatabase, options: TestNodeOptions = {}): TestNode {
  const { isDeaf = null, delivers = true, leaseMs = LEASE_MS, ...clocks } = options;
  const connections = new TestConnections(database.url, isDeaf && deafUrls[isDeaf](database.url));
  const hear = (word: Word): void => {
    node.words.push(word);
    node.onWord(word);
  };
  const listener: StoreListener = {
    leasesLost: () => hear({ what: 'leasesLost' }),
    orphansFound: () => hear({ what: 'orphansFound' }),
    placeChanged: () => hear({ what: 'placeChanged' }),
    recordsChanged: (changes) => hear({ what: 'recordsChanged', changes }),
    endpointPaused: (tenantId, endpointId, until) => hear({ what: 'endpointPaused', tenantId, endpointId, until }),
  };
  let isGone = false;
  const end = async (): Promise<void> => {
    if (isGone) return;
    isGone = true;
    await connections.end();
  };
  const node: TestNode = {
    nodes: new Nodes({
      ...{ connections, delivers, leaseMs, name: 'test', listener: () => listener, ...clocks },
      onFault: (error, what) => {
        if (!isGone) node.faults.push(`${what}: ${String(error)}`);
      },
    }),
    connections,
    words: [],
    faults: [],
    onWord: () => undefined,
    count: (what) => node.words.filter((word) => word.what === what).length,
    vanish: end,
    async leave() {
      await node.nodes.stop(); // of one that vanished: only its timers
      await end();
    },
  };
  return node;
}

export interface NodesRig {
  readonly server: PostgresServer;
  readonly database: TestDatabase;
  /** What takes seconds and asks nothing of the server that the rest does not. */
  itOnce: typeof it;
  /** A node that leaves when the test is over. */
  make(options?: TestNodeOptions): TestNode;
  start(options?: TestNodeOptions): Promise<TestNode>;
  sql<Row extends QueryResultRow>(text: string): Promise<Row[]>;
  /** Stores deliveries that this node holds: the first half in flight, the others with a row each. */
  lease(number: number, count: number, prefix?: string): Promise<unknown>;
  /** How many deliveries anybody holds. */
  held(): Promise<number>;
}

/** Runs the tests on the newest PostgreSQL and on the oldest one, with tables that are empty before each of them. */
export function describeNodes(title: string, define: (rig: NodesRig) => void): void {
  const there = ([18, 14] satisfies PostgresVersion[]).filter(hasPostgres);
  describe.each(there)(`${title}, PostgreSQL %i`, (version) => {
    let server: PostgresServer;
    let database: TestDatabase;
    let made: TestNode[] = [];

    const rig: NodesRig = {
      get server() {
        return server;
      },
      get database() {
        return database;
      },
      // Those that take seconds and have nothing to do with the release are there once: not skipped elsewhere, but not there.
      itOnce:
        version === there[0]
          ? it
          : (Object.assign(() => undefined, { each: () => () => undefined }) as unknown as typeof it),
      make(options) {
        const node = makeNode(database, options);
        made.push(node);
        return node;
      },
      async start(options) {
        const node = rig.make(options);
        await node.nodes.start();
        return node;
      },
      sql: (text) => server.query(text, database.name),
      lease: (number, count, prefix = 'whd') =>
        rig.sql(`WITH flying AS (
                   INSERT INTO posthorn.flights
                     (tenant_id, event_id, id, lease, created_at, size, delivery_ids, endpoint_ids, in_flight)
                   SELECT 'acme', 'evt', min(id), ${number}, 0, 2, array_agg(id), array_agg('wh'::text), (1 << count(*)::int) - 1
                   FROM (SELECT '${prefix}' || n AS id, n / 5 AS flight FROM generate_series(1, ${Math.floor(count / 2)}) n) d GROUP BY flight)
                 INSERT INTO posthorn.open_deliveries
                   (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, lease, created_at, size)
                 SELECT 'acme', '${prefix}' || n, 'evt', 'wh', 'sending', 0, 0, ${number}, 0, 2
                 FROM generate_series(${Math.floor(count / 2) + 1}, ${count}) n`),
      async held() {
        const text = 'SELECT count(*)::int AS n FROM posthorn.deliveries WHERE lease IS NOT NULL';
        return (await rig.sql<{ n: number }>(text))[0]!.n;
      },
    };

    beforeAll(async () => {
      server = await startPostgres({ version });
      database = await makeDatabase(server);
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      await rig.sql(`TRUNCATE posthorn.nodes, posthorn.changes, posthorn.pauses, posthorn.counters,
                       posthorn.flights, posthorn.open_deliveries, posthorn.events RESTART IDENTITY`);
    });
    afterEach(async () => {
      await Promise.all(made.map((node) => node.leave()));
      made = [];
    });

    define(rig);
  });
}

export function until(what: () => unknown, withinMs = 5_000): Promise<void> {
  return expect.poll(async () => Boolean(await what()), { timeout: withinMs, interval: 10 }).toBe(true);
}

export function endpoint(key: string): RecordChange {
  return { kind: 'endpoint', tenantId: 'acme', key };
}

export async function tell(node: TestNode, changes: RecordChange[]): Promise<void> {
  for (const statement of tellStatements(node.nodes.number, changes)) await node.connections.query(statement);
}

export function keysHeard(node: TestNode): string[] {
  return node.words.flatMap((word) =>
    word.what === 'recordsChanged' && word.changes !== 'everything' ? word.changes.map(({ key }) => key) : [],
  );
}
