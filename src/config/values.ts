import { readFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { formatDuration, parseDuration } from '../model/retry.ts';
import { parseCidr } from '../transport/address.ts';

/*
 * Readers of setting values. Each takes the text of a setting, trimmed, and throws an Error whose message goes on after
 * the setting's name: what is wrong, then what to write. `''` stands for "not set" where a setting may be unset.
 */

/** Quotes what somebody wrote so that it stays on one line and short. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}…` : text);
}

export function parseBoolean(text: string): boolean {
  if (text === 'true') return true;
  if (text === 'false') return false;
  throw new Error(`${quote(text)} is neither true nor false; give one of the two`);
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (number >= min && number <= max) return number;
    throw new Error(`${quote(text)} does not fit; give a whole number from ${min} to ${max}`);
  };
}

/** A duration such as `10s`, in ms. */
export function duration(minMs: number, maxMs: number): (text: string) => number {
  return (text) => {
    const ms = parseDuration(text);
    const range = `from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
    if (ms === null) throw new Error(`${quote(text)} is not a duration; give a number with ms, s, m, h or d, ${range}`);
    if (ms < minMs || ms > maxMs) throw new Error(`${quote(text)} does not fit; give a duration ${range}`);
    return ms;
  };
}

/** Waits between attempts, in ms: `5s,5m,30m`, or `none`. */
export function parseSchedule(text: string): number[] {
  if (text === 'none') return [];
  const waits = splitList(text);
  if (waits.length === 0) throw new Error('names no wait; give durations such as 5s,5m,30m, or none to try only once');
  if (waits.length > 100) throw new Error(`has ${waits.length} waits; give at most 100`);
  return waits.map(duration(1, 30 * 86_400_000));
}

/** When an endpoint that fails is disabled: `50/24h`; null = `never`. */
export function parseDisableAfter(text: string): { failures: number; withinMs: number } | null {
  if (text === 'never') return null;
  const [failures, within, ...rest] = text.split('/');
  if (failures === undefined || within === undefined || rest.length > 0) {
    throw new Error(`${quote(text)} does not fit; give failures and a time, such as 50/24h, or never`);
  }
  return { failures: wholeNumber(1, 1_000_000)(failures), withinMs: duration(1_000, 30 * 86_400_000)(within) };
}

const SIZES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2 };

/** A size such as `256KiB`, in bytes. */
export function byteSize(minBytes: number, maxBytes: number): (text: string) => number {
  return (text) => {
    const found = /^(\d{1,12})(B|KiB|MiB)$/.exec(text);
    const bytes = found === null ? NaN : Number(found[1]) * SIZES[found[2]!]!;
    if (bytes >= minBytes && bytes <= maxBytes) return bytes;
    const problem = found === null ? 'is not a size' : 'does not fit';
    throw new Error(
      `${quote(text)} ${problem}; give a number with B, KiB or MiB, from ${formatSize(minBytes)} to ${formatSize(maxBytes)}`,
    );
  };
}

function formatSize(bytes: number): string {
  for (const unit of ['MiB', 'KiB']) {
    if (bytes % SIZES[unit]! === 0) return `${bytes / SIZES[unit]!}${unit}`;
  }
  return `${bytes}B`;
}

export function oneOf<const Choice extends string>(choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    throw new Error(`${quote(text)} is unknown; give one of ${choices.join(', ')}`);
  };
}

export function parsePath(text: string): string {
  if (text === '') throw new Error('is empty; give a path');
  if (text.includes('\0')) throw new Error('holds a zero byte; give a path');
  return text;
}

export function parseOptionalPath(text: string): string | null {
  return text === '' ? null : parsePath(text);
}

/** An address or name to listen on. In development only this machine may reach it. */
export function parseHost(text: string, mode: 'dev' | 'serve'): string {
  const host = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  const isName =
    /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/;
  // A name whose last label is a number is an IPv4 address gone wrong.
  if (!isIPv4(host) && !isIPv6(host) && (!isName.test(host) || /(^|\.)\d+$/.test(host))) {
    throw new Error(`${quote(text)} is not an address; give one to listen on, such as 127.0.0.1, 0.0.0.0 or ::`);
  }
  if (mode === 'dev' && !isLoopback(host)) {
    throw new Error(
      `${quote(text)} can be reached by others and \`posthorn dev\` trusts everybody; ` +
        'give 127.0.0.1, or run `posthorn serve`',
    );
  }
  return host;
}

