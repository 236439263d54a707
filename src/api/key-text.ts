import { createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const PREFIX = 'ph_live_';
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_BYTES = 32;
/** Digits of base62 that hold 256 bits, and 32 bits. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const HINT_LENGTH = PREFIX.length + 4;

/**
 * A new API key: `ph_live_`, 256 random bits, and a checksum of both, all in base62. Prefix and checksum let a scanner
 * tell a leaked key from a look-alike, and let a mistyped one be refused without a look-up.
 */
export function newKeyText(): string {
  const text = PREFIX + base62(BigInt(`0x${randomBytes(SECRET_BYTES).toString('hex')}`), SECRET_LENGTH);
  return text + checksum(text);
}

/** The first characters, by which people tell keys apart; they give nothing away that helps to guess the rest. */
export function hintOf(text: string): string {
  return text.slice(0, HINT_LENGTH);
}

/** True where a text claims to be one of our keys and its checksum says that it is not. */
export function isMistyped(text: string): boolean {
  if (!text.startsWith(PREFIX)) return false;
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) !== text.slice(-CHECKSUM_LENGTH);
}

/** What is kept of a key: an HMAC-SHA256 under the pepper, which a copy of the database does not hold. */
export function hashKey(text: string, pepper: Buffer): string {
  return createHmac('sha256', pepper).update(text).digest('base64url');
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_LENGTH);
}

function base62(value: bigint, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest /= 62n) text = DIGITS[Number(rest % 62n)]! + text;
  return text;
}
