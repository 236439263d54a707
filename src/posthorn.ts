import { mkdirSync } from 'node:fs';
import { pino, type Logger } from 'pino';
import { createApi } from './api/api.ts';
import { KeyVerifier, type NewKey } from './api/keys.ts';
import type { Config } from './config.ts';
import { createEngine, type RunningEngine } from './delivery/create-engine.ts';
import { defaultRetry } from './model/retry.ts';
import { version } from './version.ts';
import { createKeyRing, loadOrCreateKeyFile } from './store/seal.ts';
import { createSqliteStore } from './store/sqlite/store.ts';
import type { Store } from './store/store.ts';
import { createSender, type GuardPolicy } from './transport/transport.ts';

export interface PosthornServer {
  readonly engine: RunningEngine;
  readonly store: Store;
  /** Opens the store, takes up what is due, listens. A second call gets the same promise. */
  start(): Promise<{ address: string; keyFileCreated: boolean }>;
  /** Refuses new work, drains, gives back what it could not send, closes. Tolerates never-started and twice-stopped. */
  stop(): Promise<void>;
}

/** The composition root: the one place that knows which store, which sender and which API there are. */
export function createPosthornServer(config: Config, options: { logger?: Logger } = {}): PosthornServer {
  const log = options.logger ?? pino({ level: config.logLevel, base: null });
  mkdirSync(config.dataDir, { recursive: true });
  const keyFile = config.masterKeys.length > 0 ? null : loadOrCreateKeyFile(config.dataDir);
  const keyRing = createKeyRing(keyFile?.keys ?? config.masterKeys);
  const store = createSqliteStore({ dataDir: config.dataDir, keyRing });
  const policy: GuardPolicy = {
    allowHttp: config.allowHttp,
    allowLoopback: config.allowLoopback,
    allowCidrs: config.allowCidrs,
    allowPorts: config.allowPorts,
    allowAnyPort: config.allowAnyPort,
  };
  const sender = createSender({ policy });
  const engine = createEngine({
    store,
    sender,
    policy,
    catalogue: config.catalogue,
    defaults: {
      wireFormat: config.wireFormat,
      retry: { ...defaultRetry, scheduleMs: config.retryScheduleMs },
      timeoutMs: config.timeoutMs,
      concurrency: config.concurrency,
    },
    retentionDays: config.retentionDays,
    log,
  });

  let started: Promise<{ address: string; keyFileCreated: boolean }> | null = null;
  let stopped: Promise<void> | null = null;
  let close: (() => Promise<void>) | null = null;

  async function start(): Promise<{ address: string; keyFileCreated: boolean }> {
    await store.open({ migrate: config.mode === 'dev', now: Date.now() });
    const keys = new KeyVerifier({ store, fixed: config.operatorKey === null ? [] : [config.operatorKey] });
    await Promise.all([engine.start(), keys.load()]);
    const api = createApi({
      engine,
      keys,
      limits: { maxBodyBytes: config.maxBodyBytes },
      createTenants: config.createTenants,
      version,
      logger: log,
      isStopping: () => stopped !== null,
    });
    close = async () => {
      await api.close();
      await keys.close();
    };
    const address = await api.listen({ host: config.host, port: config.port });
    log.info({ address, dataDir: config.dataDir, version }, 'posthorn.started');
    return { address, keyFileCreated: keyFile?.created ?? false };
  }

  async function stop(): Promise<void> {
    await started?.catch(() => undefined);
    await close?.();
    await engine.stop(config.drainMs);
    await sender.close(0);
    await store.close();
    log.info('posthorn.stopped');
  }

  return {
    engine,
    store,
    start: () => (started ??= start()),
    stop: () => (stopped ??= stop()),
  };
}

export type { NewKey };
