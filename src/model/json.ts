/**
 * Reads JSON that outsiders send, more strictly than JSON.parse, and finds the exact text of a member, so that a
 * payload can be kept byte for byte. The rules are those of I-JSON (RFC 7493, sections 2.1 and 2.3) plus a bound on
 * depth: what two parsers would read differently is refused at the door instead of confusing a receiver later.
 */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

export const MAX_JSON_DEPTH = 100;

const QUOTE = 34;
const BACKSLASH = 92;
const COLON = 58;
const COMMA = 44;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const LOWER_U = 117;

/** A half-open range of characters in the text: [start, end). */
export type Span = readonly [start: number, end: number];

/**
 * Parses `text`, or throws a {@link JsonError} that says what to correct: a syntax error, nesting deeper than
 * {@link MAX_JSON_DEPTH}, a name twice in one object, a member called `__proto__`, or an unpaired surrogate.
 */
export function parseStrictJson(text: string): unknown {
  const names = scan(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new JsonError(`not valid JSON: ${(cause as Error).message}`);
  }
  if (names > 0 && countNames(value) !== names) {
    throw new JsonError('an object has the same member twice; receivers would disagree on which one counts');
  }
  return value;
}

/** Walks the text once: depth and surrogates. Returns how many member names there are. Tolerates text that is not JSON. */
function scan(text: string): number {
  let depth = 0;
  let names = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      i = endOfString(text, i);
    } else if (code === COLON) {
      names++;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > MAX_JSON_DEPTH) throw new JsonError(`nested deeper than ${MAX_JSON_DEPTH} levels`);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--;
    }
  }
  if (text.includes('\\u')) checkSurrogates(text);
  return names;
}

/** The index of the closing quote of the string that opens at `open`, or the end of the text. */
function endOfString(text: string, open: number): number {
  let close = text.indexOf('"', open + 1);
  while (close !== -1) {
    let slashes = 0;
    for (let i = close - 1; text.charCodeAt(i) === BACKSLASH; i--) slashes++;
    if (slashes % 2 === 0) return close;
    close = text.indexOf('"', close + 1);
  }
  return text.length;
}

function checkSurrogates(text: string): void {
  for (let i = text.indexOf('\\'); i !== -1; i = text.indexOf('\\', i)) {
    if (text.charCodeAt(i + 1) !== LOWER_U) {
      i += 2;
      continue;
    }
    const unit = Number.parseInt(text.slice(i + 2, i + 6), 16);
    i += 6;
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const low = text.startsWith('\\u', i) ? Number.parseInt(text.slice(i + 2, i + 6), 16) : 0;
    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
      throw new JsonError('a string holds half of a surrogate pair, which no UTF-8 text can carry');
    }
    i += 6;
  }
}

function countNames(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let names = 0;
  if (Array.isArray(value)) {
    for (const element of value) names += countNames(element);
    return names;
  }
  for (const name in value) {
    if (name === '__proto__')
      throw new JsonError('a member is called "__proto__", which some receivers would take for an instruction');
    names += 1 + countNames((value as Record<string, unknown>)[name]);
  }
  return names;
}

/** The spans of the values of the object that opens at `start`, by name. The text must be valid JSON. */
export function memberSpans(text: string, start: number): Map<string, Span> {
  const spans = new Map<string, Span>();
  let i = skipSpace(text, start) + 1;
  for (;;) {
    i = skipSpace(text, i);
    if (text.charCodeAt(i) === CLOSE_BRACE) return spans;
    if (text.charCodeAt(i) === COMMA) {
      i++;
      continue;
    }
    const nameEnd = endOfString(text, i) + 1;
    const raw = text.slice(i + 1, nameEnd - 1);
    const name = raw.includes('\\') ? (JSON.parse(text.slice(i, nameEnd)) as string) : raw;
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    i = endOfValue(text, valueStart);
    spans.set(name, [valueStart, i]);
  }
}

/** The spans of the elements of the array that opens at `start`. The text must be valid JSON. */
export function elementSpans(text: string, start: number): Span[] {
  const spans: Span[] = [];
  let i = skipSpace(text, start) + 1;
  for (;;) {
    i = skipSpace(text, i);
    if (text.charCodeAt(i) === CLOSE_BRACKET) return spans;
    if (text.charCodeAt(i) === COMMA) {
      i++;
      continue;
    }
    const end = endOfValue(text, i);
    spans.push([i, end]);
    i = end;
  }
}

function skipSpace(text: string, from: number): number {
  let i = from;
  while (text.charCodeAt(i) <= 32) i++;
  return i;
}

function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return endOfString(text, start) + 1;
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
    let i = start;
    for (; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || code <= 32) break;
    }
    return i;
  }
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i);
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) return i + 1;
  }
  return text.length;
}
