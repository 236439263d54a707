/**
 * What the load generator writes into an event's data and the receiver reads back: the event's sequence number and the
 * moment it was (to be) sent, as digits of fixed width so that both ends work on bytes without parsing JSON.
 */
const SEQUENCE_DIGITS = 10;
const STAMP_DIGITS = 16;

/** What stands before the digits, for finding them in a body. */
export const MARK_KEY = Buffer.from('"mark":"');
/** The whole member, with room for the digits. */
export const MARK_MEMBER = `"mark":"${'0'.repeat(SEQUENCE_DIGITS + STAMP_DIGITS)}"`;

/** @param at offset of the first digit; `sentAtUs` on the clock of {@link nowUs} */
export function writeMark(bytes: Buffer, at: number, sequence: number, sentAtUs: number): void {
  writeSplit(bytes, at, SEQUENCE_DIGITS, sequence);
  writeSplit(bytes, at + SEQUENCE_DIGITS, STAMP_DIGITS, sentAtUs);
}

export function readSequence(bytes: Buffer, at: number): number {
  return readDigits(bytes, at, at + SEQUENCE_DIGITS);
}

export function readSentAtUs(bytes: Buffer, at: number): number {
  return readDigits(bytes, at + SEQUENCE_DIGITS, at + SEQUENCE_DIGITS + STAMP_DIGITS);
}

/** Two halves that fit in 32 bits: digits of a larger number cost five times as much. */
function writeSplit(bytes: Buffer, at: number, digits: number, value: number): void {
  const high = Math.floor(value / 1e8);
  writeDigits(bytes, at, at + digits - 8, high);
  writeDigits(bytes, at + digits - 8, at + digits, value - high * 1e8);
}

function writeDigits(bytes: Buffer, from: number, to: number, value: number): void {
  let rest = value | 0;
  for (let i = to - 1; i >= from; i--) {
    const tens = (rest / 10) | 0;
    bytes[i] = 48 + rest - tens * 10;
    rest = tens;
  }
}

function readDigits(bytes: Buffer, from: number, to: number): number {
  let value = 0;
  for (let i = from; i < to; i++) value = value * 10 + (bytes[i]! - 48);
  return value;
}
