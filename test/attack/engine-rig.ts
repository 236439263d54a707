import { pino } from 'pino';
import { createEngine, type EngineOptions, type RunningEngine } from '../../src/delivery/create-engine.ts';
import { deliveryStatuses, type DeliveryStatus } from '../../src/model/delivery.ts';
import { defaultRetry } from '../../src/model/retry.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { createSqliteStore } from '../../src/store/sqlite/store.ts';
import type { Store } from '../../src/store/store.ts';
import { createSender } from '../../src/transport/transport.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { dataDir } from '../e2e/server.ts';

export const policy = { allowHttp: true, allowLoopback: true, allowCidrs: [], allowPorts: [], allowAnyPort: true };
const cleanups: (() => unknown)[] = [];

/** Ends what the rigs of a test started: for `afterEach`. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

export interface Rig {
  engine: RunningEngine;
  /** The store itself, past whatever `change` put before it. */
  store: Store;
  receiver: Receiver;
  path: string;
  /** Ends engine and store, as at the end of the process, and starts others on the same data. */
  restart: () => Promise<void>;
}

/** An engine over a real store and a real receiver, wired as the server wires them. `change` may stand between the two. */
export async function rig(
  options: Partial<EngineOptions> = {},
  change: (store: Store) => Store = (store) => store,
): Promise<Rig> {
  const data = dataDir();
  const receiver = await startReceiver();
  let running = await boot(data.path, options, change);
  const rig: Rig = {
    ...running,
    receiver,
    path: data.path,
    async restart() {
      await running.end(5_000);
      running = await boot(data.path, options, change);
      Object.assign(rig, running);
    },
  };
  cleanups.push(async () => {
    await running.end(0);
    await receiver.close();
    data.remove();
  });
  return rig;
}

async function boot(path: string, options: Partial<EngineOptions>, change: (store: Store) => Store) {
  const now = options.now ?? Date.now;
  const store = createSqliteStore({
    dataDir: path,
    keyRing: createKeyRing(['a master key for these tests only']),
    now,
  });
  await store.open({ migrate: true, now: now() });
  const sender = createSender({ policy });
  const engine: RunningEngine = createEngine({
    store: change(store),
    sender,
    policy,
    catalogue: 'open',
    defaults: {
      wireFormat: 'standard',
      retry: { ...defaultRetry, scheduleMs: [20, 20] },
      timeoutMs: 30_000,
      concurrency: 64,
    },
    retentionDays: 0,
    log: pino({ level: 'silent' }),
    ...options,
  });
  await engine.start();
  const end = async (graceMs: number): Promise<void> => {
    await engine.stop(graceMs);
    await sender.close(0);
    await store.close();
  };
  return { engine, store, end };
}

export const publish = (engine: RunningEngine, type: string, tenantId = 'default') =>
  engine.publish(tenantId, { type, data: '{}', value: {} });

/** Lets every request to a path hang until it is told to go on; `one` lets the oldest go. */
export function hang(receiver: Receiver, path: string, status = 200): { all: () => void; one: () => void } {
  const held: (() => void)[] = [];
  let isOpen = false;
  receiver.answer(path, (_, response) => {
    const go = (): void => {
      response.writeHead(status).end();
    };
    if (isOpen) go();
    else held.push(go);
  });
  return {
    one: () => held.shift()?.(),
    all: () => {
      isOpen = true;
      for (const go of held.splice(0)) go();
    },
  };
}

/** How many deliveries of a tenant there are in each status. */
export async function counts(engine: RunningEngine, tenantId = 'default'): Promise<Record<DeliveryStatus, number>> {
  const entries = await Promise.all(
    deliveryStatuses.map(
      async (status) => [status, await engine.deliveries.count({ tenantId, status: [status] }, 1_000_000)] as const,
    ),
  );
  return Object.fromEntries(entries) as Record<DeliveryStatus, number>;
}

/** Looks again every 20 ms until it holds, or until `withinMs` have gone by; resolves to whether it holds. */
export async function becomes(what: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
  for (const end = Date.now() + withinMs; ;) {
    if (await what()) return true;
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** True once nothing is due, leased or on its way. */
export const isQuiet = async (engine: RunningEngine): Promise<boolean> => {
  const { pending, sending } = await counts(engine);
  return pending + sending === 0;
};

/** Random numbers that a seed repeats (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
