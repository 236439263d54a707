import { randomBytes, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
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
  /** `sql` (default): the embedded store in `dataDir`. `memory`: the same in a temporary directory, removed by `stop()`. */
  store?: 'sql' | 'memory';
  /** Directory of the embedded store; default `./.posthorn`. One process at a time. */
  dataDir?: string;
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
  ...(['store', 'dataDir', 'masterKey', 'operatorKey', 'wireFormat', 'retry', 'timeoutMs', 'concurrency'] as const),
  ...([
    'graceMs',
    'disableAfter',
    'retentionDays',
    'allowHttp',
    'allowPrivateUrls',
    'allowPorts',
    'events',
    'catalogue',
  ] as const),
  ...(['logger', 'drainMs'] as const),
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

  const flags: Record<string, string> = {};
  const { masterKey, operatorKey, wireFormat } = options;
  if (masterKey !== undefined) flags.masterKey = typeof masterKey === 'string' ? masterKey : masterKey.join(',');
  if (operatorKey !== undefined) flags.operatorKey = operatorKey;
  if (wireFormat !== undefined) {
    flags.wireFormat = typeof wireFormat === 'string' ? wireFormat : JSON.stringify(wireFormat);
  }
  const defaults = loadConfig({ mode: 'serve', flags, env: {}, file: null });
  const isPrivate = options.allowPrivateUrls ?? false;
  const config: Config = {
    ...defaults,
    retryScheduleMs: options.retry === undefined ? defaults.retryScheduleMs : scheduleOf(options.retry),
    timeoutMs: options.timeoutMs ?? defaults.timeoutMs,
    concurrency: options.concurrency ?? defaults.concurrency,
    retentionDays: options.retentionDays ?? defaults.retentionDays,
    drainMs: options.drainMs ?? defaults.drainMs,
    catalogue: options.catalogue ?? 'open',
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
