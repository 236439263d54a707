import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pino, type Logger } from 'pino';
import { createApi, hasPath } from './api/api.ts';
import { KeyVerifier, type NewKey } from './api/keys.ts';
import { People } from './api/people.ts';
import { RateLimits } from './api/rate-limits.ts';
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
  /** `http://127.0.0.1:3001`; empty where it listens on no port. */
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
  /** The HTTP API without a socket of its own, for who has one; rejects before `start` and after `stop`. */
  door(): Promise<Door>;
  /** Makes an API key; the store must be open. The text is in the answer this once. */
  createKey(request: NewKey): Promise<{ id: string; key: string }>;
}

/** The HTTP API as a function. */
export interface Door {
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** True for paths that some route has. */
  owns(path: string): boolean;
  /** Answers a request that is not on a socket. */
  inject(request: {
    method: string;
    url: string;
    headers: Record<string, string>;
    payload: Readable | undefined;
  }): Promise<{ statusCode: number; headers: Record<string, unknown>; rawPayload: Buffer }>;
}

export interface ServerOptions {
  /** Default: one of its own, as the settings say. */
  logger?: Logger;
  /** Inside somebody else's process: it migrates the store by itself, and listens on no port. */
  isEmbedded?: boolean;
}

/** Who may do what: loaded once the store is open. */
interface Accounts {
  readonly people: People;
  readonly keys: KeyVerifier;
}

/** The composition root: the one place that knows which store, which sender and which API there are. */
export function createPosthornServer(config: Config, options: ServerOptions = {}): PosthornServer {
  const { isEmbedded = false } = options;
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
    disableAfter: config.disableAfter,
    log,
  });

  let accounts: Promise<Accounts> | null = null;
  let started: Promise<Started> | null = null;
  let stopped: Promise<void> | null = null;
  let api: ReturnType<typeof createApi> | null = null;
  let isListening = false;

  /** The people and keys of the store, once it is open. */
  function openAccounts(): Promise<Accounts> {
    accounts ??= loadAccounts().catch((error: unknown) => {
      accounts = null; // asked for too early: the start must not find that
      throw error;
    });
    return accounts;
  }

  async function loadAccounts(): Promise<Accounts> {
    await store.check();
    const people = new People({
      store,
      pepper: keyRing.derive('sessions'),
      signup: config.signup,
      secureCookies: config.mode === 'serve',
    });
    const keys = new KeyVerifier({
      store,
      people,
      pepper: keyRing.derive('api-keys'),
      fixed: config.operatorKey === null ? [] : [config.operatorKey],
      onFault: (error) => {
        log.warn({ error: String(error) }, 'key.use_not_noted');
      },
    });
    await Promise.all([people.load(), keys.load()]);
    return { people, keys };
  }

  async function start(): Promise<Started> {
    if (stopped !== null) throw new Error('This Posthorn was stopped; make a new one.');
    await store.open({ migrate: isEmbedded || config.mode === 'dev', now: Date.now() });
    const [{ people, keys }] = await Promise.all([openAccounts(), engine.start()]);
    api = createApi({
      engine,
      keys,
      people,
      rateLimits: new RateLimits({ perMinute: config.rateLimit }),
      limits: { maxBodyBytes: config.maxBodyBytes },
      createTenants: config.createTenants,
      onlyLocalHosts: config.mode === 'dev',
      retryScheduleMs: config.retryScheduleMs,
      version,
      logger: log,
      isStopping: () => stopped !== null,
    });
    if (isEmbedded) {
      await api.ready();
      return { address: '', keyFileCreated: keyFile?.created ?? false };
    }
    const address = await api.listen({ host: config.host, port: config.port });
    isListening = true;
    // `dev` shows all this in its own way.
    log[config.mode === 'dev' ? 'debug' : 'info']({ address, dataDir: config.dataDir, version }, 'posthorn.started');
    return { address, keyFileCreated: keyFile?.created ?? false };
  }

  async function stop(): Promise<void> {
    await started?.catch(() => undefined);
    await api?.close();
    const known = await accounts?.catch(() => null);
    await known?.keys.close();
    await engine.stop(config.drainMs);
    await sender.close(0);
    await store.close();
    if (isListening) log[config.mode === 'dev' ? 'debug' : 'info']('posthorn.stopped');
  }

  async function door(): Promise<Door> {
    if (started === null || stopped !== null) throw new Error('Posthorn is not started; call start() first.');
    try {
      await started;
    } catch (cause) {
      throw new Error('Posthorn could not start.', { cause }); // which names paths of this machine
    }
    const app = api!;
    return {
      handle: (request, response) => {
        app.routing(request, response);
      },
      owns: hasPath,
      inject: ({ method, ...request }) => app.inject({ method: method as 'GET', ...request }),
    };
  }

  return {
    engine,
    store,
    door,
    start: () => (started ??= start()),
    stop: () => (stopped ??= stop()),
    createKey: async (request) => (await openAccounts()).keys.create(request),
  };
}
