import { WireFormatError } from './error.ts';
import type { Message, Stamp } from './wire.ts';

/** What a placeholder stands for. */
export interface Placeholder {
  /**
   * `message`: the same at every attempt, so a body may hold it; `attempt`: changes, so it goes into headers only;
   * `data`: the payload, which stands in a body as JSON and nowhere else.
   */
  scope: 'message' | 'attempt' | 'data';
  value: (message: Message, stamp: Stamp) => string | number | null;
  /** How the text looks in a header, where a receiver finds it again; null = any text. */
  shape: RegExp | null;
  /** May there be no value? Then the header is left out and the signed text has nothing in its place. */
  nullable?: boolean;
  /** Epoch ms of a text of that shape, for placeholders that say when the attempt was made. */
  toMs?: (text: string) => number;
}

const ISO_SECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const UNIX = /^\d{1,12}$/;
const MS = /^\d{1,15}$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Keeps the last answer: attempts come in bursts of one second, copies of an event follow each other. */
function remembered(spell: (ms: number) => string, step: number): (ms: number) => string {
  let lastAt = Number.NaN;
  let last = '';
  return (ms) => {
    const at = Math.floor(ms / step);
    if (at !== lastAt) {
      last = spell(ms);
      lastAt = at;
    }
    return last;
  };
}

const isoText = (): ((ms: number) => string) => remembered((ms) => new Date(ms).toISOString(), 1);
const unixText = (): ((ms: number) => string) => remembered((ms) => String(Math.floor(ms / 1000)), 1000);
const occurredIso = isoText();
const wholeSeconds = remembered((ms) => `${new Date(ms).toISOString().slice(0, -5)}Z`, 1000);
const attemptIso = isoText();
const attemptUnix = unixText();

/** The category given, else the first segment of the type. */
function categoryOf(message: Message): string {
  if (message.category !== null) return message.category;
  const dot = message.type.indexOf('.');
  return dot === -1 ? message.type : message.type.slice(0, dot);
}

function ofMessage(value: (message: Message) => string | number, shape: RegExp | null = null): Placeholder {
  return { scope: 'message', value, shape };
}

function ofAttempt(value: (stamp: Stamp) => string | number, more: Partial<Placeholder> = {}): Placeholder {
  return { scope: 'attempt', value: (_, stamp) => value(stamp), shape: null, ...more };
}

const placeholders: Readonly<Record<string, Placeholder>> = {
  'event.id': ofMessage((message) => message.id),
  'event.uuid': ofMessage((message) => message.uuid, UUID),
  'event.type': ofMessage((message) => message.type),
  'event.category': ofMessage(categoryOf),
  'event.group': { scope: 'message', value: (message) => message.group, shape: null, nullable: true },
  'event.source': { scope: 'message', value: (message) => message.source, shape: null, nullable: true },
  'event.occurredAt': ofMessage((message) => occurredIso(message.occurredAt), ISO),
  'event.occurredAt.isoSeconds': ofMessage((message) => wholeSeconds(message.occurredAt), ISO_SECONDS),
  'event.occurredAt.unix': ofMessage((message) => Math.floor(message.occurredAt / 1000), UNIX),
  'event.occurredAt.ms': ofMessage((message) => message.occurredAt, MS),
  'event.data': { scope: 'data', value: (message) => message.data, shape: null },
  'tenant.id': ofMessage((message) => message.tenantId),
  'delivery.id': ofAttempt((stamp) => stamp.deliveryId),
  'delivery.uuid': ofAttempt((stamp) => stamp.deliveryUuid),
  'attempt.number': ofAttempt((stamp) => stamp.attemptNumber, { shape: /^\d{1,9}$/ }),
  'attempt.at': ofAttempt((stamp) => attemptIso(stamp.now), { shape: ISO, toMs: Date.parse }),
  'attempt.at.unix': ofAttempt((stamp) => attemptUnix(stamp.now), { shape: UNIX, toMs: (text) => Number(text) * 1000 }),
  'attempt.at.ms': ofAttempt((stamp) => stamp.now, { shape: MS, toMs: Number }),
};

