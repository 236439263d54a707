import { randomFillSync } from 'node:crypto';

/**
 * Ids are UUIDv7 (RFC 9562, section 5.7), spelled as 26 characters of Crockford base32 in upper case, so that their
 * text sorts by time in SQL, in JSON and by eye. With a prefix they name a thing (`wh_01JX…`); without one and in
 * hexadecimal they are plain UUIDs. Both spellings name the same id wherever an id is accepted.
 */
export type Id = string;

export const prefixes = {
  event: 'evt_',
  endpoint: 'wh_',
  delivery: 'whd_',
  attempt: 'att_',
  apiKey: 'key_',
  member: 'mem_',
  secret: 'sec_',
  request: 'req_',
} as const;

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CHARS = [...ALPHABET];
const CODES = Buffer.from(ALPHABET);
const ZERO = CODES[0]!;
const ATTEMPT_DIGITS = 3;

/** An attempt's number is kept in the last three digits of its delivery's id, so this is the most there can be. */
export const MAX_ATTEMPT_NUMBER = 32 ** ATTEMPT_DIGITS - 1;

const VALUE_OF = new Int8Array(128).fill(-1);
for (let value = 0; value < 32; value++) {
  const char = CHARS[value]!;
  VALUE_OF[char.charCodeAt(0)] = value;
  VALUE_OF[char.toLowerCase().charCodeAt(0)] = value;
}
for (const [alias, value] of [
  ['O', 0],
  ['I', 1],
  ['L', 1],
] as const) {
  VALUE_OF[alias.charCodeAt(0)] = value;
  VALUE_OF[alias.toLowerCase().charCodeAt(0)] = value;
}

const pool = new Uint8Array(4096);
let poolAt = pool.length;
let lastMs = 0;
let counter = 0;

/** Moves the clock of the generator: 48 bits of time, then a 12-bit counter that keeps ids of one millisecond in order. */
function tick(nowMs: number): void {
  if (nowMs > lastMs) {
    lastMs = nowMs;
    counter = 0;
    digits.write(timeDigits(lastMs), 'latin1');
  } else if (++counter > 4095) {
    lastMs++;
    counter = 0;
    digits.write(timeDigits(lastMs), 'latin1');
  }
}

function timeDigits(ms: number): string {
  let text = '';
  for (let rest = ms, i = 0; i < 10; i++) {
    text = CHARS[rest % 32]! + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

// Made in place and read out once: a text put together piece by piece would drag its pieces along.
const digits = Buffer.alloc(26, '0');

function generate(nowMs: number, randomDigits: number): string {
  tick(nowMs);
  if (poolAt + 13 > pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  // After the time: version 7 (4 bits), counter (12), variant 10 (2), then random bits to the end.
  digits[10] = CODES[0b01110 | (counter >> 11)]!;
  digits[11] = CODES[(counter >> 6) & 31]!;
  digits[12] = CODES[(counter >> 1) & 31]!;
  digits[13] = CODES[((counter & 1) << 4) | 0b01000 | (pool[poolAt++]! & 3)]!;
  for (let i = 14; i < 14 + randomDigits; i++) digits[i] = CODES[pool[poolAt++]! & 31]!;
  digits.fill(ZERO, 14 + randomDigits);
  return digits.toString('latin1');
}

/** A new id, later in order than every id this process made before. `nowMs`: epoch milliseconds. */
export function newId(nowMs: number): Id {
  return generate(nowMs, 12);
}

/** A new delivery id: its last three digits are zero and belong to the attempts (see {@link attemptId}). */
export function newDeliveryId(nowMs: number): Id {
  return generate(nowMs, 12 - ATTEMPT_DIGITS);
}

/** The id of one attempt of a delivery; `attemptNumber` from 1 to {@link MAX_ATTEMPT_NUMBER}. */
export function attemptId(deliveryId: Id, attemptNumber: number): Id {
  return (
    deliveryId.slice(0, -ATTEMPT_DIGITS) +
    CHARS[(attemptNumber >> 10) & 31]! +
    CHARS[(attemptNumber >> 5) & 31]! +
    CHARS[attemptNumber & 31]!
  );
}

/** The delivery an attempt belongs to. A delivery's own id is given back unchanged. */
export function deliveryOfAttempt(id: Id): Id {
  return id.slice(0, -ATTEMPT_DIGITS) + '000';
}

/** The number of the attempt that an attempt id names; 0 for a delivery's own id. */
export function attemptNumberOf(id: Id): number {
  let number = 0;
  for (const char of id.slice(-ATTEMPT_DIGITS)) number = number * 32 + VALUE_OF[char.charCodeAt(0)]!;
  return number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * Reads an id in any of its spellings: `wh_01JX…` (with `prefix`), `01JX…`, or a UUID.
 * Returns the 26 digits, or null where the text is none of these (or carries another thing's prefix).
 */
export function parseId(text: string, prefix: string): Id | null {
  if (UUID.test(text)) return fromUuid(text);
  const digits = text.startsWith(prefix) ? text.slice(prefix.length) : text;
  if (digits.length !== 26) return null;
  let id = '';
  for (let i = 0; i < 26; i++) {
    const code = digits.charCodeAt(i);
    const value = code < 128 ? VALUE_OF[code]! : -1;
    if (value < 0 || (i === 0 && value > 7)) return null;
    id += CHARS[value]!;
  }
  return id;
}

// Made in place, like the digits of a new id: five times as fast as by way of a BigInt.
const uuidText = Buffer.alloc(36, '-');
const HEX = Buffer.from('0123456789abcdef');
/** Bits at the places of the hyphens. */
const HYPHENS = (1 << 8) | (1 << 13) | (1 << 18) | (1 << 23);

/** The UUID spelling of an id, lower case with hyphens. */
export function toUuid(id: Id): string {
  let bits = 0;
  let count = -2; // 26 digits of 5 bits are two more than the 128 there are
  let at = 0;
  for (let i = 0; i < 26; i++) {
    bits = (bits << 5) | VALUE_OF[id.charCodeAt(i)]!;
    for (count += 5; count >= 4; at++) {
      if ((HYPHENS >> at) & 1) continue;
      count -= 4;
      uuidText[at] = HEX[(bits >> count) & 15]!;
    }
    bits &= 15;
  }
  return uuidText.toString('latin1');
}

/** The 26 digits of a UUID of any version. */
export function fromUuid(uuid: string): Id {
  let bits = BigInt('0x' + uuid.replaceAll('-', ''));
  let text = '';
  for (let i = 0; i < 26; i++) {
    text = CHARS[Number(bits & 31n)]! + text;
    bits >>= 5n;
  }
  return text;
}

/** The moment an id was made, epoch milliseconds. */
export function timeOf(id: Id): number {
  let ms = 0;
  for (let i = 0; i < 10; i++) ms = ms * 32 + VALUE_OF[id.charCodeAt(i)]!;
  return ms;
}

/** The lowest id that could have been made at `ms`: a bound for ranges by time. */
export function firstIdAt(ms: number): Id {
  return timeDigits(Math.max(0, ms)) + '0'.repeat(16);
}