/** Whether a host, without brackets, can be nothing but this machine. */
export function isLoopback(host: string): boolean {
  return host === '::1' || host.toLowerCase() === 'localhost' || (isIPv4(host) && host.startsWith('127.'));
}

export function parseCidrs(text: string): string[] {
  const cidrs = splitList(text);
  for (const cidr of cidrs) parseCidr(cidr);
  return cidrs;
}

/** Port numbers, or `any`. */
export function parsePorts(text: string): number[] | 'any' {
  if (text === 'any') return 'any';
  return splitList(text).map((port) => {
    if (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535) return Number(port);
    throw new Error(`${quote(port)} is not a port; give numbers from 1 to 65535 with commas between, or any`);
  });
}

/** What a node does: takes requests, delivers, or both. */
export function parseRole(text: string): { api: boolean; deliver: boolean } {
  const parts = splitList(text);
  for (const part of parts) oneOf(['api', 'deliver'])(part);
  if (parts.length === 0) throw new Error('names nothing to do; give api, deliver, or api,deliver');
  return { api: parts.includes('api'), deliver: parts.includes('deliver') };
}

/** The operator's key. Anyone on the network may guess at it in production, so it must be long there. */
export function parseOperatorKey(text: string, mode: 'dev' | 'serve'): string | null {
  if (text === '') return null;
  const min = mode === 'serve' ? 32 : 16;
  // Never show the value: this message ends in logs.
  if (text.length < min || text.length > 512) {
    throw new Error(`has ${text.length} characters; give ${min} to 512, such as \`openssl rand -hex 32\` prints`);
  }
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Error('holds a space or a special letter; give visible ASCII alone');
  return text;
}

export function parseMasterKeys(text: string): string[] {
  const keys = splitList(text);
  const short = keys.findIndex((key) => key.length < 32);
  if (short >= 0) {
    const which = keys.length === 1 ? 'has' : `its key ${short + 1} has`;
    throw new Error(
      `${which} ${keys[short]!.length} characters; give at least 32, such as \`openssl rand -hex 32\` prints`,
    );
  }
  if (new Set(keys).size < keys.length) throw new Error('names a key twice; give each key once, newest first');
  return keys;
}

/** Keys from a file, separated by commas or line ends, newest first. */
export function readMasterKeyFile(path: string): string[] {
  if (path === '') return [];
  const keys = parseMasterKeys(readText(path).replaceAll(/\r?\n/g, ','));
  if (keys.length === 0)
    throw new Error(`${quote(path)} holds no key; write one there, such as \`openssl rand -hex 32\``);
  return keys;
}

/** A preset's name as it is, or a declared format from inline JSON or a JSON file; its content is checked later. */
export function parseWireFormat(text: string): string | object {
  if (text === '') throw new Error('is empty; give the name of a preset, a JSON file, or the JSON itself');
  const isInline = text.startsWith('{');
  if (!isInline && !text.endsWith('.json') && !/[/\\]/.test(text)) return text;
  const json = isInline ? text : readText(text);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new Error(`${isInline ? 'is' : `${quote(text)} is`} not valid JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new Error(`${quote(text)} holds no JSON object; declare the format as one`);
}

/** A file's text; throws an Error of one line with the remedy. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new Error(`there is no file ${quote(path)}; create it or correct the path`, { cause });
    throw new Error(`${quote(path)} cannot be read (${code}); make it a file that this user may read`, { cause });
  }
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