const HEADER_SAFE = /^(?:[!-~](?:[ -~]*[!-~])?)?$/;

/**
 * Text that may stand in a header. Anything outside visible ASCII is percent-encoded as UTF-8, and so are spaces at the
 * ends, which receivers trim: no line break can open a header of its own, and what is signed is what arrives.
 */
function headerText(text: string): string {
  if (HEADER_SAFE.test(text)) return text;
  return text.toWellFormed().replace(/[^ -~]|^ +| +$/gu, encodeURIComponent);
}

/** Headers carry visible ASCII (RFC 9110, section 5.5), and receivers trim the spaces at the ends of a value. */
export function requireHeaderText(template: string, path: string): void {
  if (/[^ -~]/.test(template)) {
    throw new WireFormatError(path, 'holds a character outside visible ASCII, which headers cannot carry; remove it');
  }
  if (/^ | $/.test(template)) throw new WireFormatError(path, 'has a space at an end, which would get lost; remove it');
}

/** A placeholder's value as header text; one of a fixed shape needs no look at its characters. */
function headerValue({ value, shape }: Placeholder): TextTemplate {
  if (shape !== null) return (message, stamp) => String(value(message, stamp));
  return (message, stamp) => {
    const found = value(message, stamp);
    return found === null ? null : headerText(String(found));
  };
}

/** A piece of a template: literal text, or the placeholder it names. */
export type Piece = { literal: string } | { name: string };

/** Splits `a{event.id}b` into its pieces; `{{` and `}}` are literal braces. */
export function parseTemplate(template: string, path: string): Piece[] {
  const pieces: Piece[] = [];
  let literal = '';
  for (const [token, name] of template.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+/g)) {
    if (name !== undefined) {
      if (literal !== '') pieces.push({ literal });
      literal = '';
      pieces.push({ name });
    } else if (token === '{' || token === '}') {
      throw new WireFormatError(path, `a "${token}" stands alone; write "${token}${token}" for the character itself`);
    } else {
      literal += token === '{{' || token === '}}' ? token[0]! : token;
    }
  }
  if (literal !== '') pieces.push({ literal });
  return pieces;
}

/** The one placeholder a template consists of; null where there is more to it. */
export function solePlaceholder(pieces: readonly Piece[]): string | null {
  const [first] = pieces;
  return pieces.length === 1 && first !== undefined && 'name' in first ? first.name : null;
}

/** The placeholder of that name, or an error that says why it cannot stand in a body or a header, and what can. */
export function findPlaceholder(name: string, use: 'body' | 'header', path: string): Placeholder {
  const unfit = use === 'body' ? 'attempt' : 'data';
  const found = Object.hasOwn(placeholders, name) ? placeholders[name]! : null;
  if (found !== null && found.scope !== unfit) return found;
  const usable = Object.keys(placeholders).filter((key) => placeholders[key]!.scope !== unfit);
  const problem =
    found === null
      ? 'is not a placeholder'
      : use === 'body'
        ? 'changes from attempt to attempt, and the body must not: put it into a header'
        : 'is the payload, which headers and signed text cannot hold';
  throw new WireFormatError(path, `{${name}} ${problem}; here one of {${usable.join('}, {')}} can stand`);
}

export type TextTemplate = (message: Message, stamp: Stamp) => string | null;

/**
 * Compiles pieces of a header value or of signed text. Gives null only when the template is one placeholder that has
 * no value; beside other text a missing value is nothing.
 */
export function compileText(pieces: readonly Piece[], path: string): TextTemplate {
  const parts = pieces.map((piece): string | TextTemplate => {
    return 'literal' in piece ? piece.literal : headerValue(findPlaceholder(piece.name, 'header', path));
  });
  const [first] = parts;
  if (parts.length === 1 && typeof first === 'function') return first;
  return (message, stamp) => {
    let text = '';
    for (const part of parts) text += typeof part === 'string' ? part : (part(message, stamp) ?? '');
    return text;
  };
}
