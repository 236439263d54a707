import { resolve } from 'node:path';
import { nearest } from './model/nearest.ts';
import { profiles } from './model/profile.ts';
import { settings } from './config/settings.ts';
import type { Mode, Setting, SettingKey, SettingValues } from './config/settings.ts';
import { readText } from './config/values.ts';
import { compileWireFormat, WireFormatError } from './wire/wire.ts';
import type { WireFormatSpec } from './wire/wire.ts';

export { settings } from './config/settings.ts';
export type { Mode, Setting, SettingKey } from './config/settings.ts';

/** Everything an operator can choose, read and checked. */
export interface Config {
  mode: Mode;
  host: string;
  /** 0 = any free one. */
  port: number;
  /** Absolute. */
  dataDir: string;
  /** PostgreSQL instead of the embedded store; may hold a password. */
  databaseUrl: string | null;
  /** The next four apply with PostgreSQL alone. */
  databaseSchema: string;
  databasePoolSize: number;
  /** Longest that one statement may take. */
  databaseTimeoutMs: number;
  leaseMs: number;
  /** What this node does. */
  role: { api: boolean; deliver: boolean };
  /** An application's SQLite database that events are taken from; absolute. */
  outboxFile: string | null;
  operatorKey: string | null;
  /** Newest first; empty = a key file beside the data. */
  masterKeys: string[];
  allowHttp: boolean;
  allowLoopback: boolean;
  allowCidrs: string[];
  /** Besides 443 and 8443. */
  allowPorts: number[];
  allowAnyPort: boolean;
  wireFormat: string | object;
  retryScheduleMs: number[];
  timeoutMs: number;
  /** Attempts under way at once to one endpoint. */
  concurrency: number;
  maxBodyBytes: number;
  /** Requests a minute and key; 0 = any number. */
  rateLimit: number;
  /** Whether strangers may make themselves a tenant. */
  signup: 'open' | 'closed';
  /** Failed attempts in a row, within a time, after which an endpoint is disabled; null = never. */
  disableAfter: { failures: number; withinMs: number } | null;
  catalogue: 'open' | 'closed';
  createTenants: boolean;
  logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug';
  /** 0 = for ever. */
  retentionDays: number;
  /** Of what events hold; 0 = as long as the events. */
  payloadRetentionDays: number;
  drainMs: number;
}

/** A setting that cannot be used. The message is one line: the setting, what is wrong, what to change. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface ConfigInput {
  mode: Mode;
  /** By key of the setting (`dataDir`); true = given without a value. */
  flags: Record<string, string | boolean>;
  env: Record<string, string | undefined>;
  /** Configuration file; null = none; absent = the one `POSTHORN_CONFIG` names, else `posthorn.config.json` if it is there. */
  file?: string | null;
}

/** Variables that are not settings of the server, but ours. */
const otherVariables = ['POSTHORN_CONFIG', 'POSTHORN_URL', 'POSTHORN_API_KEY', 'POSTHORN_INGEST_FROM'];
const defaultFile = 'posthorn.config.json';

/**
 * Reads the settings: a flag before the environment, before the configuration file, before the default. An empty
 * variable counts as not set. Reads files that settings name, and nothing else of the world.
 * Throws {@link ConfigError}.
 */
