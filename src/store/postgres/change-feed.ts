import type { Statement } from '../records/driver.ts';
import type { RecordChange } from '../store.ts';
import type { Connections } from './connections.ts';
import { CHANNEL_SQL } from './notices.ts';

/** How late news may be where nobody calls. */
const POLL_MS = 500;
/** Changes are kept so long; a reader that was away for longer than the second has to look at everything. */
export const KEPT_MS = 3_600_000;
const READABLE_MS = KEPT_MS - 600_000;
/** More than this at once is quicker read as a whole. */
const MOST = 10_000;

/**
 * What goes through the feed: changes of records, and what nodes tell each other that must not get lost. `pause`: `key`
 * is `<until> <endpoint id>`; `orphans`: work was given back; `nodes`: a node came or left.
 */
export type Told = RecordChange | { kind: 'pause' | 'orphans' | 'nodes'; tenantId: string; key: string };

interface Position {
  /** What was visible at the last read. */
  snapshot: string;
  /** The start of the server that said so: another one may have given the same numbers to other transactions. */
  server: string;
  /** Epoch ms, the database's. */
  at: number;
}

interface News extends Position {
  changes: [kind: string, tenantId: string, key: string][] | null;
}

/**
 * Tells the other nodes of changes: to be run inside the transaction that makes them. `node` is the one that knows
 * already, 0 where none does.
 */
export function tellStatements(node: number, changes: readonly Told[]): Statement[] {
  if (changes.length === 0) return [];
  const of = (key: keyof Told): string[] => changes.map((change) => change[key]);
  return [
    {
      sql: `WITH told AS (
              INSERT INTO posthorn.changes (node, kind, tenant_id, key)
              SELECT $1::bigint, * FROM unnest($2::text[], $3::text[], $4::text[])
            )
            SELECT pg_notify(${CHANNEL_SQL}, 'changes')`,
      parameters: [node, of('kind'), of('tenantId'), of('key')],
    },
  ];
}

const BEGIN = `
SELECT pg_current_snapshot()::text AS snapshot, pg_postmaster_start_time()::text AS server,
  floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at`;
/**
 * Each read takes the changes that are visible now and were not at the last one: the difference of two snapshots. So
 * none is missed, in whatever order transactions commit, and none comes twice.
 */
const READ = `${BEGIN},
  (SELECT json_agg(json_build_array(c.kind, c.tenant_id, c.key) ORDER BY c.id) FROM (
    SELECT id, kind, tenant_id, key FROM posthorn.changes
    WHERE tx >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(tx, $1::pg_snapshot) AND node <> $2::bigint
    LIMIT ${MOST + 1}) c) AS changes`;

export interface ChangeFeedOptions {
  connections: Connections;
  /** Whose changes are not news. */
  node: () => number;
  /** In the order in which they were told; 'everything' where what happened cannot be read any more. */
  onChanges: (changes: Told[] | 'everything') => void;
  /** The first of a row of failed reads. */
  onFault: (error: unknown) => void;
}

/** Reads what other nodes told: when it is poked, and twice a second. */
export class ChangeFeed {
  readonly #o: ChangeFeedOptions;
  #position: Position | null = null;
  #timer: NodeJS.Timeout | null = null;
  #reading: Promise<void> = Promise.resolve();
  /** The read behind the one that is under way: whoever asks meanwhile shares it. */
  #nextRead: Promise<void> | null = null;
  #isFailing = false;

  constructor(options: ChangeFeedOptions) {
    this.#o = options;
  }

  /** Resolves once nothing is missed any more that is told from now on. Rejects where the database does not answer. */
  async start(): Promise<void> {
    const { rows } = await this.#o.connections.query<Position>({ sql: BEGIN, parameters: [] });
    this.#position = rows[0]!;
    this.#sleep();
  }

  stop(): void {
    this.#position = null;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /**
   * There may be news. Resolves once everything was reported that was committed before the call; rejects where the
   * database does not answer.
   */
  catchUp(): Promise<void> {
    this.#nextRead ??= this.#reading.then(() => {
      this.#nextRead = null;
      const read = this.#read();
      this.#reading = read.catch(() => undefined);
      return read;
    });
    return this.#nextRead;
  }

  /** The same, for whoever does not wait for it. */
  poke(): void {
    this.catchUp().catch(() => undefined);
  }

  async #read(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    try {
      if (this.#position) await this.#readFrom(this.#position);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing && this.#position) this.#o.onFault(error);
      this.#isFailing = true;
      throw error;
    } finally {
      this.#sleep();
    }
  }

  async #readFrom(from: Position): Promise<void> {
    const { rows } = await this.#o.connections.query<News>({
      name: 'feed_read',
      sql: READ,
      parameters: [from.snapshot, this.#o.node()],
    });
    if (!this.#position) return; // stopped meanwhile
    const { changes, ...position } = rows[0]!;
    this.#position = position;
    const isGap = position.server !== from.server || position.at - from.at > READABLE_MS;
    if (isGap || (changes?.length ?? 0) > MOST) this.#o.onChanges('everything');
    else if (changes) this.#o.onChanges(changes.map(([kind, tenantId, key]) => ({ kind, tenantId, key }) as Told));
  }

  #sleep(): void {
    if (this.#timer) clearTimeout(this.#timer);
    if (!this.#position) return;
    this.#timer = setTimeout(() => {
      this.poke();
    }, POLL_MS);
  }
}
