import { randomBytes, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Database } from 'better-sqlite3';
import type { Logger } from 'pino';
import { ConfigError, loadConfig, type Config } from '../config.ts';
import type { CustomFormat } from '../wire/wire.ts';
import type { Catalogue } from './catalogue.ts';

/** Attempts with growing waits between them: `baseDelayMs`, times `factor` each time, never more than `maxDelayMs`. */
export interface Backoff {
  /** In all, the first one included; 1 to 51. */
  attempts: number;
  /** Default 1,000. */
  baseDelayMs?: number;
  /** Default 2. */
  factor?: number;
  /** Default 60,000. */
  maxDelayMs?: number;
}

/** What {@link createPosthorn} takes. Everything has a default; a value that cannot be used throws a ConfigError at once. */
export interface PosthornOptions<Types extends Catalogue = Catalogue> {
  /**
   * `sql` (default): the embedded store in `dataDir`, or PostgreSQL where `databaseUrl` is set. `memory`: the embedded
   * store in a temporary directory, removed by `stop()`.
   */
  store?: 'sql' | 'memory';
  /** Directory of the embedded store; default `./.posthorn`. One process at a time. */
  dataDir?: string;
  /**
   * PostgreSQL 14 or later instead of the embedded store: `postgres://user:password@host:5432/database`. Any number of
   * processes may name the same one; give them all the same `masterKey`.
   */
  databaseUrl?: string;
  /** With `databaseUrl`: the schema of all tables; default `posthorn`. */
  databaseSchema?: string;
  /** With `databaseUrl`: connections at most, 2 to 200; default 10. */
  databasePoolSize?: number;
  /** With `databaseUrl`: longest that one statement may take, 500 to 600,000 ms; default 10,000. */
  databaseTimeoutMs?: number;
  /** With `databaseUrl`: after so long without a sign of life others take this process's work over, 2,000 to 600,000 ms; default 30,000. */
  leaseMs?: number;
  /**
   * Takes events from the table `posthorn_outbox` of your own SQLite database, where `emit` of `posthorn/outbox` puts
   * them inside your transactions: your better-sqlite3 database, or the path of its file.
   */
  outbox?: string | Database;
  /** Seals signing secrets: at least 32 characters; several, newest first, to change it. Default: a key file beside the data. */
  masterKey?: string | readonly string[];
  /** API key with every right for {@link Posthorn.handler}; at least 32 characters. Default none: make keys with `createKey`. */
  operatorKey?: string;
  /** Of subscriptions that choose none: a preset's name or a format of your own. Default `standard`. */
  wireFormat?: string | CustomFormat;
  /** Attempts and the waits between them: durations in ms, or a {@link Backoff}. Default nine waits over three days. */
  retry?: readonly number[] | Backoff;
  /** One deadline for each attempt, 100 to 60,000 ms; default 10,000. */
  timeoutMs?: number;
  /** Attempts under way at once to one subscription, 1 to 1,000; default 64. */
  concurrency?: number;
  /** How long a rotated secret still signs and verifies, 0 to 7 days in ms; default 24 h. */
  graceMs?: number;
  /** Deactivates a subscription whose attempts only fail: so many since its last success, within this time. Default null = never. */
  disableAfter?: { failures: number; withinMs: number } | null;
  /** Days for which events and attempts are kept; 0 = for ever; default 30. */
  retentionDays?: number;
  /** Days after which the data of events is forgotten while their history stays; 0 (default) = with the events. */
  payloadRetentionDays?: number;
  /** Lets subscriptions have `http://` URLs; default false. */
  allowHttp?: boolean;
  /** Lets subscriptions be on this machine and in private networks, on any port, over http; default false. For development. */
  allowPrivateUrls?: boolean;
  /** Ports that subscriptions may have besides 443 and 8443 (and 80 with `allowHttp`). */
  allowPorts?: readonly number[];
  /** Event types and the schemas of their data; `publish` then checks both, when compiled and when run. */
  events?: Types;
  /** `closed` refuses events whose type was not declared; default `open`. */
  catalogue?: 'open' | 'closed';
  /** Where log lines go; default nowhere. */
  logger?: Logger;
  /** How long `stop()` waits for attempts under way, ms; default 15,000. */
  drainMs?: number;
}

/** A configuration, and what removes the temporary directory it may live in. */
export interface Prepared {
  config: Config;
  graceMs: number;
  cleanUp: () => void;
}

const DAY_MS = 86_400_000;

/** Networks that the guard keeps closed unless the operator opens them (RFC 1918, RFC 6598, RFC 4193). */
const PRIVATE_NETWORKS = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];

const known = new Set<keyof PosthornOptions>([
  ...(['databaseUrl', 'databaseSchema', 'databasePoolSize', 'databaseTimeoutMs', 'leaseMs'] as const),
  ...(['store', 'dataDir', 'masterKey', 'operatorKey', 'wireFormat', 'retry', 'timeoutMs', 'concurrency'] as const),
  ...([
    'graceMs',
    'disableAfter',
    'retentionDays',
    'payloadRetentionDays',
    'allowHttp',
    'allowPrivateUrls',
    'allowPorts',
    'events',
    'catalogue',
  ] as const),
  ...(['logger', 'drainMs', 'outbox'] as const),
]);