export function loadConfig(input: ConfigInput): Config {
  const { mode } = input;
  const given = new Map<SettingKey, Given>();
  const { source, values: fromFile } = readConfigFile(input);
  refuseUnknown(Object.keys(fromFile), keys, (key) => `${key} in ${source}`);
  refuseUnknown(Object.keys(input.flags), keys, (key) => `--${key}`);
  refuseUnknown(ourVariables(input.env), [...settings.map(({ name }) => name), ...otherVariables], (name) => name);

  for (const setting of settings) {
    const { key, name, flag } = setting;
    const flagValue = input.flags[key];
    const variable = isInjected(name, input.env[name]) ? '' : (input.env[name] ?? '');
    if (flagValue !== undefined) given.set(key, { source: flag, text: String(flagValue) });
    else if (variable !== '') given.set(key, { source: name, text: variable });
    else if (key in fromFile) given.set(key, { source: `${key} in ${source}`, text: fromFile[key]! });
  }

  const values = Object.fromEntries(
    settings.map((setting) => [setting.key, read(setting, mode, given.get(setting.key))]),
  ) as unknown as SettingValues;
  checkWireFormat(values.wireFormat, given.get('wireFormat')?.source ?? 'POSTHORN_WIRE_FORMAT');
  if (values.masterKey.length > 0 && values.masterKeyFile.length > 0) {
    const [one, other] = [given.get('masterKey')!.source, given.get('masterKeyFile')!.source];
    throw new ConfigError(`${one} and ${other} are both set; keep one of them`);
  }

  // A product's format as the instance's brings its schedule and timeout, unless the settings say otherwise.
  const profile = typeof values.wireFormat === 'string' ? profiles[values.wireFormat] : undefined;
  if (profile && !given.has('retrySchedule')) values.retrySchedule = [...profile.retryScheduleMs];
  if (profile && !given.has('timeout')) values.timeout = profile.timeoutMs;

  if (values.databaseUrl === null && !(values.role.api && values.role.deliver)) {
    throw new ConfigError(
      `${given.get('role')!.source}: an embedded store has one process, which does everything; ` +
        'leave it out, or set POSTHORN_DATABASE_URL',
    );
  }

  const { allowPorts, dataDir, databaseTimeout, drain, lease, ...others } = values;
  const { masterKey, masterKeyFile, maxBody, retrySchedule, timeout, ...rest } = others;
  return {
    ...rest,
    mode,
    dataDir: resolve(dataDir),
    outboxFile: values.outboxFile === null ? null : resolve(values.outboxFile),
    masterKeys: masterKey.length > 0 ? masterKey : masterKeyFile,
    allowPorts: allowPorts === 'any' ? [] : allowPorts,
    allowAnyPort: allowPorts === 'any',
    retryScheduleMs: retrySchedule,
    timeoutMs: timeout,
    maxBodyBytes: maxBody,
    databaseTimeoutMs: databaseTimeout,
    leaseMs: lease,
    drainMs: drain,
  };
}

/** A value somebody gave, and how to name the place where they did. */
interface Given {
  source: string;
  text: string;
}

const keys = settings.map(({ key }) => key as string);

function read(setting: Setting, mode: Mode, given: Given | undefined): unknown {
  try {
    return setting.parse((given?.text ?? setting.default[mode]).trim(), mode);
  } catch (error) {
    throw new ConfigError(`${given?.source ?? setting.name}: ${oneLine((error as Error).message)}`);
  }
}

function checkWireFormat(format: string | object, source: string): void {
  try {
    compileWireFormat(format as WireFormatSpec);
  } catch (error) {
    if (!(error instanceof WireFormatError)) throw error;
    throw new ConfigError(`${source}: ${oneLine(error.message)}`);
  }
}

function readConfigFile({ file, env }: ConfigInput): { source: string; values: Record<string, string> } {
  const named = file === undefined ? env.POSTHORN_CONFIG || undefined : file;
  if (named === null) return { source: '', values: {} };
  const source = named ?? defaultFile;
  let json: unknown;
  try {
    json = JSON.parse(readText(source));
  } catch (error) {
    if (error instanceof SyntaxError) throw new ConfigError(`${source} is not valid JSON: ${oneLine(error.message)}`);
    if (named === undefined && (error as Error).message.startsWith('there is no file')) return { source, values: {} };
    throw new ConfigError(`configuration file: ${(error as Error).message}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new ConfigError(`${source} holds no JSON object; write { "port": 3001 }`);
  }
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(json)) {
    const text = textOf(value);
    if (text === null) throw new ConfigError(`${key} in ${source}: null is no value; leave the line out`);
    values[key] = text;
  }
  return { source, values };
}

/** A value in the file as it would be written in a variable: lists with commas, objects as JSON. */
function textOf(value: unknown): string | null {
  if (value === null) return null;
  if (Array.isArray(value)) return value.map((item) => textOf(item) ?? 'null').join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function ourVariables(env: ConfigInput['env']): string[] {
  return Object.keys(env).filter((name) => name.startsWith('POSTHORN_') && !isInjected(name, env[name]));
}

/**
 * Kubernetes gives every pod beside a Service called `posthorn` the variables POSTHORN_SERVICE_HOST,
 * POSTHORN_PORT_3001_TCP and POSTHORN_PORT=tcp://…: nobody set those, so they are no settings.
 */
function isInjected(name: string, value: string | undefined): boolean {
  return (
    /^POSTHORN_(SERVICE_(HOST|PORT)|PORT_\d)/.test(name) || (name === 'POSTHORN_PORT' && /^\w+:\/\//.test(value ?? ''))
  );
}

function refuseUnknown(names: readonly string[], known: readonly string[], describe: (name: string) => string): void {
  for (const name of names) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    const remedy = near === null ? 'remove it, or see docs/configuration.md' : `did you mean ${describe(near)}?`;
    throw new ConfigError(oneLine(`${describe(name)}: there is no such setting; ${remedy}`));
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, ' ');
}
