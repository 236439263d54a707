import { bodyText } from './check.ts';
import { readEvent } from './event.ts';
import type { Format, Scheme } from './formats.ts';
import { cameTwice, readHeader, type WebhookHeaders } from './headers.ts';
import { otherSpellings } from './respell.ts';
import { fail, type Failure, type Verification } from './result.ts';

// A stranger decides how many signatures there are, and the search for a cause is not worth more than a few.
const MAX_EXPLAINED_CANDIDATES = 4;

/** What is known before any cryptography. */
export interface Case {
  format: Format;
  payload: string | Uint8Array;
  headers: WebhookHeaders;
  /** Unix time at the receiver, whole seconds. */
  nowSeconds: number;
  toleranceSeconds: number;
}

/** Asked of whoever has the keys: did one of them make one of the candidates, under the scheme of that index? */
export interface Question {
  schemeIndex: number;
  before: string;
  body: string | Uint8Array;
  candidates: readonly string[];
}

/**
 * Decides about one request. It asks its questions by `yield` and is told the answers, so that the same rules serve
 * runtimes that answer at once and those that answer later.
 */
export function* judge(asked: Case): Generator<Question, Verification, boolean> {
  const { format, payload, headers } = asked;
  for (const [schemeIndex, scheme] of format.schemes.entries()) {
    const failure = yield* judgeScheme(asked, scheme, schemeIndex);
    if (failure !== null) return failure;
  }
  return { ok: true, event: readEvent(format, payload, headers) };
}

/** Null = its signature is right. While secrets rotate, the companion header may hold it. */
function* judgeScheme(asked: Case, scheme: Scheme, schemeIndex: number): Generator<Question, Failure | null, boolean> {
  const { headers, payload } = asked;
  const candidates = readCandidates(headers, scheme.header, scheme);
  if (candidates === null) return missing(scheme.header);
  if (!Array.isArray(candidates)) return candidates;
  const before = readSigned(headers, scheme);
  if (typeof before !== 'string') return before;

  const questions = [{ schemeIndex, before, body: payload, candidates }];
  if (yield questions[0]!) return checkAge(asked, scheme);
  if (scheme.hasAlternate) {
    const others = readCandidates(headers, `${scheme.header}-Alternate`, scheme);
    if (others !== null && !Array.isArray(others)) return others;
    if (others !== null) {
      questions.push({ schemeIndex, before, body: payload, candidates: others });
      if (yield questions[1]!) return checkAge(asked, scheme);
    }
  }
  for (const { body, was } of otherSpellings(bodyText(payload), asked.format.members.data)) {
    for (const question of questions) {
      const candidates = question.candidates.slice(0, MAX_EXPLAINED_CANDIDATES);
      if (yield { ...question, candidates, body }) return reserialised(was);
    }
  }
  return noMatch(asked, scheme);
}

function missing(header: string): Failure {
  return fail(
    'missing_header',
    `The header ${header} is missing. Does the request come from Posthorn, in this format?`,
  );
}

/** The signatures of this scheme in a header, without their prefix; those of others are passed over. */
function readCandidates(headers: WebhookHeaders, name: string, scheme: Scheme): string[] | null | Failure {
  const value = readHeader(headers, name);
  if (typeof value !== 'string') return value;
  const { prefix } = scheme;
  const items = value.split(' ');
  // Servers join a header that came twice with a comma and a space; no signature ends with a comma.
  if (items.some((item) => item.endsWith(','))) return cameTwice(name);
  const candidates = items.flatMap((item) =>
    item.length > prefix.length && item.startsWith(prefix) ? [item.slice(prefix.length)] : [],
  );
  if (candidates.length > 0) return candidates;
  return fail('bad_header', `The header ${name} holds no signature of the form ${prefix}<${scheme.encoding}>.`);
}

/** The text that is signed before the body. */
function readSigned(headers: WebhookHeaders, scheme: Scheme): string | Failure {
  let before = '';
  for (const name of scheme.signedHeaders) {
    const value = readHeader(headers, name);
    if (value === null) return missing(name);
    if (typeof value !== 'string') return value;
    if (name === scheme.timeHeader && !/^\d{1,12}$/.test(value)) {
      return fail('bad_header', `The header ${name} is no Unix time in seconds.`);
    }
    before += `${value}.`;
  }
  return before;
}

/** Both sides in whole seconds, and written so that NaN on any side refuses. */
function checkAge({ headers, nowSeconds, toleranceSeconds }: Case, scheme: Scheme): Failure | null {
  if (scheme.timeHeader === null) return null;
  const ageSeconds = nowSeconds - Number(readHeader(headers, scheme.timeHeader));
  if (Math.abs(ageSeconds) <= toleranceSeconds) return null;
  const allowed = `the tolerance is ${toleranceSeconds} s`;
  if (ageSeconds < 0) {
    return fail('too_new', `The signature is right but dated ${-ageSeconds} s ahead; ${allowed}. Check this clock.`);
  }
  const message = `The signature is right but ${ageSeconds} s old; ${allowed}. A replay, or this clock is wrong.`;
  return fail('too_old', message);
}

function reserialised(was: string): Failure {
  const message = `The body was changed before it was verified: it ${was}. The secret is right; verify the raw bytes.`;
  return fail('no_match', message, 'body_reserialised');
}

function noMatch({ payload }: Case, { header }: Scheme): Failure {
  if (payload.length === 0) {
    return fail('no_match', `The body is empty, and ${header} does not fit that. Was it read before it was verified?`);
  }
  const causes = 'the secret is not that of this webhook, or the body was changed on its way';
  return fail('no_match', `The signature in ${header} does not fit this body and secret: ${causes}.`);
}
