// What the embedded store costs by itself: `node bench/store.ts [--deliveries N] [--finished N] [--tenants N] [--batch N] [--dir PATH] [--json]`.
// One process, no network. CPU is counted per thread, so a busy neighbour changes the wall clock only.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { newDeliveryId, newId } from '../src/model/id.ts';
import { createKeyRing } from '../src/store/seal.ts';
import { createSqliteStore } from '../src/store/sqlite/store.ts';
import type { AcceptEntry, Settlement, Store } from '../src/store/store.ts';
import { removeFolder, temporaryFolder } from './processes.ts';

const { values: options } = parseArgs({
  options: {
    deliveries: { type: 'string', default: '100000' },
    finished: { type: 'string', default: '1000000' },
    tenants: { type: 'string', default: '1' },
    batch: { type: 'string', default: '80' },
    /** Where the store is made; a file system in memory would make every fsync free. */
    dir: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const batch = Number(options.batch);

const data = JSON.stringify({ grantId: 'grnt_01', agentId: 'ag_01', pad: 'x'.repeat(260) });
const detail = JSON.stringify({
  remoteAddress: '127.0.0.1',
  connectMs: 0,
  firstByteMs: 1,
  responseHeaders: ['content-length', '2'],
  responseBody: 'ok',
});

interface Lane {
  tenantId: string;
  endpointId: string;
}
interface Open extends Lane {
  deliveryId: string;
}

function entry({ tenantId, endpointId }: Lane, now: number, status: 'sending' | 'pending' = 'sending'): AcceptEntry {
  const id = newId(now);
  const event = {
    id,
    tenantId,
    ownId: null,
    type: 'grant.created',
    data,
    occurredAt: now,
    category: null,
    group: null,
    source: null,
  };
  return {
    event: { ...event, createdAt: now },
    dedupe: [],
    deliveries: [{ id: newDeliveryId(now), endpointId, status }],
    fanOutAfter: null,
  };
}

function delivered({ tenantId, deliveryId }: Open, now: number): Settlement {
  const attempt = {
    deliveryId,
    number: 1,
    startedAt: now,
    durationMs: 2,
    succeeded: true,
    statusCode: 200,
    failure: null,
    detail,
  };
  return {
    tenantId,
    deliveryId,
    attempt,
    status: 'delivered',
    reason: null,
    attemptCount: 1,
    dueAt: null,
    lastError: null,
    now,
  };
}

let writer: Worker | null = null;
process.on('worker', (worker) => {
  writer ??= worker;
});

/** Accepts and settles in the rhythm of a busy node: the settlements of one batch travel with the events of the next. */
async function run(store: Store, lanes: readonly Lane[], count: number): Promise<Record<string, number>> {
  let open: Open[] = [];
  let longestMs = 0;
  const mainBefore = process.threadCpuUsage();
  const writerBefore = await writer!.cpuUsage();
  const startedAt = performance.now();
  for (let done = 0; done < count; done += batch) {
    const now = Date.now();
    const calls: Promise<unknown>[] = [];
    const next: Open[] = [];
    for (let i = 0; i < batch; i++) {
      const lane = lanes[(done + i) % lanes.length]!;
      const one = entry(lane, now);
      next.push({ ...lane, deliveryId: one.deliveries[0]!.id });
      calls.push(store.accept([one]));
    }
    for (const delivery of open) calls.push(store.settle(delivered(delivery, now)));
    const sentAt = performance.now();
    await Promise.all(calls);
    longestMs = Math.max(longestMs, performance.now() - sentAt);
    open = next;
  }
  const wallUs = ((performance.now() - startedAt) * 1000) / count;
  const main = process.threadCpuUsage(mainBefore);
  const thread = await writer!.cpuUsage(writerBefore);
  await Promise.all(open.map((delivery) => store.settle(delivered(delivery, Date.now()))));
  return {
    perSecond: Math.round(1e6 / wallUs),
    writerCpuUs: (thread.user + thread.system) / count,
    writerSystemUs: thread.system / count,
    mainCpuUs: (main.user + main.system) / count,
    longestCommitMs: longestMs,
  };
}

/** 100 of one dead endpoint's 100,000 due deliveries and of 1,000 other endpoints, one each. */
async function claims(store: Store): Promise<Record<string, number>> {
  const dead = { tenantId: 'default', endpointId: newId(Date.now()) };
  for (let done = 0; done < 100_000; done += 1000) {
    await store.accept(Array.from({ length: 1000 }, () => entry(dead, Date.now() - 1000, 'pending')));
  }
  await store.accept(
    Array.from({ length: 1000 }, () =>
      entry({ tenantId: 'default', endpointId: newId(Date.now()) }, Date.now() - 1000, 'pending'),
    ),
  );
  const request = { limit: 100, perEndpoint: 32, only: null, except: new Set<string>() };
  const firstMs = await timed(() => store.claim({ ...request, now: Date.now() }));
  const times: number[] = [];
  for (let i = 0; i < 10; i++) times.push(await timed(() => store.claim({ ...request, now: Date.now() })));
  const only = [dead];
  const deadMs = await timed(() => store.claim({ ...request, perEndpoint: 100, only, now: Date.now() }));
  return { firstMs, medianMs: times.sort((a, b) => a - b)[5]!, deadMs };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

const dataDir = temporaryFolder(options.dir);
const store = createSqliteStore({ dataDir, keyRing: createKeyRing(['a key for measuring only']) });
try {
  await store.open({ migrate: true, now: Date.now() });
  const lanes = Array.from({ length: Number(options.tenants) }, (_, i) => ({
    tenantId: i === 0 ? 'default' : `tenant-${i}`,
    endpointId: newId(Date.now()),
  }));
  const count = Number(options.deliveries);
  await run(store, lanes, 10_000);
  const empty = await run(store, lanes, count);
  const sizeOf = (file: string): number => statSync(join(dataDir, file), { throwIfNoEntry: false })?.size ?? 0;
  const finished = Number(options.finished);
  if (finished > count) await run(store, lanes, finished - count);
  const bytesPerDelivery = sizeOf('posthorn.db') / (10_000 + Math.max(count, finished));
  const full = await run(store, lanes, count);
  const claim = await claims(store);
  const rss = process.memoryUsage.rss() / 1024 / 1024;
  const result = { empty, full, claim, bytesPerDelivery, rssMiB: rss };
  if (options.json) console.log(JSON.stringify(result));
  else {
    console.table({ 'empty store': empty, [`${finished} finished`]: full });
    console.log('claim of 100 among 100,000 + 1,000 pending, ms:', claim);
    console.log(
      `${Math.round(bytesPerDelivery)} bytes a delivery, ${Math.round(rss)} MiB resident, log ${sizeOf('posthorn.db-wal')} bytes`,
    );
  }
} finally {
  await store.close();
  removeFolder(dataDir);
}
