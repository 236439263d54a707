import { randomBytes } from 'node:crypto';
import { WireFormatError } from './error.ts';
import type { CustomFormat, SignatureSpec } from './schema.ts';

export type SecretEncoding = NonNullable<SignatureSpec['secretEncoding']>;
/** Those of secrets that sender and receiver share, for HMAC. */
export type SharedSecretEncoding = Exclude<SecretEncoding, 'whsk'>;
export type SecretShape = NonNullable<CustomFormat['newSecret']>;

const WHSEC = 'whsec_';
const NEW_SECRET_BYTES = 32;
const MAX_BYTES = 512;
// Standard Webhooks 1.0.0, "Signature scheme": between 24 bytes (192 bits) and 64 bytes (512 bits).
const WHSEC_MIN_BYTES = 24;
const WHSEC_MAX_BYTES = 64;

/**
 * The key bytes that a secret's text stands for. Throws {@link WireFormatError}, which says what is wrong and what to
 * do, and never repeats the secret. As the reference libraries of Standard Webhooks do, `whsec` takes its base64 with
 * or without the prefix.
 */
export function decodeSecret(secret: string, encoding: SharedSecretEncoding): Buffer {
  if (secret === '') throw unfit('is empty; give one, or leave it out to have one made');
  switch (encoding) {
    case 'utf8': {
      if (/\p{Cc}|^\s|\s$/u.test(secret)) {
        throw unfit('has a line break, a control character, or white space at an end; paste it without');
      }
      if (!secret.isWellFormed()) throw unfit('has half of a surrogate pair, which has no UTF-8 bytes; give another');
      return bounded(Buffer.from(secret), 1, MAX_BYTES);
    }
    case 'hex': {
      if (!/^(?:[0-9a-fA-F]{2})+$/.test(secret)) throw unfit('is not hex; give an even number of digits 0-9 and a-f');
      return bounded(Buffer.from(secret, 'hex'), 1, MAX_BYTES);
    }
    case 'base64':
      return bounded(fromBase64(secret), 1, MAX_BYTES);
    case 'whsec': {
      if (/^wh[sp]k_/.test(secret)) {
        throw unfit('is an ed25519 key, and this format signs with HMAC; give a secret that begins with "whsec_"');
      }
      const text = secret.startsWith(WHSEC) ? secret.slice(WHSEC.length) : secret;
      return bounded(fromBase64(text), WHSEC_MIN_BYTES, WHSEC_MAX_BYTES);
    }
  }
}

/** The error for a secret that does not fit. */
export function unfit(problem: string): WireFormatError {
  return new WireFormatError('secret', problem);
}

function bounded(bytes: Buffer, min: number, max: number): Buffer {
  if (bytes.length >= min && bytes.length <= max) return bytes;
  throw unfit(`stands for ${bytes.length} bytes; give one of ${min} to ${max} bytes`);
}

/** Strict: the alphabet and the padding of RFC 4648, section 4, since receivers' decoders differ on everything else. */
export function fromBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (text === '' || bytes.toString('base64') !== text) {
    throw unfit(
      'is not base64; give the prefix where the format has one, then A-Z, a-z, 0-9, "+" and "/" padded with "="',
    );
  }
  return bytes;
}

/** A new shared secret of 32 random bytes, spelled in the shape asked for. */
export function generateSecret(shape: Exclude<SecretShape, 'whsk'>): string {
  const bytes = randomBytes(NEW_SECRET_BYTES);
  if (shape === 'hex') return bytes.toString('hex');
  return (shape === 'whsec' ? WHSEC : '') + bytes.toString('base64');
}

/**
 * The shape that every one of these encodings can read. 32 bytes in hex are also 48 bytes of base64, and base64 without
 * its prefix is a good `whsec`; `whsec_` is what a change to the standard format later can keep.
 */
export function shapeFor(encodings: readonly SecretEncoding[]): SecretShape {
  if (encodings.includes('whsk')) return 'whsk';
  if (encodings.includes('hex')) return 'hex';
  return encodings.includes('base64') ? 'base64' : 'whsec';
}
