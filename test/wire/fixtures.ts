import { createHmac } from 'node:crypto';
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
