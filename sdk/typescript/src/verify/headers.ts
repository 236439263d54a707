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
  if (typeof found === 'string' && found.length <= MAX_LENGTH) return found.trim();
  return fail('bad_header', `The header ${name} is not text of at most ${MAX_LENGTH} characters.`);
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
