import { createHmac, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { Message, Stamp } from '../../src/wire/wire.ts';

/** The public test vector of Standard Webhooks signs with this secret. */
export const WHSEC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
export const OTHER_WHSEC = 'whsec_' + Buffer.from('another secret of 32 bytes here!').toString('base64');

export const message: Message = {
  id: 'evt_01KF0Z7J3TE5XAY2V8N4R6M0QC',
  uuid: '019bc1f3-c87a-7175-af0b-68a93063502c',
  type: 'grant.created',
  data: '{"grantId":"grnt_01","scopes":["a","b"]}',
  occurredAt: Date.parse('2026-01-15T09:30:00.250Z'),
  tenantId: 'acme',
  category: null,
  group: null,
  source: null,
};

export const stamp: Stamp = {
  deliveryId: 'whd_01KF0Z7J47F2M9WQ3C6T8B5000',
  deliveryUuid: '019bc1f3-c887-78a8-9e5c-633512a14000',
  attemptNumber: 1,
  now: Date.parse('2026-01-15T09:30:01.500Z'),
};

/** The signature of `text` in hex, by node:crypto alone. */
export function hexHmac(secret: string | Buffer, text: string | Buffer, hash = 'sha256'): string {
  return createHmac(hash, secret).update(text).digest('hex');
}

/** A flat header list by name, in exact letter case; throws when a name is there twice. */
export function byName(flat: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < flat.length; i += 2) {
    if (Object.hasOwn(headers, flat[i]!)) throw new Error(`${flat[i]} is there twice`);
    headers[flat[i]!] = flat[i + 1]!;
  }
  return headers;
}

/** The two keys of a 64-byte `whsk_` secret, by node:crypto alone. */
export function keyPair(secret: string): { privateKey: KeyObject; publicKey: KeyObject } {
  const bytes = Buffer.from(secret.slice('whsk_'.length), 'base64');
  const [d, x] = [bytes.subarray(0, 32), bytes.subarray(32)].map((half) => half.toString('base64url'));
  const jwk = { kty: 'OKP', crv: 'Ed25519', x };
  return {
    privateKey: createPrivateKey({ key: { ...jwk, d }, format: 'jwk' }),
    publicKey: createPublicKey({ key: jwk, format: 'jwk' }),
  };
}

/** What Standard Webhooks says to sign. */
function signedText(headers: Record<string, unknown>, body: string): Buffer {
  return Buffer.from(`${headers['webhook-id'] as string}.${headers['webhook-timestamp'] as string}.${body}`);
}

/** The `v1a` signature of a request, by node:crypto alone. */
export function v1aOf(secret: string, headers: Record<string, unknown>, body: string): string {
  return `v1a,${sign(null, signedText(headers, body), keyPair(secret).privateKey).toString('base64')}`;
}

/** Checks a request as a receiver with the public key does, by node:crypto alone. */
export function hasV1a(secret: string, headers: Record<string, string>, body: string): boolean {
  return headers['webhook-signature']!.split(' ').some((item) => {
    const [version, signature] = item.split(',') as [string, string];
    const bytes = Buffer.from(signature, 'base64');
    return version === 'v1a' && verify(null, signedText(headers, body), keyPair(secret).publicKey, bytes);
  });
}
