import { createHmac, timingSafeEqual } from 'node:crypto';
import { err, ok, type Result } from './result.ts';

export interface VerifyInput {
  /** The raw body as it arrived, not parsed and written again. */
  payload: string | Uint8Array;
  /** Value of the signature header: hex, with or without `sha256=` in front. */
  signature: string;
  secret?: string;
  /** Any one of them may have signed: during a rotation, the new one and the old one. */
  secrets?: readonly string[];
  /** Default: what stands in front of the signature, else `sha256`. */
  algorithm?: Algorithm;
}

export type Algorithm = 'sha256' | 'sha384' | 'sha512';

const HEX_LENGTH: Record<Algorithm, number> = { sha256: 64, sha384: 96, sha512: 128 };
const SIGNATURE = /^(?:(sha256|sha384|sha512)=)?([0-9a-fA-F]+)$/;

/**
 * Was this body signed with one of the secrets: HMAC over the raw body, secret as UTF-8, as the Lexigram format has it?
 * Compares in constant time and never throws, whatever it is given; Err `invalid-signature` says what is wrong.
 */
export function verify(input: VerifyInput): Result<{ algorithm: Algorithm }> {
  const { payload, signature, secret, secrets, algorithm } = (input as VerifyInput | null) ?? ({} as VerifyInput);
  if (typeof payload !== 'string' && !(payload instanceof Uint8Array)) {
    return refuse('The payload must be the raw text or bytes of the request, not what was parsed from it.');
  }
  const found = typeof signature === 'string' ? SIGNATURE.exec(signature.trim()) : null;
  if (!found) return refuse('The signature is not hex, with or without "sha256=" in front.');
  const [, named, hex = ''] = found as unknown as [string, Algorithm | undefined, string];
  if (algorithm !== undefined && !Object.hasOwn(HEX_LENGTH, algorithm)) {
    return refuse('The algorithm is none of sha256, sha384 and sha512.');
  }
  const used = algorithm ?? named ?? 'sha256';
  if (named !== undefined && named !== used) return refuse(`The signature was made with ${named}, not with ${used}.`);
  if (hex.length !== HEX_LENGTH[used]) return refuse(`The signature is not ${HEX_LENGTH[used]} hex digits long.`);
  const candidates: unknown[] = [
    ...(secret === undefined ? [] : [secret]),
    ...(Array.isArray(secrets) ? (secrets as unknown[]) : []),
  ];
  if (candidates.length === 0) return refuse('Give a secret to verify with.');
  const given = Buffer.from(hex, 'hex');
  let matches = false;
  for (const candidate of candidates) {
    if (typeof candidate !== 'string' || candidate === '') return refuse('A secret is empty or not text.');
    if (timingSafeEqual(createHmac(used, candidate).update(payload).digest(), given)) matches = true;
  }
  if (matches) return ok({ algorithm: used });
  return refuse(
    'The signature was not made with this secret over this body. Verify the body as it arrived, byte for byte.',
  );
}

function refuse(message: string): Result<never> {
  return err('invalid-signature', message);
}
