import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { SignatureSpec } from './schema.ts';
import type { Scheme } from './scheme.ts';
import { decodeSecret } from './secret.ts';
import type { SharedSecretEncoding } from './secret.ts';

const HASHES = { 'hmac-sha256': 'sha256', 'hmac-sha384': 'sha384', 'hmac-sha512': 'sha512' } as const;

/** Signatures with a secret that both sides hold. */
export function hmac(
  algorithm: keyof typeof HASHES,
  encoding: SignatureSpec['encoding'],
  secretEncoding: SharedSecretEncoding,
): Scheme {
  const hash = HASHES[algorithm];
  const keyOf = (secret: string): KeyObject => createSecretKey(decodeSecret(secret, secretEncoding));

  function sign(key: KeyObject, before: string, body: Uint8Array, after: string): string {
    const mac = createHmac(hash, key);
    if (before !== '') mac.update(before);
    mac.update(body);
    if (after !== '') mac.update(after);
    return mac.digest(encoding);
  }

  return {
    signingKey: keyOf,
    verifyingKey: keyOf,
    publicKey(secret) {
      decodeSecret(secret, secretEncoding);
      return null;
    },
    sign,
    matches(key, before, body, after, candidates) {
      const expected = Buffer.from(sign(key, before, body, after));
      let found = false;
      for (const candidate of candidates) {
        const given = Buffer.from(candidate);
        if (given.length === expected.length && timingSafeEqual(given, expected)) found = true;
      }
      return found;
    },
  };
}
