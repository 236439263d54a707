import type { HashName } from './formats.ts';

// SHA-2 (FIPS 180-4) and HMAC (RFC 2104) for runtimes that have neither node:crypto nor time to wait for WebCrypto. Made
// for short code: some 20 MB/s for SHA-256, and 64-bit words as BigInt, some 1 MB/s, for the larger two.

const MASK_64 = (1n << 64n) - 1n;

/** The constants are the fractional parts of square and cube roots of the first primes, in 64 bits. */
interface Constants {
  /** Cube roots of the first 80. */
  round: bigint[];
  /** Square roots of the first 16. */
  start: bigint[];
}

let known: Constants | undefined;

function constants(): Constants {
  if (known !== undefined) return known;
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < 80; n++) if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
  known = {
    round: primes.map((prime) => root(prime << 192n, 3n) & MASK_64),
    start: primes.slice(0, 16).map((prime) => root(prime << 128n, 2n) & MASK_64),
  };
  return known;
}

/** The whole part of a root, by Newton's method from above. */
function root(value: bigint, degree: bigint): bigint {
  let guess = 1n << 70n;
  for (;;) {
    const next = ((degree - 1n) * guess + value / guess ** (degree - 1n)) / degree;
    if (next >= guess) return guess;
    guess = next;
  }
}

/** The message with its 1 bit, zeros and length in bits, cut for blocks of so many bytes. */
function padded(message: Uint8Array, blockBytes: number): DataView {
  const lengthBytes = blockBytes / 8;
  const total = Math.ceil((message.length + 1 + lengthBytes) / blockBytes) * blockBytes;
  const bytes = new Uint8Array(total);
  bytes.set(message);
  bytes[message.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(total - 8, BigInt(message.length) * 8n);
  return view;
}

function rotated32(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

function sha256(message: Uint8Array): Uint8Array {
  const { round, start } = constants();
  const k = Int32Array.from(round.slice(0, 64), (value) => Number(BigInt.asIntN(32, value >> 32n)));
  const state = Int32Array.from(start.slice(0, 8), (value) => Number(BigInt.asIntN(32, value >> 32n)));
  const view = padded(message, 64);
  const w = new Int32Array(64);
  for (let offset = 0; offset < view.byteLength; offset += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(offset + i * 4);
    for (let i = 16; i < 64; i++) {
      const [w15, w2] = [w[i - 15]!, w[i - 2]!];
      const s0 = rotated32(w15, 7) ^ rotated32(w15, 18) ^ (w15 >>> 3);
      const s1 = rotated32(w2, 17) ^ rotated32(w2, 19) ^ (w2 >>> 10);
      w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
    }
    let [a, b, c, d, e, f, g, h] = state as unknown as Eight<number>;
    for (let i = 0; i < 64; i++) {
      const s1 = rotated32(e, 6) ^ rotated32(e, 11) ^ rotated32(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i]! + w[i]!) | 0;
      const s0 = rotated32(a, 2) ^ rotated32(a, 13) ^ rotated32(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = state[i]! + word));
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, i) => {
    digest.setInt32(i * 4, word);
  });
  return new Uint8Array(digest.buffer);
}

type Eight<T> = [T, T, T, T, T, T, T, T];

function rotated64(word: bigint, by: bigint): bigint {
  return ((word >> by) | (word << (64n - by))) & MASK_64;
}

/** SHA-512, and SHA-384, which is the same from another start and cut to 48 bytes. */
function sha512(message: Uint8Array, bytes: 48 | 64): Uint8Array {
  const { round: k, start } = constants();
  const state = bytes === 64 ? start.slice(0, 8) : start.slice(8, 16);
  const view = padded(message, 128);
  const w = new Array<bigint>(80);
  for (let offset = 0; offset < view.byteLength; offset += 128) {
    for (let i = 0; i < 16; i++) w[i] = view.getBigUint64(offset + i * 8);
    for (let i = 16; i < 80; i++) {
      const [w15, w2] = [w[i - 15]!, w[i - 2]!];
      const s0 = rotated64(w15, 1n) ^ rotated64(w15, 8n) ^ (w15 >> 7n);
      const s1 = rotated64(w2, 19n) ^ rotated64(w2, 61n) ^ (w2 >> 6n);
      w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) & MASK_64;
    }
    let [a, b, c, d, e, f, g, h] = state as Eight<bigint>;
    for (let i = 0; i < 80; i++) {
      const s1 = rotated64(e, 14n) ^ rotated64(e, 18n) ^ rotated64(e, 41n);
      const t1 = h + s1 + ((e & f) ^ (~e & MASK_64 & g)) + k[i]! + w[i]!;
      const s0 = rotated64(a, 28n) ^ rotated64(a, 34n) ^ rotated64(a, 39n);
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) & MASK_64, c, b, a, (t1 + t2) & MASK_64];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i]! + word) & MASK_64));
  }
  const digest = new DataView(new ArrayBuffer(64));
  state.forEach((word, i) => {
    digest.setBigUint64(i * 8, word);
  });
  return new Uint8Array(digest.buffer, 0, bytes);
}

/** The digest of a message. */
export function hash(algorithm: HashName, message: Uint8Array): Uint8Array {
  switch (algorithm) {
    case 'sha256':
      return sha256(message);
    case 'sha384':
      return sha512(message, 48);
    case 'sha512':
      return sha512(message, 64);
  }
}

/** HMAC of the parts, one behind the other. */
export function hmac(algorithm: HashName, secret: Uint8Array, message: Uint8Array): Uint8Array {
  const blockBytes = algorithm === 'sha256' ? 64 : 128;
  const key = new Uint8Array(blockBytes);
  key.set(secret.length > blockBytes ? hash(algorithm, secret) : secret);
  const keyed = (mask: number, text: Uint8Array): Uint8Array => {
    const all = new Uint8Array(blockBytes + text.length);
    key.forEach((byte, i) => (all[i] = byte ^ mask));
    all.set(text, blockBytes);
    return hash(algorithm, all);
  };
  return keyed(0x5c, keyed(0x36, message));
}