/** Options as settings. Throws ConfigError that names the option and says what to give. */
export function prepare(options: PosthornOptions): Prepared {
  for (const name of Object.keys(options)) {
    if (!known.has(name as keyof PosthornOptions)) throw new ConfigError(`${name}: there is no such option; remove it`);
  }
  const { graceMs = DAY_MS, store = 'sql', disableAfter = null } = options;
  within('graceMs', graceMs, 0, 7 * DAY_MS);
  within('timeoutMs', options.timeoutMs, 100, 60_000);
  within('concurrency', options.concurrency, 1, 1_000);
  within('retentionDays', options.retentionDays, 0, 36_500);
  within('payloadRetentionDays', options.payloadRetentionDays, 0, 36_500);
  within('databasePoolSize', options.databasePoolSize, 2, 200);
  within('databaseTimeoutMs', options.databaseTimeoutMs, 500, 600_000);
  within('leaseMs', options.leaseMs, 2_000, 600_000);
  within('drainMs', options.drainMs, 0, 600_000);
  if (disableAfter !== null) {
    within('disableAfter.failures', disableAfter.failures, 1, 10_000);
    within('disableAfter.withinMs', disableAfter.withinMs, 1_000, 30 * DAY_MS);
  }
  options.allowPorts?.forEach((port, i) => {
    within(`allowPorts[${i}]`, port, 1, 65_535);
  });
  oneOf('store', store, ['sql', 'memory']);
  oneOf('catalogue', options.catalogue ?? 'open', ['open', 'closed']);
  const { outbox } = options;
  if (outbox !== undefined && (typeof outbox === 'string' ? outbox === '' : typeof outbox?.prepare !== 'function')) {
    throw new ConfigError('outbox: is no database; give a path, or a Database of better-sqlite3');
  }

  const flags: Record<string, string> = {};
  const { masterKey, operatorKey, wireFormat, databaseUrl, databaseSchema } = options;
  if (masterKey !== undefined) flags.masterKey = typeof masterKey === 'string' ? masterKey : masterKey.join(',');
  if (operatorKey !== undefined) flags.operatorKey = operatorKey;
  if (wireFormat !== undefined) {
    flags.wireFormat = typeof wireFormat === 'string' ? wireFormat : JSON.stringify(wireFormat);
  }
  if (databaseUrl !== undefined) flags.databaseUrl = databaseUrl;
  if (databaseSchema !== undefined) flags.databaseSchema = databaseSchema;
  const defaults = loadConfig({ mode: 'serve', flags, env: {}, file: null });
  const isPrivate = options.allowPrivateUrls ?? false;
  const config: Config = {
    ...defaults,
    retryScheduleMs: options.retry === undefined ? defaults.retryScheduleMs : scheduleOf(options.retry),
    timeoutMs: options.timeoutMs ?? defaults.timeoutMs,
    concurrency: options.concurrency ?? defaults.concurrency,
    retentionDays: options.retentionDays ?? defaults.retentionDays,
    payloadRetentionDays: options.payloadRetentionDays ?? defaults.payloadRetentionDays,
    databasePoolSize: options.databasePoolSize ?? defaults.databasePoolSize,
    databaseTimeoutMs: options.databaseTimeoutMs ?? defaults.databaseTimeoutMs,
    leaseMs: options.leaseMs ?? defaults.leaseMs,
    drainMs: options.drainMs ?? defaults.drainMs,
    catalogue: options.catalogue ?? 'open',
    outboxFile: typeof options.outbox === 'string' ? resolve(options.outbox) : null,
    disableAfter,
    allowHttp: isPrivate || (options.allowHttp ?? false),
    allowLoopback: isPrivate,
    allowAnyPort: isPrivate,
    allowPorts: options.allowPorts === undefined ? [] : [...options.allowPorts],
    allowCidrs: isPrivate ? PRIVATE_NETWORKS : [],
    createTenants: true,
  };
  if (store === 'sql') {
    return { config: { ...config, dataDir: resolve(options.dataDir ?? './.posthorn') }, graceMs, cleanUp: () => {} };
  }
  if (databaseUrl !== undefined) throw new ConfigError('databaseUrl: goes with store "sql"; leave it out for "memory"');
  if (options.dataDir !== undefined) throw new ConfigError('dataDir: goes with store "sql"; leave it out for "memory"');
  // Nothing is on disk before the start: who never starts it need not stop it.
  const dataDir = join(tmpdir(), `posthorn-${randomUUID()}`);
  const masterKeys = config.masterKeys.length > 0 ? config.masterKeys : [randomBytes(32).toString('base64')];
  return {
    config: { ...config, dataDir, masterKeys },
    graceMs,
    cleanUp: () => {
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function scheduleOf(retry: readonly number[] | Backoff): number[] {
  if (!('attempts' in retry)) {
    retry.forEach((ms, i) => {
      within(`retry[${i}]`, ms, 0, 30 * DAY_MS);
    });
    if (retry.length > 50) throw new ConfigError('retry: must have at most 50 waits');
    return [...retry];
  }
  const { attempts, baseDelayMs = 1_000, factor = 2, maxDelayMs = 60_000 } = retry;
  within('retry.attempts', attempts, 1, 51);
  within('retry.baseDelayMs', baseDelayMs, 0, 30 * DAY_MS);
  within('retry.maxDelayMs', maxDelayMs, 0, 30 * DAY_MS);
  if (!(factor >= 1 && factor <= 100)) throw new ConfigError(`retry.factor: is ${factor}; give a number from 1 to 100`);
  return Array.from({ length: attempts - 1 }, (_, i) => Math.round(Math.min(maxDelayMs, baseDelayMs * factor ** i)));
}

function within(name: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return;
  throw new ConfigError(`${name}: is ${String(value)}; give a whole number from ${min} to ${max}`);
}

function oneOf(name: string, value: string, choices: readonly string[]): void {
  if (!choices.includes(value)) throw new ConfigError(`${name}: is ${String(value)}; give ${choices.join(' or ')}`);
}
