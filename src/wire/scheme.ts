import type { KeyObject } from 'node:crypto';

/** How one signature of a format is made and checked: by HMAC, or by ed25519. */
export interface Scheme {
  /** The key to sign with, of a secret's text. Throws a WireFormatError when the secret does not fit. */
  signingKey(secret: string): KeyObject;
  /** The key to verify with, of a secret's or a public key's text. Throws as `signingKey` does. */
  verifyingKey(secret: string): KeyObject;
  /** The text of the public key that belongs to a secret, null where there is none. Throws as `signingKey` does. */
  publicKey(secret: string): string | null;
  /** The signature over the three together, as header text without prefix and suffix. */
  sign(key: KeyObject, before: string, body: Uint8Array, after: string): string;
  /** Is one of the candidates, as header text like that of `sign`, a signature over the three? Never throws. */
  matches(key: KeyObject, before: string, body: Uint8Array, after: string, candidates: readonly string[]): boolean;
}
