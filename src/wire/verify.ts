import { WireFormatError } from './error.ts';
import { compileFormat } from './format.ts';
import type { CompiledFormat } from './format.ts';
import type { Signature } from './signature.ts';
import { findPlaceholder } from './template.ts';
import type { SigningKey, WireFormat, WireFormatSpec } from './wire.ts';

export interface VerifyInput {
  /** Compiled, or still to be: a declared one costs some 0.1 ms at every call. */
  format: WireFormatSpec | WireFormat;
  /** The raw body as it arrived, not parsed and written again. */
  body: string | Uint8Array;
  /** By name in any letter case. */
  headers: Record<string, string | string[] | undefined>;
  /** Any one of them may have signed; for ed25519 the sender's `whpk_…` public keys, or `whsk_…` ones. */
  secrets: readonly string[];
  /** Epoch ms; default: the clock. */
  now?: number;
  /** How far a signed timestamp may be from `now`, either way. Default 300; Infinity = any. */
  toleranceSeconds?: number;
}

type Refusal = {
  ok: false;
  code: 'missing_header' | 'bad_header' | 'no_match' | 'too_old' | 'too_new' | 'bad_secret';
  message: string;
};
export type Verification = { ok: true } | Refusal;

const DEFAULT_TOLERANCE_SECONDS = 300;
const MAX_HEADER_LENGTH = 8192;

/**
 * Was this request signed with one of the secrets? Every signature the format declares must be there and match, and a
 * signed timestamp must be near `now`. Compares in constant time. Whatever arrived, the answer is a value; only a
 * `format` that cannot be compiled throws (a WireFormatError), since the caller wrote it.
 */
export function verify(input: VerifyInput): Verification {
  const format = compileFormat(input.format);
  const keys = readKeys(format, input.secrets);
  if (!Array.isArray(keys)) return keys;
  if (typeof input.body !== 'string' && !(input.body instanceof Uint8Array)) {
    return refuse('no_match', 'The body must be the raw text or bytes of the request, not what was parsed from it.');
  }
  const body = typeof input.body === 'string' ? Buffer.from(input.body) : input.body;
  const headers = readHeaders(input.headers);
  const nowSeconds = Math.floor((input.now ?? Date.now()) / 1000);
  const toleranceSeconds = input.toleranceSeconds ?? DEFAULT_TOLERANCE_SECONDS;
  for (const [index, signature] of format.signatures.entries()) {
    const refusal = verifySignature({ format, signature, index, keys, headers, body, nowSeconds, toleranceSeconds });
    if (refusal !== null) return refusal;
  }
  return { ok: true };
}

interface Work {
  format: CompiledFormat;
  signature: Signature;
  index: number;
  keys: readonly SigningKey[];
  headers: ReadonlyMap<string, string | Refusal>;
  body: Uint8Array;
  nowSeconds: number;
  toleranceSeconds: number;
}

/** Tries the header and, while secrets rotate, its companion; null = one of them is good. */
function verifySignature(work: Work): Refusal | null {
  const { signature } = work;
  const main = work.headers.get(signature.header.toLowerCase());
  if (main === undefined) return refuse('missing_header', `The header ${signature.header} is missing.`);
  const refusal = verifyHeader(work, signature.header, main);
  if (refusal === null || signature.rotation === 'list' || refusal.code !== 'no_match') return refusal;
  const alternate = work.headers.get(signature.alternateHeader.toLowerCase());
  return alternate === undefined ? refusal : verifyHeader(work, signature.alternateHeader, alternate);
}

function verifyHeader(work: Work, name: string, value: string | Refusal): Refusal | null {
  if (typeof value !== 'string') return value;
  const { signature } = work;
  const lead = signature.leadPattern.pattern.exec(value);
  if (lead === null) return refuse('bad_header', `The header ${name} does not begin as this format has it.`);
  const values = new Map(signature.leadPattern.names.map((placeholder, i) => [placeholder, lead[i + 1]!]));
  const candidates = readCandidates(signature, value.slice(lead[0].length));
  if (candidates === null) return refuse('bad_header', `The header ${name} came more than once.`);
  if (candidates.length === 0) {
    const form = `${signature.valuePrefix}<signature>${signature.valueSuffix}`;
    return refuse('bad_header', `The header ${name} holds nothing of the form ${form}.`);
  }

  let before = '';
  let after = '';
  let pastBody = false;
  let signedAtMs: number | null = null;
  for (const piece of signature.signedPieces) {
    if ('name' in piece && piece.name === 'body') {
      pastBody = true;
      continue;
    }
    const text = 'literal' in piece ? piece.literal : readPlaceholder(work, piece.name, values);
    if (typeof text !== 'string') return text;
    if (pastBody) after += text;
    else before += text;
    const toMs = 'name' in piece ? findPlaceholder(piece.name, 'header', '').toMs : undefined;
    if (toMs !== undefined) signedAtMs = toMs(text);
  }

  let matches = false;
  for (const key of work.keys) {
    if (signature.matches(key.keys[work.index]!, before, work.body, after, candidates)) matches = true;
  }
  if (!matches) {
    const hint = 'check the secret, and that the body is verified as it arrived';
    return refuse('no_match', `No signature in ${name} was made with a given secret over this body; ${hint}.`);
  }
  return signedAtMs === null ? null : checkAge(work, signedAtMs);
}

