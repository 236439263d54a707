// Fills the store in a data folder with finished deliveries, through the store's own verbs, as if Posthorn had been
// sending for ten days. A process of its own: the store is locked to one process.
import { newDeliveryId, newId } from '../src/model/id.ts';
import { createKeyRing, loadOrCreateKeyFile } from '../src/store/seal.ts';
import { createSqliteStore } from '../src/store/sqlite/store.ts';
import type { AcceptEntry, Settlement, Store } from '../src/store/store.ts';
import { answer } from './rpc.ts';

const BATCH = 1000;
/** Batches under way at once, so that the writer never waits for this process. */
const DEPTH = 4;
const SPAN_MS = 10 * 24 * 3600 * 1000;

export interface PrefillPlan {
  dataDir: string;
  deliveries: number;
  /** The endpoint they went to, of this tenant: 26 digits, without prefix. */
  tenantId: string;
  endpointId: string;
  dataBytes: number;
}

async function run(plan: PrefillPlan): Promise<{ seconds: number }> {
  const startedAt = performance.now();
  const store = createSqliteStore({
    dataDir: plan.dataDir,
    keyRing: createKeyRing(loadOrCreateKeyFile(plan.dataDir).keys),
  });
  const now = Date.now();
  await store.open({ migrate: true, now });
  const data = JSON.stringify({ note: 'x'.repeat(plan.dataBytes - 11) });
  let begun = 0;
  async function work(): Promise<void> {
    while (begun < plan.deliveries) {
      const count = Math.min(BATCH, plan.deliveries - begun);
      const at = now - SPAN_MS + Math.floor((begun / plan.deliveries) * SPAN_MS);
      begun += count;
      await finishBatch(store, plan, data, count, at);
    }
  }
  await Promise.all(Array.from({ length: DEPTH }, work));
  await store.close();
  return { seconds: (performance.now() - startedAt) / 1000 };
}

/** Events accepted at `at` and delivered at the first attempt. */
async function finishBatch(store: Store, plan: PrefillPlan, data: string, count: number, at: number): Promise<void> {
  const entries: AcceptEntry[] = [];
  const settlements: Settlement[] = [];
  for (let i = 0; i < count; i++) {
    const deliveryId = newDeliveryId(at);
    const event = {
      id: newId(at),
      tenantId: plan.tenantId,
      ownId: null,
      type: 'bench.t0',
      data,
      occurredAt: at,
      category: null,
      group: null,
      source: null,
      createdAt: at,
    };
    const deliveries = [{ id: deliveryId, endpointId: plan.endpointId, status: 'sending' as const }];
    entries.push({ event, dedupe: [], deliveries, fanOutAfter: null });
    settlements.push({
      tenantId: plan.tenantId,
      deliveryId,
      attempt: attemptOf(deliveryId, at),
      status: 'delivered',
      reason: null,
      attemptCount: 1,
      dueAt: null,
      lastError: null,
      now: at + 2,
    });
  }
  await store.accept(entries);
  await Promise.all(settlements.map((settlement) => store.settle(settlement)));
}

/** What a delivery to a receiver on the same machine keeps. */
function attemptOf(deliveryId: string, at: number): Settlement['attempt'] {
  const detail = {
    remoteAddress: '127.0.0.1',
    firstByteMs: 1.2,
    responseHeaders: ['content-length', '2'],
    responseBody: 'ok',
  };
  return {
    deliveryId,
    number: 1,
    startedAt: at,
    durationMs: 1.4,
    succeeded: true,
    statusCode: 200,
    failure: null,
    detail: JSON.stringify(detail),
  };
}

answer({ run });
