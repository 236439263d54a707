import { createHmac, createSecretKey, hash as hashOf, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { SignatureSpec } from './schema.ts';
import type { Scheme } from './scheme.ts';
import { decodeSecret } from './secret.ts';
import type { SharedSecretEncoding } from './secret.ts';

/** Node's name of the hash, and the bytes of its block. */
const HASHES = {
  'hmac-sha256': { hash: 'sha256', block: 64 },
  'hmac-sha384': { hash: 'sha384', block: 128 },
  'hmac-sha512': { hash: 'sha512', block: 128 },
} as const;

/** What is put together here to be signed; larger ones go to `createHmac` in pieces. */
const scratch = Buffer.alloc(8 * 1024);

/** A key as HMAC wants it (RFC 2104, section 2): xored with the inner pad, and with the outer one and room for a digest. */
interface Pads {
  readonly inner: Buffer;
  readonly outer: Buffer;
}

/** Signatures with a secret that both sides hold. */
export function hmac(
  algorithm: keyof typeof HASHES,
  encoding: SignatureSpec['encoding'],
  secretEncoding: SharedSecretEncoding,
): Scheme {
  const { hash, block } = HASHES[algorithm];
  const padsOf = new WeakMap<KeyObject, Pads>();

  function keyOf(secret: string): KeyObject {
    const bytes = decodeSecret(secret, secretEncoding);
    const key = createSecretKey(bytes);
    const short = bytes.length > block ? hashOf(hash, bytes, 'buffer') : bytes;
    const digestBytes = hashOf(hash, '', 'buffer').length;
    const pads = { inner: Buffer.alloc(block, 0x36), outer: Buffer.alloc(block + digestBytes, 0x5c) };
    short.forEach((byte, i) => {
      pads.inner[i]! ^= byte;
      pads.outer[i]! ^= byte;
    });
    padsOf.set(key, pads);
    return key;
  }

  /** Two hashes at one go each take half the time of an Hmac object, and leave nothing to collect. */
  function sign(key: KeyObject, before: string, body: Uint8Array, after: string): string {
    const pads = padsOf.get(key);
    const most = block + body.length + (before.length + after.length) * 3;
    if (pads === undefined || most > scratch.length) return signLarge(key, before, body, after);
    scratch.set(pads.inner);
    let at = block;
    if (before !== '') at += scratch.write(before, at);
    scratch.set(body, at);
    at += body.length;
    if (after !== '') at += scratch.write(after, at);
    pads.outer.write(hashOf(hash, scratch.subarray(0, at), 'binary'), block, 'latin1');
    return hashOf(hash, pads.outer, encoding);
  }

  function signLarge(key: KeyObject, before: string, body: Uint8Array, after: string): string {
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