/** Both sides in whole seconds, and written so that NaN on any side refuses. */
function checkAge({ nowSeconds, toleranceSeconds }: Work, signedAtMs: number): Refusal | null {
  const ageSeconds = nowSeconds - Math.floor(signedAtMs / 1000);
  if (Math.abs(ageSeconds) <= toleranceSeconds) return null;
  const limit = `the tolerance is ${toleranceSeconds} s`;
  if (ageSeconds < 0)
    return refuse('too_new', `The signature is dated ${-ageSeconds} s ahead; ${limit}. Check the clock.`);
  return refuse(
    'too_old',
    `The signature is ${ageSeconds} s old; ${limit}. It may be a replay, or the clock is wrong.`,
  );
}

/**
 * The signatures of this scheme in a header, without what surrounds them; others (`v1a,…`) are passed over. Null where
 * servers joined two headers, which they do with a comma and a space: no signature ends with a comma.
 */
function readCandidates(signature: Signature, text: string): string[] | null {
  const { valuePrefix, valueSuffix, separator } = signature;
  const candidates: string[] = [];
  for (const item of text.split(separator)) {
    if (separator === ' ' && item.endsWith(',') && !valueSuffix.endsWith(',')) return null;
    if (item.length <= valuePrefix.length + valueSuffix.length) continue;
    if (!item.startsWith(valuePrefix) || !item.endsWith(valueSuffix)) continue;
    candidates.push(item.slice(valuePrefix.length, item.length - valueSuffix.length));
  }
  return candidates;
}

/** The text that a placeholder of the signed text had at the sender, from the lead or from its header. */
function readPlaceholder(work: Work, name: string, lead: ReadonlyMap<string, string>): string | Refusal {
  const fromLead = lead.get(name);
  if (fromLead !== undefined) return fromLead;
  const header = work.format.carriers.get(name)!;
  const { shape, nullable, toMs } = findPlaceholder(name, 'header', '');
  const value = work.headers.get(header.toLowerCase());
  if (value === undefined) {
    return nullable === true ? '' : refuse('missing_header', `The header ${header} is missing.`);
  }
  if (typeof value !== 'string') return value;
  if ((shape !== null && !shape.test(value)) || (toMs !== undefined && Number.isNaN(toMs(value)))) {
    return refuse('bad_header', `The header ${header} is not what {${name}} looks like.`);
  }
  return value;
}

function readKeys(format: CompiledFormat, secrets: readonly string[]): SigningKey[] | Refusal {
  if (!Array.isArray(secrets) || secrets.length === 0) return refuse('bad_secret', 'Give at least one secret.');
  const keys: SigningKey[] = [];
  for (const [i, secret] of (secrets as readonly unknown[]).entries()) {
    if (typeof secret !== 'string') return refuse('bad_secret', `secrets[${i}]: is not text; give a string`);
    try {
      keys.push(format.verifyingKey(secret));
    } catch (error) {
      if (!(error instanceof WireFormatError)) throw error;
      return refuse('bad_secret', error.message.replace('secret', `secrets[${i}]`));
    }
  }
  return keys;
}

/** By lower-case name; a header that came twice, or is not text, is the refusal to give when it is needed. */
function readHeaders(headers: VerifyInput['headers']): Map<string, string | Refusal> {
  const found = new Map<string, string | Refusal>();
  for (const [name, given] of Object.entries((headers as VerifyInput['headers'] | null | undefined) ?? {})) {
    for (const value of Array.isArray(given) ? (given as unknown[]) : [given]) {
      if (value === undefined) continue;
      const key = name.toLowerCase();
      if (found.has(key)) {
        found.set(key, refuse('bad_header', `The header ${name} came more than once.`));
      } else if (typeof value !== 'string' || value.length > MAX_HEADER_LENGTH) {
        found.set(
          key,
          refuse('bad_header', `The header ${name} is not text of at most ${MAX_HEADER_LENGTH} characters.`),
        );
      } else {
        found.set(key, trimmed(value));
      }
    }
  }
  return found;
}

/**
 * Without what HTTP calls white space (RFC 9110, section 5.6.3) and line breaks at its ends; of other, languages differ.
 * Not by a pattern, which would look at a run of spaces once for each of them.
 */
function trimmed(value: string): string {
  const isSpace = (at: number): boolean => ' \t\r\n'.includes(value.charAt(at));
  let [start, end] = [0, value.length];
  while (start < end && isSpace(start)) start++;
  while (start < end && isSpace(end - 1)) end--;
  return value.slice(start, end);
}

function refuse(code: Refusal['code'], message: string): Refusal {
  return { ok: false, code, message };
}
