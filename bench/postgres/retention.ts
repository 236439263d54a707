import { firstIdAt, newDeliveryId, newId } from '../../src/model/id.ts';
import { ensurePartitions } from '../../src/store/postgres/partitions.ts';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { startPostgres } from '../baseline/postgres.ts';
import { flushDisk } from '../disk.ts';
import { Histogram } from '../histogram.ts';
import type { Percentiles } from '../histogram.ts';
import { removeFolder, temporaryFolder } from '../processes.ts';

const DAY_MS = 86_400_000;
const TENANT = 'acme';
const AGE_DAYS = 40;
/** Tables that a delivered event with one endpoint has a row in. */
const ROWS_AN_EVENT = 4;
/** Deliveries of that day that are still held: their events stay. */
const SURVIVORS = 1_000;
const EVENTS_A_SECOND = 500;
const SECONDS = 10;
/** Of p99s over ten seconds one is not to be believed: whatever else happens on the machine in a tenth of a second is one. */
const ROUNDS = 5;

/** What dropping a day costs. */
export interface Retention {
  /** Of one day. */
  rows: number;
  rounds: readonly RetentionRound[];
}

export interface RetentionRound {
  seconds: number;
  /** Accepting and settling at a steady rate, without it and beside it. */
  without: Timings;
  beside: Timings;
}

export interface Timings {
  accept: Percentiles;
  settle: Percentiles;
}

/** Days of so many rows are filled, then dropped one after the other while events are accepted and settled. */
export async function measureRetention(options: { rows: number; workDir: string | null }): Promise<Retention> {
  const events = Math.ceil(options.rows / ROWS_AN_EVENT);
  const folder = temporaryFolder(options.workDir ?? undefined);
  const server = await startPostgres(folder);
  try {
    const store = createPostgresStore({
      url: server.url,
      keyRing: createKeyRing(['a master key for benchmarks alone']),
      statementTimeoutMs: 300_000,
    });
    await store.open({ migrate: true, now: Date.now() });
    const firstDay = Math.floor(store.now() / DAY_MS) * DAY_MS - AGE_DAYS * DAY_MS;
    await ensurePartitions(store.connections, firstDay, store.now());
    const days = Array.from({ length: ROUNDS }, (_, i) => firstDay + i * DAY_MS);
    for (const day of days) await fill(store, day, events, SURVIVORS);
    await flushDisk();
    await drive(store, EVENTS_A_SECOND, 2); // warm
    const rounds: RetentionRound[] = [];
    for (const day of days) rounds.push(await dropBesideTraffic(store, day));
    await store.close();
    return { rows: events * ROWS_AN_EVENT, rounds };
  } finally {
    await server.stop();
    removeFolder(folder);
  }
}

async function dropBesideTraffic(store: PostgresStore, day: number): Promise<RetentionRound> {
  const without = await drive(store, EVENTS_A_SECOND, SECONDS);
  const driving = drive(store, EVENTS_A_SECOND, SECONDS);
  await new Promise((resolve) => setTimeout(resolve, (SECONDS * 1000) / 3));
  const beganAt = performance.now();
  await store.prune({ before: day + DAY_MS, limit: 1, beforeOf: new Map() });
  const seconds = (performance.now() - beganAt) / 1000;
  return { seconds, without, beside: await driving };
}

/** Rows as accepts and settlements leave them, many a statement. */
async function fill({ connections }: PostgresStore, day: number, events: number, survivors: number): Promise<void> {
  const time = firstIdAt(day).slice(0, 10);
  const series = (from: number, to: number): string => `generate_series(${from}, ${to}) AS i`;
  const id = `'${time}' || lpad(i::text, 16, '0')`;
  const detail = JSON.stringify({ remoteAddress: '127.0.0.1', connectMs: 0, firstByteMs: 1, responseBody: 'ok' });
  const step = 100_000;
  for (let from = 1; from <= events; from += step) {
    const rows = series(from, Math.min(events, from + step - 1));
    for (const sql of [
      `INSERT INTO posthorn.events (tenant_id, id, type, occurred_at, created_at) SELECT '${TENANT}', ${id}, 'grant.created', ${day}, ${day} FROM ${rows}`,
      `INSERT INTO posthorn.payloads (tenant_id, event_id, data) SELECT '${TENANT}', ${id}, '{"pad":"${'x'.repeat(300)}"}' FROM ${rows}`,
      `INSERT INTO posthorn.ended_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, created_at, ended_at)
       SELECT '${TENANT}', ${id}, ${id}, 'e' || i % 100, 'delivered', 1, 0, ${day}, ${day} FROM ${rows} WHERE i > ${survivors}`,
      `INSERT INTO posthorn.attempts (tenant_id, delivery_id, number, started_at, duration_ms, succeeded, status_code, detail)
       SELECT '${TENANT}', ${id}, 1, ${day}, 1.5, 1, 200, '${detail}' FROM ${rows}`,
    ]) {
      await connections.query({ sql, parameters: [] });
    }
  }
  await connections.query({
    sql: `INSERT INTO posthorn.open_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, created_at, size)
          SELECT '${TENANT}', ${id}, ${id}, 'e0', 'held', 1, 0, ${day}, 310 FROM ${series(1, survivors)}`,
    parameters: [],
  });
  // As autovacuum leaves a day that is long over.
  await connections.query({
    sql: 'VACUUM ANALYZE posthorn.events, posthorn.payloads, posthorn.ended_deliveries, posthorn.attempts',
    parameters: [],
  });
  await connections.query({ sql: 'CHECKPOINT', parameters: [] });
}

/** Events at a steady rate, each settled once it is accepted; how long both take. */
async function drive(store: PostgresStore, rate: number, seconds: number): Promise<Timings> {
  const [accept, settle] = [new Histogram(), new Histogram()];
  const under: Promise<void>[] = [];
  const began = performance.now();
  for (let sent = 0; sent < rate * seconds;) {
    const due = Math.min(rate * seconds, ((performance.now() - began) / 1000) * rate);
    for (; sent < due; sent++) under.push(one(store, began + (sent / rate) * 1000, accept, settle));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(under);
  return { accept: accept.percentiles(), settle: settle.percentiles() };
}

async function one(store: PostgresStore, dueAt: number, accept: Histogram, settle: Histogram): Promise<void> {
  const now = store.now();
  const event = {
    ...{ id: newId(now), tenantId: TENANT, ownId: null, type: 'grant.created', data: '{"grantId":"grnt_01"}' },
    ...{ occurredAt: now, category: null, group: null, source: null, createdAt: now },
  };
  const delivery = { id: newDeliveryId(now), endpointId: 'e1', status: 'sending' as const };
  await store.accept([{ event, dedupe: [], deliveries: [delivery], fanOutAfter: null }]);
  accept.record((performance.now() - dueAt) * 1000);
  const acceptedAt = performance.now();
  await store.settle({
    ...{ tenantId: TENANT, deliveryId: delivery.id, status: 'delivered', reason: null, attemptCount: 1 },
    ...{ dueAt: null, lastError: null, now },
    attempt: {
      ...{ deliveryId: delivery.id, number: 1, startedAt: now, durationMs: 1 },
      ...{ succeeded: true, statusCode: 200, failure: null, detail: '{}' },
    },
  });
  settle.record((performance.now() - acceptedAt) * 1000);
}
