// What the end of retention costs on PostgreSQL: `node bench/growth.ts [--events N] [--survivors N] [--rate N] [--seconds N] [--json]`.
// A day with N events is filled, then dropped while events are accepted and settled; latency of both is printed for a
// while without and with it. One process and the server, no HTTP.
import { parseArgs } from 'node:util';
import { firstIdAt, newDeliveryId, newId } from '../src/model/id.ts';
import { ensurePartitions } from '../src/store/postgres/partitions.ts';
import { createPostgresStore } from '../src/store/postgres/store.ts';
import type { PostgresStore } from '../src/store/postgres/store.ts';
import { createKeyRing } from '../src/store/seal.ts';
import { startPostgres } from '../test/postgres/server.ts';
import { Histogram } from './histogram.ts';
import type { Percentiles } from './histogram.ts';
import { removeFolder, temporaryFolder } from './processes.ts';

const { values: options } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    /** Deliveries of that day that are still held: their events stay. */
    survivors: { type: 'string', default: '1000' },
    /** Events a second. */
    rate: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
});
const DAY_MS = 86_400_000;
const TENANT = 'acme';
const AGE_DAYS = 40;

interface Result {
  accept: Percentiles;
  settle: Percentiles;
}

/** Rows as a million accepts and settlements leave them, many a statement. */
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
async function drive(store: PostgresStore, rate: number, seconds: number): Promise<Result> {
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

const [events, survivors, rate, seconds] = [options.events, options.survivors, options.rate, options.seconds].map(
  Number,
) as [number, number, number, number];
const folder = temporaryFolder();
const server = await startPostgres({ settings: { shared_buffers: '256MB', max_wal_size: '4GB' } });
try {
  const store = createPostgresStore({
    url: server.url(),
    keyRing: createKeyRing(['a master key for the bench']),
    statementTimeoutMs: 300_000,
  });
  await store.open({ migrate: true, now: Date.now() });
  const day = Math.floor(store.now() / DAY_MS) * DAY_MS - AGE_DAYS * DAY_MS;
  await ensurePartitions(store.connections, day, store.now());
  await fill(store, day, events, survivors);
  await drive(store, rate, 2); // warm
  const without = await drive(store, rate, seconds);
  const driving = drive(store, rate, seconds);
  await new Promise((resolve) => setTimeout(resolve, (seconds * 1000) / 3));
  const beganAt = performance.now();
  const gone = await store.prune({ before: day + 2 * DAY_MS, limit: 1, beforeOf: new Map() });
  const droppedMs = performance.now() - beganAt;
  const during = await driving;
  await store.close();
  const result = { events, survivors, gone, droppedMs: Math.round(droppedMs), without, during };
  if (options.json) console.log(JSON.stringify(result));
  else {
    console.log(
      `${gone} events with payloads, deliveries and attempts gone in ${result.droppedMs} ms; ${survivors} stay`,
    );
    for (const [name, { accept, settle }] of [['without', without] as const, ['during ', during] as const]) {
      const show = ({ p50, p99, max }: Percentiles): string => `p50 ${p50} p99 ${p99} max ${max} ms`;
      console.log(`${name}: accept ${show(accept)}; settle ${show(settle)}`);
    }
  }
} finally {
  await server.stop();
  removeFolder(folder);
}
