import { fromBase64, utf8 } from './bytes.ts';
import type { Scheme } from './formats.ts';

/** What a secret's text stands for: bytes of an HMAC key, a public key, or the seed of a key pair. */
export type Secret =
  | { kind: 'shared'; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'public'; bytes: Uint8Array<ArrayBuffer> }
  | { kind: 'pair'; seed: Uint8Array<ArrayBuffer>; publicBytes: Uint8Array | null };

const MAX_TEXT_BYTES = 512;
// Standard Webhooks 1.0.0, "Signature scheme": between 24 bytes (192 bits) and 64 bytes (512 bits).
const MIN_WHSEC_BYTES = 24;
const MAX_WHSEC_BYTES = 64;
const KEY_BYTES = 32;
const NOT_BASE64 = 'is not base64: A-Z, a-z, 0-9, "+" and "/", padded with "="';

/** Reads the text of a secret; what is wrong with it where it does not fit, which never repeats it. */
export function readSecret(text: unknown, kind: Scheme['secret']): Secret | string {
  if (typeof text !== 'string') return 'is not text; give a string';
  if (text === '') return 'is empty';
  switch (kind) {
    case 'text':
      return readText(text);
    case 'whsec':
      return readWhsec(text);
    case 'key':
      return readKey(text);
  }
}

function readText(text: string): Secret | string {
  if (/\p{Cc}|^\s|\s$/u.test(text)) return 'has a line break, a control character, or white space at an end';
  // With `u`, a pair counts as one character, so this finds halves alone.
  if (/\p{Cs}/u.test(text)) return 'has half of a surrogate pair, which has no UTF-8 bytes';
  const bytes = utf8(text);
  if (bytes.length > MAX_TEXT_BYTES) return `has ${bytes.length} bytes; ${MAX_TEXT_BYTES} are the most`;
  return { kind: 'shared', bytes };
}

function readWhsec(text: string): Secret | string {
  if (/^wh[sp]k_/.test(text)) return 'is an ed25519 key; use the format "standard-ed25519", or a secret with "whsec_"';
  const bytes = fromBase64(text.startsWith('whsec_') ? text.slice('whsec_'.length) : text);
  if (bytes === null) return `${NOT_BASE64}; "whsec_" may stand before it`;
  if (bytes.length < MIN_WHSEC_BYTES || bytes.length > MAX_WHSEC_BYTES) {
    return `stands for ${bytes.length} bytes; it must be ${MIN_WHSEC_BYTES} to ${MAX_WHSEC_BYTES}. Was it cut short?`;
  }
  return { kind: 'shared', bytes };
}

function readKey(text: string): Secret | string {
  const prefix = /^wh[ps]k_/.exec(text)?.[0];
  if (prefix === undefined) return 'is not an ed25519 key; give the public key, which begins with "whpk_"';
  const bytes = fromBase64(text.slice(prefix.length));
  if (bytes === null) return NOT_BASE64;
  if (prefix === 'whpk_') {
    return bytes.length === KEY_BYTES
      ? { kind: 'public', bytes }
      : `stands for ${bytes.length} bytes, not ${KEY_BYTES}`;
  }
  if (bytes.length !== KEY_BYTES && bytes.length !== 2 * KEY_BYTES) {
    return `stands for ${bytes.length} bytes, not ${KEY_BYTES} or ${2 * KEY_BYTES}`;
  }
  const publicBytes = bytes.length === KEY_BYTES ? null : bytes.subarray(KEY_BYTES);
  return { kind: 'pair', seed: bytes.slice(0, KEY_BYTES), publicBytes };
}

// RFC 8410, sections 4 and 7: what stands before the 32 bytes in PKCS #8 and in SubjectPublicKeyInfo.
export const PKCS8_HEAD = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32]);
export const SPKI_HEAD = Uint8Array.from([48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0]);

export const HALVES_DIFFER = 'has halves that do not belong together; copy all of it again';
