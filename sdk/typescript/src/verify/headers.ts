import { fail } from './result.ts';
import type { Failure } from './result.ts';

/** Headers as servers give them: a `Headers` object, or an object with names in any letter case. */
export type WebhookHeaders =
  { get(name: string): string | null } | Readonly<Record<string, string | readonly string[] | undefined>>;

const MAX_LENGTH = 8192;

/** The value of a header without white space around it; null where it is missing. */
export function readHeader(headers: WebhookHeaders, name: string): string | null | Failure {
  const found = isHeaders(headers) ? headers.get(name) : findMember(headers, name);
  if (found === null || found === undefined) return null;
  if (found === TWICE) return cameTwice(name);
  if (typeof found === 'string' && found.length <= MAX_LENGTH) return trimmed(found);
  return fail('bad_header', `The header ${name} is not text of at most ${MAX_LENGTH} characters.`);
}

/**
 * Without what HTTP calls white space (RFC 9110, section 5.6.3) and line breaks at its ends; of other, languages differ.
 * Not by a pattern, which would look at a run of spaces once for each of them.
 */
function trimmed(value: string): string {
  let [start, end] = [0, value.length];
  while (start < end && isSpace(value, start)) start++;
  while (start < end && isSpace(value, end - 1)) end--;
  return value.slice(start, end);
}

function isSpace(value: string, at: number): boolean {
  return ' \t\r\n'.includes(value.charAt(at));
}

export function cameTwice(name: string): Failure {
  return fail('bad_header', `The header ${name} came more than once. Something on the way adds one of its own.`);
}

function isHeaders(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return typeof headers.get === 'function';
}

const TWICE = Symbol('twice');

function findMember(headers: Readonly<Record<string, unknown>>, name: string): unknown {
  const wanted = name.toLowerCase();
  let found: unknown;
  // By keys alone: pairs cost more than the rest of this.
  for (const key of Object.keys(headers)) {
    if (key.length !== wanted.length || key.toLowerCase() !== wanted) continue;
    const value = headers[key];
    if (value === undefined) continue;
    const values: unknown[] = Array.isArray(value) ? value : [value];
    if (values.length === 0) continue;
    if (found !== undefined || values.length > 1) return TWICE;
    found = values[0];
  }
  return found;
}
