import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pino, type Logger } from 'pino';
import { createApi, hasPath } from './api/api.ts';
import { KeyVerifier, type NewKey } from './api/keys.ts';
import { People } from './api/people.ts';
import { RateLimits } from './api/rate-limits.ts';
import { ConfigError, type Config } from './config.ts';
import { databaseName } from './config/database-url.ts';
import { createEngine, type RunningEngine } from './delivery/create-engine.ts';
import { defaultRetry } from './model/retry.ts';
import { Relay } from './outbox/relay.ts';
import { createSqliteOutbox, type SqliteOutboxOptions } from './outbox/sqlite-source.ts';
import { version } from './version.ts';
import { Connections } from './store/postgres/connections.ts';
import { migrateDatabase } from './store/postgres/prepare.ts';
import { createPostgresStore } from './store/postgres/store.ts';
import { createKeyRing, loadOrCreateKeyFile, type KeyRing } from './store/seal.ts';
import { createSqliteStore, pendingMigrations } from './store/sqlite/store.ts';
import type { Store } from './store/store.ts';
import { createSender, type GuardPolicy } from './transport/transport.ts';

export { pendingMigrations };

/**
 * Brings the configured store up to date, or with `dryRun` only says what it lacks.
 * @returns names of migrations, oldest first: those applied, with `dryRun` those that are pending
 */
export async function migrateStore(config: Config, { dryRun }: { dryRun: boolean }): Promise<string[]> {
  if (config.databaseUrl !== null) {
    const connections = new Connections({
      url: config.databaseUrl,
      schema: config.databaseSchema,
      poolSize: 2,
      statementTimeoutMs: config.databaseTimeoutMs,
      onFault: () => undefined, // the statement under way fails too
    });
    try {
      return await migrateDatabase(connections, { dryRun });
    } finally {
      await connections.end();
    }
  }
  const migrations = pendingMigrations(config.dataDir);
  if (dryRun || migrations.length === 0) return migrations;
  const { store } = createPosthornServer({ ...config, logLevel: 'silent' });
  try {
    await store.open({ migrate: true, now: Date.now() });
  } finally {
    await store.close();
  }
  return migrations;
}

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
  /** Database that events are taken from, before the one of the settings. */
  outbox?: SqliteOutboxOptions['outbox'];
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
  if (config.mode === 'serve' || isEmbedded) refuseWithoutMasterKey(config);
  const keyFile = config.masterKeys.length > 0 ? null : loadOrCreateKeyFile(config.dataDir);
  const keyRing = createKeyRing(keyFile?.keys ?? config.masterKeys);
  const store = createStore(config, keyRing, log);
  const now = (): number => store.now();
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
    now,
    delivers: config.role.deliver,
    defaults: {
      wireFormat: config.wireFormat,
      retry: { ...defaultRetry, scheduleMs: config.retryScheduleMs },
      timeoutMs: config.timeoutMs,
      concurrency: config.concurrency,
    },
    retentionDays: config.retentionDays,
    payloadRetentionDays: config.payloadRetentionDays,
    disableAfter: config.disableAfter,
    onRecordsChanged: async (changes) => {
      const { people, keys } = await openAccounts();
      await people.follow(changes, (memberId, at) => {
        keys.forgetMember(memberId, at);
      });
      await keys.follow(changes);
    },
    log,
  });
  const { cluster } = store;
  const catchUp = (): Promise<void> => engine.catchUp();
  const notCounted = (error: unknown): void => {
    log.warn({ error: String(error) }, 'requests.not_counted_together');
  };
  const rateLimits = new RateLimits({ ...{ perMinute: config.rateLimit, cluster, now }, onFault: notCounted });

  const relays = createRelays();

  let accounts: Promise<Accounts> | null = null;
  let started: Promise<Started> | null = null;
  let stopped: Promise<void> | null = null;
  let api: ReturnType<typeof createApi> | null = null;
  let isListening = false;

  /** What brings in events that applications left beside their own rows. */
  function createRelays(): Relay[] {
    const file = options.outbox ?? config.outboxFile;
    const onAbsent = (error: unknown): void => {
      log.warn({ error: String(error) }, 'outbox.absent');
    };
    const { createTenants } = config;
    return [
      ...(store.outbox === null ? [] : [{ name: 'postgres', source: store.outbox }]),
      ...(file === null ? [] : [{ name: 'file', source: createSqliteOutbox({ outbox: file, onAbsent }) }]),
    ].map((outbox) => new Relay({ ...outbox, engine, createTenants, log }));
  }

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
      ...{ cluster, catchUp, now, onFault: notCounted },
    });
    const keys = new KeyVerifier({
      store,
      people,
      pepper: keyRing.derive('api-keys'),
      fixed: config.operatorKey === null ? [] : [config.operatorKey],
      onFault: (error) => {
        log.warn({ error: String(error) }, 'key.use_not_noted');
      },
      ...{ catchUp, now },
    });
    await Promise.all([people.load(), keys.load()]);
    return { people, keys };
  }

  async function start(): Promise<Started> {
    if (stopped !== null) throw new Error('This Posthorn was stopped; make a new one.');
    await store.open({ migrate: isEmbedded || config.mode === 'dev', now: Date.now() });
    const [{ people, keys }] = await Promise.all([openAccounts(), engine.start()]);
    for (const relay of relays) relay.start();
    api = createApi({
      engine,
      keys,
      people,
      rateLimits,
      limits: { maxBodyBytes: config.maxBodyBytes },
      createTenants: config.createTenants,
      onlyLocalHosts: config.mode === 'dev',
      onlyHealth: !config.role.api,
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
    const { mode, dataDir, databaseUrl } = config;
    const place = databaseUrl === null ? { dataDir } : { database: databaseName(databaseUrl) };
    log[mode === 'dev' ? 'debug' : 'info']({ address, ...place, version }, 'posthorn.started');
    return { address, keyFileCreated: keyFile?.created ?? false };
  }

  async function stop(): Promise<void> {
    await started?.catch(() => undefined);
    await api?.close();
    const known = await accounts?.catch(() => null);
    known?.people.stop();
    await known?.keys.close();
    rateLimits.stop();
    await Promise.all(relays.map((relay) => relay.stop()));
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

function createStore(config: Config, keyRing: KeyRing, log: Logger): Store {
  const { dataDir, databaseUrl } = config;
  if (databaseUrl === null) return createSqliteStore({ dataDir, keyRing });
  return createPostgresStore({
    url: databaseUrl,
    schema: config.databaseSchema,
    poolSize: config.databasePoolSize,
    statementTimeoutMs: config.databaseTimeoutMs,
    leaseMs: config.leaseMs,
    delivers: config.role.deliver,
    keyRing,
    onFault: (error, what) => {
      log.warn({ error: String(error), what }, 'database.fault');
    },
  });
}

/** Nodes that share a database share its master key: one made beside the data of one machine would open nothing elsewhere. */
function refuseWithoutMasterKey({ databaseUrl, masterKeys }: Config): void {
  if (databaseUrl === null || masterKeys.length > 0) return;
  throw new ConfigError(
    'POSTHORN_MASTER_KEY: is needed with PostgreSQL, and the same on every node; make one with `openssl rand -base64 32`, or after a move give the old one, as POSTHORN_MASTER_KEY_FILE where it is a file',
  );
}
