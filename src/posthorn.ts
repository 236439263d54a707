import { pino, type Logger } from 'pino';
import { createApi } from './api/api.ts';
import { KeyVerifier, type NewKey } from './api/keys.ts';
import type { Config } from './config.ts';
import { createEngine, type RunningEngine } from './delivery/create-engine.ts';
import { defaultRetry } from './model/retry.ts';
import { version } from './version.ts';
import { createKeyRing, loadOrCreateKeyFile } from './store/seal.ts';
import { createSqliteStore, pendingMigrations } from './store/sqlite/store.ts';
import type { Store } from './store/store.ts';
import { createSender, type GuardPolicy } from './transport/transport.ts';

export { pendingMigrations };

export interface Started {
  /** `http://127.0.0.1:3001`. */
  address: string;
  /** No master key was configured and none lay beside the data: one was made there. */
  keyFileCreated: boolean;
}

export interface PosthornServer {
  readonly engine: RunningEngine;
  readonly store: Store;
  /** Opens the store, takes up what is due, listens. A second call gets the same promise. */
  start(): Promise<Started>;
  /** Refuses new work, drains, gives back what it could not send, closes. Tolerates never-started and twice-stopped. */
  stop(): Promise<void>;
  /** Makes an API key; the store must be open. The text is in the answer this once. */
  createKey(request: NewKey): Promise<{ id: string; key: string }>;
}

/** The composition root: the one place that knows which store, which sender and which API there are. */
export function createPosthornServer(config: Config, options: { logger?: Logger } = {}): PosthornServer {
  const log = options.logger ?? pino({ level: config.logLevel, base: null });
  const keyFile = config.masterKeys.length > 0 ? null : loadOrCreateKeyFile(config.dataDir);
  const keyRing = createKeyRing(keyFile?.keys ?? config.masterKeys);
  const store = createSqliteStore({
    dataDir: config.dataDir,
    keyRing,
    onRestart: () => {
      log.error('store.restarted');
      engine.leasesLost();
    },
  });
  const policy: GuardPolicy = {
    allowHttp: config.allowHttp,
    allowLoopback: config.allowLoopback,
    allowCidrs: config.allowCidrs,
    allowPorts: config.allowPorts,
    allowAnyPort: config.allowAnyPort,
  };
  const sender = createSender({ policy });
  const engine: RunningEngine = createEngine({
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

  let keys: KeyVerifier | null = null;
  let started: Promise<Started> | null = null;
  let stopped: Promise<void> | null = null;
  let api: ReturnType<typeof createApi> | null = null;
  let isListening = false;

  /** The keys of an opened store. */
  async function loadKeys(): Promise<KeyVerifier> {
    if (keys) return keys;
    keys = new KeyVerifier({
      store,
      pepper: keyRing.derive('api-keys'),
      fixed: config.operatorKey === null ? [] : [config.operatorKey],
      onFault: (error) => {
        log.warn({ error: String(error) }, 'key.use_not_noted');
      },
    });
    await keys.load();
    return keys;
  }

  async function start(): Promise<Started> {
    await store.open({ migrate: config.mode === 'dev', now: Date.now() });
    const [verifier] = await Promise.all([loadKeys(), engine.start()]);
    api = createApi({
      engine,
      keys: verifier,
      limits: { maxBodyBytes: config.maxBodyBytes },
      createTenants: config.createTenants,
      onlyLocalHosts: config.mode === 'dev',
      retryScheduleMs: config.retryScheduleMs,
      version,
      logger: log,
      isStopping: () => stopped !== null,
    });
    const address = await api.listen({ host: config.host, port: config.port });
    isListening = true;
    // `dev` shows all this in its own way.
    log[config.mode === 'dev' ? 'debug' : 'info']({ address, dataDir: config.dataDir, version }, 'posthorn.started');
    return { address, keyFileCreated: keyFile?.created ?? false };
  }

  async function stop(): Promise<void> {
    await started?.catch(() => undefined);
    await api?.close();
    await keys?.close();
    await engine.stop(config.drainMs);
    await sender.close(0);
    await store.close();
    if (isListening) log[config.mode === 'dev' ? 'debug' : 'info']('posthorn.stopped');
  }

  return {
    engine,
    store,
    start: () => (started ??= start()),
    stop: () => (stopped ??= stop()),
    createKey: async (request) => (await loadKeys()).create(request),
  };
}
