import { concat, fromBase64, isEqual, textOf, toBase64, toHex, utf8 } from './bytes.ts';
import type { HashName, Scheme } from './formats.ts';
import { HALVES_DIFFER, PKCS8_HEAD, SPKI_HEAD, type Secret } from './secret.ts';
import { hmac } from './sha2.ts';

/** Is one of the candidates a signature over `before` and `body`? */
export type Check = (before: string, body: string | Uint8Array, candidates: readonly string[]) => boolean;
/** The same where the runtime answers later. */
export type AsyncCheck = (...asked: Parameters<Check>) => Promise<boolean>;

/** A secret that cannot be used, or a scheme that this runtime lacks. */
export interface Unfit {
  code: 'bad_secret' | 'unsupported';
  problem: string;
}

/** Makes a secret ready for one scheme. */
export type Prepare = (scheme: Scheme, secret: Secret) => Check | Unfit;
export type PrepareAsync = (scheme: Scheme, secret: Secret) => Promise<AsyncCheck | Unfit>;

// Checking one takes about 0.1 ms and anybody may send a header with 80 of them; nobody has so many live keys.
const MAX_ED25519_CANDIDATES = 16;
const ED25519_SIGNATURE_BYTES = 64;

interface NodeKey {
  export(options: { format: 'der'; type: 'spki' }): Uint8Array;
}
interface NodeCrypto {
  createHmac(
    hash: string,
    key: NodeKey,
  ): { update(data: string | Uint8Array): { digest(encoding: string): string }; digest(encoding: string): string };
  createSecretKey(bytes: Uint8Array): NodeKey;
  createPublicKey(key: NodeKey | { key: Uint8Array; format: 'der'; type: 'spki' }): NodeKey;
  createPrivateKey(key: { key: Uint8Array; format: 'der'; type: 'pkcs8' }): NodeKey;
  verify(algorithm: null, data: Uint8Array, key: NodeKey, signature: Uint8Array): boolean;
  timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean;
}

// Not by `import`, which bundlers for browsers and edge runtimes would stumble over.
const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
const nodeCrypto = process?.getBuiltinModule?.('node:crypto') as NodeCrypto | undefined;

/** With node:crypto; undefined where the runtime has none. */
export const prepareWithNode: Prepare | undefined =
  nodeCrypto === undefined ? undefined : (scheme, secret) => nodeCheck(nodeCrypto, scheme, secret);

function nodeCheck(crypto: NodeCrypto, scheme: Scheme, secret: Secret): Check | Unfit {
  const { algorithm, encoding } = scheme;
  if (secret.kind === 'shared') {
    const key = crypto.createSecretKey(secret.bytes);
    return (before, body, candidates) => {
      const hmac = crypto.createHmac(algorithm, key);
      if (before !== '') hmac.update(before);
      const expected = hmac.update(body).digest(encoding);
      let matches = false;
      for (const candidate of candidates) {
        if (candidate.length !== expected.length) continue;
        const given = utf8(candidate);
        if (given.length === expected.length && crypto.timingSafeEqual(given, utf8(expected))) matches = true;
      }
      return matches;
    };
  }
  const key = nodePublicKey(crypto, secret);
  if (key === null) return { code: 'bad_secret', problem: HALVES_DIFFER };
  return (before, body, candidates) => {
    const signed = joined(before, body);
    return readEd25519(candidates).some((signature) => crypto.verify(null, signed, key, signature));
  };
}

function nodePublicKey(crypto: NodeCrypto, secret: Exclude<Secret, { kind: 'shared' }>): NodeKey | null {
  if (secret.kind === 'public') {
    return crypto.createPublicKey({ key: concat([SPKI_HEAD, secret.bytes]), format: 'der', type: 'spki' });
  }
  const pair = crypto.createPrivateKey({ key: concat([PKCS8_HEAD, secret.seed]), format: 'der', type: 'pkcs8' });
  const key = crypto.createPublicKey(pair);
  const bytes = key.export({ format: 'der', type: 'spki' }).subarray(SPKI_HEAD.length);
  return secret.publicBytes === null || toHex(secret.publicBytes) === toHex(bytes) ? key : null;
}

/** In JavaScript alone: HMAC only. */
export const prepareAlone: Prepare = (scheme, secret) => {
  const { algorithm, encoding } = scheme;
  if (secret.kind !== 'shared' || algorithm === 'ed25519') {
    const problem = 'ed25519 needs node:crypto here; use verifyWebhookAsync, which has it from WebCrypto';
    return { code: 'unsupported', problem };
  }
  return (before, body, candidates) => {
    const digest = hmac(algorithm, secret.bytes, joined(before, body));
    const expected = encoding === 'hex' ? toHex(digest) : toBase64(digest);
    return candidates.filter((candidate) => isEqual(candidate, expected)).length > 0;
  };
};

const webHashes: Readonly<Record<HashName, string>> = { sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' };

/** With WebCrypto, which every runtime of today has; undefined on pages that came over plain http. */
export const prepareWithWebCrypto: PrepareAsync | undefined =
  (globalThis.crypto as typeof globalThis.crypto | undefined)?.subtle === undefined ? undefined : webCheck;

async function webCheck(scheme: Scheme, secret: Secret): Promise<AsyncCheck | Unfit> {
  const { subtle } = globalThis.crypto;
  const { algorithm, encoding } = scheme;
  if (secret.kind === 'shared' && algorithm !== 'ed25519') {
    const hash = { name: 'HMAC', hash: webHashes[algorithm] };
    const key = await subtle.importKey('raw', secret.bytes, hash, false, ['sign']);
    return async (before, body, candidates) => {
      const digest = new Uint8Array(await subtle.sign('HMAC', key, joined(before, body)));
      const expected = encoding === 'hex' ? toHex(digest) : toBase64(digest);
      return candidates.filter((candidate) => isEqual(candidate, expected)).length > 0;
    };
  }
  let bytes = secret.kind === 'pair' ? null : secret.bytes;
  try {
    if (secret.kind === 'pair') {
      const pair = await subtle.importKey('pkcs8', concat([PKCS8_HEAD, secret.seed]), 'Ed25519', true, ['sign']);
      const { x } = await subtle.exportKey('jwk', pair);
      bytes = fromBase64(`${String(x).replaceAll('-', '+').replaceAll('_', '/')}=`);
      if (bytes === null || (secret.publicBytes !== null && toHex(bytes) !== toHex(secret.publicBytes))) {
        return { code: 'bad_secret', problem: HALVES_DIFFER };
      }
    }
    const key = await subtle.importKey('raw', bytes!, 'Ed25519', false, ['verify']);
    return async (before, body, candidates) => {
      const signed = joined(before, body);
      for (const signature of readEd25519(candidates)) {
        if (await subtle.verify('Ed25519', key, signature, signed)) return true;
      }
      return false;
    };
  } catch (error) {
    return { code: 'unsupported', problem: `WebCrypto of this runtime cannot do ed25519: ${String(error)}` };
  }
}

function readEd25519(candidates: readonly string[]): Uint8Array<ArrayBuffer>[] {
  return candidates
    .map(fromBase64)
    .filter((bytes) => bytes?.length === ED25519_SIGNATURE_BYTES)
    .slice(0, MAX_ED25519_CANDIDATES) as Uint8Array<ArrayBuffer>[];
}

function joined(before: string, body: string | Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([utf8(before), typeof body === 'string' ? utf8(body) : body]);
}

/** The text of a body that came as bytes. */
export function bodyText(body: string | Uint8Array): string {
  return typeof body === 'string' ? body : textOf(body);
}
