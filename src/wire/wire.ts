import type { KeyObject } from 'node:crypto';
import { compileFormat } from './format.ts';
import { presets } from './presets.ts';
import type { CustomFormat } from './schema.ts';

export { WireFormatError } from './error.ts';
export { checkHeaders } from './headers.ts';
export { CustomFormatSchema } from './schema.ts';
export type { CustomFormat } from './schema.ts';
export { verify } from './verify.ts';
export type { Verification, VerifyInput } from './verify.ts';

/** An event as its receivers see it. */
export interface Message {
  /** The public id: the publisher's own, or `evt_…`. It goes into `webhook-id` and never changes. */
  id: string;
  /** The event's id spelled as a UUID. */
  uuid: string;
  type: string;
  /** JSON text exactly as the publisher sent it. */
  data: string;
  /** Epoch ms. */
  occurredAt: number;
  tenantId: string;
  /** Null = the first segment of the type. */
  category: string | null;
  group: string | null;
  source: string | null;
}

/** One attempt to deliver a message. */
export interface Stamp {
  /** `whd_…`. */
  deliveryId: string;
  /** The delivery's id spelled as a UUID. */
  deliveryUuid: string;
  /** From 1. */
  attemptNumber: number;
  /** Epoch ms of this attempt. */
  now: number;
}

/** A secret made ready once by `format.key`, for that format only. Holds no text of the secret. */
export interface SigningKey {
  /** One for each signature of the format. */
  readonly keys: readonly KeyObject[];
}

/** Turns messages into bytes and headers; pure. Made by {@link compileWireFormat}. */
export interface WireFormat {
  /** The preset's name, or `custom`. */
  readonly name: string;
  /** The request body: the same bytes for the same message every time. Needs `message.data` to be JSON. */
  body(message: Message): Buffer;
  /**
   * The request headers of one attempt, flat (name, value, …) in exact letter case, Content-Type and User-Agent among
   * them. `keys`: the live secrets, newest first, at least one; all of them sign. `extra`: the endpoint's own headers,
   * flat, already checked with {@link checkHeaders}.
   */
  headers(
    message: Message,
    body: Buffer,
    keys: readonly SigningKey[],
    stamp: Stamp,
    extra: readonly string[] | null,
  ): string[];
  /** A new random secret in the shape that users of this format expect. */
  newSecret(): string;
  /** Makes a secret ready to sign with; throws {@link WireFormatError} when it does not fit. */
  key(secret: string): SigningKey;
  /**
   * The public key that receivers verify a secret's signatures with, `whpk_…`; null where the format signs with HMAC.
   * Throws {@link WireFormatError} when the secret does not fit.
   */
  publicKey(secret: string): string | null;
  /** Null when the secret fits, else what is wrong with it and what to do. */
  checkSecret(secret: string): string | null;
  /** Lower-case names of the headers that carry signatures, those of a rotation too. */
  signatureHeaders(): readonly string[];
  /** Lower-case names of headers that an endpoint's own may not use. */
  reservedHeaders(): readonly string[];
}

/** The name of a preset, or a declared format. */
export type WireFormatSpec = string | CustomFormat;

/** Names of the formats that come with the product; `standard` is the default. */
export const presetNames: readonly string[] = Object.keys(presets);

/**
 * Compiles a wire format: presets once per process, declared ones at every call (some 0.1 ms), so keep the result.
 * Throws {@link WireFormatError} with the path of the field that is wrong and the remedy.
 */
export function compileWireFormat(spec: WireFormatSpec): WireFormat {
  return compileFormat(spec);
}
