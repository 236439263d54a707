import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { SignatureSpec } from './schema.ts';
import type { Scheme } from './scheme.ts';
import { fromBase64, unfit } from './secret.ts';

const SECRET_PREFIX = 'whsk_';
const PUBLIC_PREFIX = 'whpk_';
const SEED_BYTES = 32;
const PUBLIC_BYTES = 32;
const SIGNATURE_BYTES = 64;
// RFC 8410, sections 4 and 7: what stands before the 32 bytes in PKCS #8 and in SubjectPublicKeyInfo.
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');
// One check takes about 0.1 ms, and anybody may send a header with 80 candidates; nobody has this many live keys.
const MAX_CANDIDATES = 16;

/** Signatures with a key that only the sender holds; receivers get the public half. RFC 8032, pure Ed25519. */
export function ed25519(encoding: SignatureSpec['encoding']): Scheme {
  return {
    signingKey: readSecret,
    verifyingKey(text) {
      return text.startsWith(PUBLIC_PREFIX) ? readPublic(text) : createPublicKey(readSecret(text));
    },
    publicKey: (secret) => PUBLIC_PREFIX + publicBytes(readSecret(secret)).toString('base64'),
    sign(key, before, body, after) {
      return sign(null, joined(before, body, after), key).toString(encoding);
    },
    matches(key, before, body, after, candidates) {
      const signed = joined(before, body, after);
      let tried = 0;
      for (const candidate of candidates) {
        const signature = Buffer.from(candidate, encoding);
        if (signature.length !== SIGNATURE_BYTES || signature.toString(encoding) !== candidate) continue;
        if (++tried > MAX_CANDIDATES) break;
        if (verify(null, signed, key, signature)) return true;
      }
      return false;
    },
  };
}

/** A new secret key: `whsk_` and base64 of seed and public key, 64 bytes. */
export function generateSecretKey(): string {
  const seed = randomBytes(SEED_BYTES);
  return SECRET_PREFIX + Buffer.concat([seed, publicBytes(fromSeed(seed))]).toString('base64');
}

/**
 * Reads `whsk_` and base64 of 32 bytes (the seed) or 64 (the seed and its public key). The prefix is needed: a public
 * key has 32 bytes too, and whoever signed with it as the seed would sign with a key that everybody has.
 */
function readSecret(text: string): KeyObject {
  if (text === '') throw unfit('is empty; give one, or leave it out to have one made');
  if (text.startsWith(PUBLIC_PREFIX)) {
    throw unfit('is a public key, which verifies and cannot sign; give the secret key, which begins with "whsk_"');
  }
  if (!text.startsWith(SECRET_PREFIX)) {
    throw unfit('is not an ed25519 key; give one that begins with "whsk_", or leave it out to have one made');
  }
  const bytes = fromBase64(text.slice(SECRET_PREFIX.length));
  if (bytes.length !== SEED_BYTES && bytes.length !== SEED_BYTES + PUBLIC_BYTES) {
    throw unfit(`stands for ${bytes.length} bytes; give an ed25519 key of 32 bytes, or 64 with its public key`);
  }
  const key = fromSeed(bytes.subarray(0, SEED_BYTES));
  if (bytes.length > SEED_BYTES && !publicBytes(key).equals(bytes.subarray(SEED_BYTES))) {
    throw unfit('has halves that do not belong together; copy all of it again');
  }
  return key;
}

function readPublic(text: string): KeyObject {
  const bytes = fromBase64(text.slice(PUBLIC_PREFIX.length));
  if (bytes.length !== PUBLIC_BYTES) {
    throw unfit(`stands for ${bytes.length} bytes; give a public key of ${PUBLIC_BYTES}`);
  }
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, bytes]), format: 'der', type: 'spki' });
}

function fromSeed(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
}

function publicBytes(key: KeyObject): Buffer {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD.length);
}

function joined(before: string, body: Uint8Array, after: string): Buffer {
  return Buffer.concat([Buffer.from(before), body, Buffer.from(after)]);
}
