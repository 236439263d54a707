import { pino } from 'pino';
import { createEngine, type EngineOptions, type RunningEngine } from '../../src/delivery/create-engine.ts';
import { defaultRetry } from '../../src/model/retry.ts';
import { createPostgresStore, type PostgresStore } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import type { Store } from '../../src/store/store.ts';
import { createSender } from '../../src/transport/transport.ts';
import { policy } from '../attack/engine-rig.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { startPostgres, type PostgresServer } from '../postgres/server.ts';

export interface Node {
  engine: RunningEngine;
  store: PostgresStore;
  /** Ends it in order. */
  stop: () => Promise<void>;
}

/** Nodes of one cluster: engines in one process, each with a store of its own on the same database. */
export interface ClusterRig {
  receiver: Receiver;
  /** Adds a node. `change` may stand between its engine and its store. */
  add: (options?: Partial<EngineOptions>, change?: (store: Store) => Store) => Promise<Node>;
}

const keyRing = createKeyRing(['a master key for these tests only']);

/** A PostgreSQL for the tests of a file: start it before them, end it after them. */
export class ClusterTests {
  #server: PostgresServer | null = null;
  readonly #cleanups: (() => unknown)[] = [];

  async start(): Promise<void> {
    this.#server = await startPostgres();
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** For `afterEach`. */
  async cleanUp(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  async rig(): Promise<ClusterRig> {
    const database = await this.#server!.createDatabase();
    const receiver = await startReceiver();
    const nodes: Node[] = [];
    this.#cleanups.push(async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      await receiver.close();
      await database.drop();
    });
    return {
      receiver,
      async add(options = {}, change = (store) => store) {
        const node = await startNode(database.url, options, change);
        nodes.push(node);
        return node;
      },
    };
  }
}

async function startNode(url: string, options: Partial<EngineOptions>, change: (store: Store) => Store): Promise<Node> {
  const { delivers = true } = options;
  const store = createPostgresStore({ url, keyRing, poolSize: 6, leaseMs: 5_000, delivers });
  const sender = createSender({ policy });
  const engine = createEngine({
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
    log: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
    ...options,
  });
  await store.open({ migrate: true, now: Date.now() });
  await engine.start();
  let stopped: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    await engine.stop(2_000);
    await sender.close(0);
    await store.close();
  };
  return { engine, store, stop: () => (stopped ??= stop()) };
}

/** How many requests a receiver has at once, now and at most: each is answered after `ms`. */
export function gauge(receiver: Receiver, path: string, ms: number): { now: number; most: number; total: number } {
  const seen = { now: 0, most: 0, total: 0 };
  receiver.answer(path, (_, response) => {
    seen.total++;
    seen.most = Math.max(seen.most, ++seen.now);
    setTimeout(() => {
      seen.now--;
      response.writeHead(200).end();
    }, ms);
  });
  return seen;
}
