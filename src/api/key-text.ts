import { createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/** What keys of ours can begin with: `ph_live_`, or what clients of another product check for. */
export const keyPrefixes = [
  'ph_live_',
  'gx_live_',
  'gx_test_',
  'gpat_',
  'aat_',
  'grvSec_live_',
  'grvSec_sandbox_',
] as const;
export type KeyPrefix = (typeof keyPrefixes)[number];

/** What begins so belongs to clients of a product, who expect its wire format. */
const wireFormats: Readonly<Record<string, string>> = {
  gx_: 'grantex',
  gpat_: 'grantiva',
  aat_: 'grantiva',
  grvSec_: 'gravv',
};

/** The one prefix whose keys all come from here: only those are known to have a checksum. */
const OWN_PREFIX: KeyPrefix = 'ph_live_';
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_BYTES = 32;
/** Digits of base62 that hold 256 bits, and 32 bits. */
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
/** Digits of a secret that are shown: these at most, and no more than a quarter of it. */
const SHOWN = 4;

/**
 * A new API key: a prefix, 256 random bits, and a checksum of both, all in base62. Prefix and checksum let a scanner
 * tell a leaked key from a look-alike, and let a mistyped one be refused without a look-up.
 */
export function newKeyText(prefix: KeyPrefix = OWN_PREFIX): string {
  const text = prefix + base62(BigInt(`0x${randomBytes(SECRET_BYTES).toString('hex')}`), SECRET_LENGTH);
  return text + checksum(text);
}

/** The first characters, by which people tell keys apart; they give nothing away that helps to guess the rest. */
export function hintOf(text: string): string {
  const prefix = [...keyPrefixes, ...Object.keys(wireFormats)].find((known) => text.startsWith(known)) ?? '';
  return text.slice(0, prefix.length + Math.min(SHOWN, Math.floor((text.length - prefix.length) / 4)));
}

/** The wire format that the clients of a key expect, from its hint; null for keys of our own. */
export function wireFormatOfKey(hint: string): string | null {
  return Object.entries(wireFormats).find(([prefix]) => hint.startsWith(prefix))?.[1] ?? null;
}

/** True where a text claims to be one of our keys and its checksum says that it is not. */
export function isMistyped(text: string): boolean {
  if (!text.startsWith(OWN_PREFIX)) return false;
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
