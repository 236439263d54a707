import { firstIdAt, newDeliveryId, newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { ensurePartitions } from '../../src/store/postgres/partitions.ts';
import type { AcceptEntry } from '../../src/store/store.ts';
import { startPostgres } from '../baseline/postgres.ts';
import { flushDisk } from '../disk.ts';
import { Histogram, median } from '../histogram.ts';
import type { Percentiles } from '../histogram.ts';
import { removeFolder, temporaryFolder } from '../processes.ts';

const TENANT = 'bench';
const ENDPOINTS = 1_000;
const DAYS = 10;
const DAY_MS = 86_400_000;
/** Rows of one filling statement. */
const SLICE = 250_000;
const CLAIMS = 1_000;
const ROUNDS = 5;
const EVENTS_A_ROUND = 20_000;

export interface PostgresHistory {
  ended: number;
  pending: number;
  fillSeconds: number;
  /** A claim of up to 128 deliveries, with events are accepted and settled beside it, ms. */
  claim: Percentiles;
  /** Deliveries of a claim, on average. */
  claimed: number;
  /** Events accepted a second into the full database over those into an empty one, median of pairs of rounds. */
  ingestRatio: number;
}

/** Does a long history with a large backlog slow claims and ingest down? */
export async function measureHistory(options: {
  ended: number;
  pending: number;
  workDir: string | null;
}): Promise<PostgresHistory> {
  const folder = temporaryFolder(options.workDir ?? undefined);
  const postgres = await startPostgres(folder);
  const stores = { full: openStore(postgres.url, 'full'), empty: openStore(postgres.url, 'empty') };
  try {
    for (const store of Object.values(stores)) await store.open({ migrate: true, now: Date.now() });
    const startedAt = performance.now();
    await fill(stores.full, options);
    const fillSeconds = (performance.now() - startedAt) / 1000;
    // First: what the ingest leaves for the autovacuum in both schemas is not the backlog's.
    const { claim, claimed } = await measureClaims(stores.full);
    const rates = { full: [] as number[], empty: [] as number[] };
    for (let round = 0; round <= ROUNDS; round++) {
      for (const which of round % 2 === 0 ? (['full', 'empty'] as const) : (['empty', 'full'] as const)) {
        const rate = await ingest(stores[which], EVENTS_A_ROUND);
        if (round > 0) rates[which].push(rate); // the first one warms up
      }
    }
    const ingestRatio = median(rates.full.map((rate, i) => rate / rates.empty[i]!));
    return { ended: options.ended, pending: options.pending, fillSeconds, claim, claimed, ingestRatio };
  } finally {
    for (const store of Object.values(stores)) await store.close();
    await postgres.stop();
    removeFolder(folder);
  }
}

function openStore(url: string, schema: string): PostgresStore {
  return createPostgresStore({
    url,
    schema,
    keyRing: createKeyRing(['a master key for benchmarks alone']),
    statementTimeoutMs: 600_000,
  });
}

/** Ended deliveries over the last days, with events, payloads and attempts; then pending ones, due by now. */
async function fill(
  { connections }: PostgresStore,
  { ended, pending }: { ended: number; pending: number },
): Promise<void> {
  const now = Date.now();
  await ensurePartitions(connections, now - DAYS * DAY_MS, now);
  for (let at = 0; at < ended; at += SLICE)
    await rows(
      connections,
      Math.min(SLICE, ended - at),
      now - DAYS * DAY_MS + (at / ended) * DAYS * DAY_MS,
      'ended',
      at,
    );
  for (let at = 0; at < pending; at += SLICE)
    await rows(connections, Math.min(SLICE, pending - at), now - 3_600_000, 'pending', at);
  // A history of days was vacuumed and written to disk long ago: what the filling leaves behind is not to be measured.
  for (const sql of ['VACUUM (ANALYZE)', 'CHECKPOINT']) await connections.query({ sql, parameters: [] });
  await flushDisk();
}

async function rows(
  connections: PostgresStore['connections'],
  count: number,
  from: number,
  kind: 'ended' | 'pending',
  offset: number,
): Promise<void> {
  const prefix = firstIdAt(from).slice(0, 10);
  // Ids in order behind one moment: the time's digits, then a number, in digits that Crockford's alphabet has.
  const id = (sort: string): string => `'${prefix}' || '${sort}' || lpad((${offset} + n)::text, 12, '0') || '000'`;
  const made = `generate_series(1, ${count}) AS n`;
  const detail = JSON.stringify({ responseBody: 'ok', note: 'x'.repeat(200) });
  const data = JSON.stringify({ note: 'x'.repeat(300) });
  const endpoint = `'01BENCH' || lpad((n % ${ENDPOINTS})::text, 19, '0')`;
  const statements = [
    `INSERT INTO posthorn.events (tenant_id, id, type, occurred_at, created_at) SELECT '${TENANT}', ${id('E')}, 'bench.t0', ${Math.floor(from)}, ${Math.floor(from)} FROM ${made}`,
    `INSERT INTO posthorn.payloads (tenant_id, event_id, data) SELECT '${TENANT}', ${id('E')}, '${data}' FROM ${made}`,
    kind === 'ended'
      ? `INSERT INTO posthorn.ended_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, created_at, ended_at)
         SELECT '${TENANT}', ${id('D')}, ${id('E')}, ${endpoint}, 'delivered', 1, 0, ${Math.floor(from)}, ${Math.floor(from)} FROM ${made}`
      : `INSERT INTO posthorn.open_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, due_at, created_at, size)
         SELECT '${TENANT}', ${id('D')}, ${id('E')}, ${endpoint}, 'pending', 0, 0, ${Math.floor(from)} + n, ${Math.floor(from)}, ${data.length} FROM ${made}`,
  ];
  if (kind === 'ended') {
    statements.push(`INSERT INTO posthorn.attempts (tenant_id, delivery_id, number, started_at, duration_ms, succeeded, status_code, detail)
      SELECT '${TENANT}', ${id('D')}, 1, ${Math.floor(from)}, 3.5, 1, 200, '${detail}' FROM ${made}`);
  }
  for (const sql of statements) await connections.query({ sql, parameters: [] });
}

/** Events with one delivery each, accepted as a busy node does: many calls at once. Resolves to events a second. */
async function ingest(store: PostgresStore, count: number): Promise<number> {
  const endpointId = newId(Date.now());
  const data = JSON.stringify({ note: 'x'.repeat(300) });
  const startedAt = performance.now();
  let begun = 0;
  async function work(): Promise<void> {
    while (begun++ < count) await store.accept([entry(endpointId, data)]);
  }
  await Promise.all(Array.from({ length: 128 }, work));
  return count / ((performance.now() - startedAt) / 1000);
}

function entry(endpointId: Id, data: string): AcceptEntry {
  const at = Date.now();
  const event = {
    ...{ id: newId(at), tenantId: 'ingest', ownId: null, type: 'bench.t0', data, occurredAt: at },
    ...{ category: null, group: null, source: null, createdAt: at },
  };
  return {
    event,
    dedupe: [],
    deliveries: [{ id: newDeliveryId(at), endpointId, status: 'sending' }],
    fanOutAfter: null,
  };
}

/** Claims one after the other, each settled as delivered, while events come in at some hundred a second. */
async function measureClaims(store: PostgresStore): Promise<Pick<PostgresHistory, 'claim' | 'claimed'>> {
  const histogram = new Histogram();
  let claimed = 0;
  let isOver = false;
  const background = (async () => {
    const data = '{}';
    while (!isOver) {
      await store.accept([entry('01BENCH0000000000000000000', data)]);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  for (let i = 0; i < CLAIMS; i++) {
    const startedAt = performance.now();
    const { deliveries } = await store.claim({
      now: Date.now(),
      limit: 128,
      perEndpoint: 16,
      only: null,
      except: new Set(),
    });
    histogram.record((performance.now() - startedAt) * 1000);
    claimed += deliveries.length;
    const now = Date.now();
    await Promise.all(
      deliveries.map(({ id, event, attemptCount }) =>
        store.settle({
          ...{
            tenantId: event.tenantId,
            deliveryId: id,
            status: 'delivered',
            reason: null,
            attemptCount: attemptCount + 1,
          },
          ...{ dueAt: null, lastError: null, now },
          attempt: {
            ...{ deliveryId: id, number: attemptCount + 1, startedAt: now, durationMs: 1, succeeded: true },
            ...{ statusCode: 200, failure: null, detail: '{}' },
          },
        }),
      ),
    );
  }
  isOver = true;
  await background;
  return { claim: histogram.percentiles(), claimed: claimed / CLAIMS };
}
