import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hmac } from '../../src/wire/hmac.ts';

const algorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;
const encodings = ['hex', 'base64'] as const;
type Algorithm = (typeof algorithms)[number];
type Encoding = (typeof encodings)[number];

/** The same by Node, over whole bytes. */
function byNode(
  algorithm: Algorithm,
  encoding: Encoding,
  secret: Buffer,
  before: string,
  body: Uint8Array,
  after: string,
): string {
  const whole = Buffer.concat([Buffer.from(before), body, Buffer.from(after)]);
  return createHmac(algorithm.slice('hmac-'.length), secret).update(whole).digest(encoding);
}

const schemes = algorithms.flatMap((algorithm) =>
  encodings.map((encoding) => ({ algorithm, encoding, scheme: hmac(algorithm, encoding, 'base64') })),
);

const secret = fc
  .oneof(
    { weight: 3, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 70 }) },
    fc.uint8Array({ minLength: 120, maxLength: 140 }),
    fc.uint8Array({ minLength: 500, maxLength: 512, size: 'max' }),
  )
  .map((bytes) => Buffer.from(bytes));
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('', 'é', '😀', '\ud83d', '\ude00\ud83d', 'a\u0000', '\ufeff', 'ü'.repeat(1_400), '€'.repeat(1_000)),
);
const bodyBytes = fc.oneof(fc.nat(200), fc.integer({ min: 7_900, max: 8_300 }), fc.integer({ min: 4_000, max: 4_200 }));

describe("a signature beside Node's own", () => {
  it('is the same for every key, text and body, made in turns with few keys and many', () => {
    const body = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 31) & 0xff);
    // Keys live on, so that each signature is made after another's.
    const kept: { bytes: Buffer; key: ReturnType<(typeof schemes)[0]['scheme']['signingKey']>; at: number }[] = [];
    fc.assert(
      fc.property(fc.nat(5), secret, text, text, bodyBytes, fc.nat(), (at, bytes, before, after, size, other) => {
        const { scheme } = schemes[at]!;
        const make = size % 2 === 0 ? scheme.signingKey : scheme.verifyingKey;
        kept.push({ at, bytes, key: make(bytes.toString('base64')) });
        for (const one of [kept.at(-1)!, kept[other % kept.length]!]) {
          const { algorithm, encoding, scheme } = schemes[one.at]!;
          const piece = body.subarray(other % 1_000, (other % 1_000) + size);
          const expected = byNode(algorithm, encoding, one.bytes, before, piece, after);
          expect(scheme.sign(one.key, before, piece, after)).toBe(expected);
          expect(scheme.matches(one.key, before, piece, after, ['x', expected])).toBe(true);
          expect(scheme.matches(one.key, before, piece, `${after}.`, [expected])).toBe(false);
        }
      }),
      { numRuns: 1_500 },
    );
  });

  it.each(schemes)('is the same at every body size about the boundary ($algorithm, $encoding)', (entry) => {
    const { algorithm, encoding, scheme } = entry;
    const bytes = Buffer.from('a secret of some length');
    const key = scheme.signingKey(bytes.toString('base64'));
    const block = algorithm === 'hmac-sha256' ? 64 : 128;
    const body = Buffer.alloc(8 * 1024 + 8, 'é');
    for (const [before, after] of [
      ['', ''],
      ['1.😀', ''],
      ['€', '\ud800'],
    ] as const) {
      const edge = 8 * 1024 - block - 3 * (before.length + after.length);
      for (let size = edge - 4; size <= edge + 4; size++) {
        const piece = body.subarray(0, size);
        const expected = byNode(algorithm, encoding, bytes, before, piece, after);
        expect(scheme.sign(key, before, piece, after), `${size}`).toBe(expected);
      }
    }
  });

  it('is the same with a key that another scheme made', () => {
    const bytes = Buffer.from('a secret of some length');
    for (const { algorithm, encoding, scheme } of schemes) {
      for (const maker of schemes) {
        const key = maker.scheme.verifyingKey(bytes.toString('base64'));
        const expected = byNode(algorithm, encoding, bytes, 'é', Buffer.from('{}'), '');
        expect(scheme.sign(key, 'é', Buffer.from('{}'), '')).toBe(expected);
      }
    }
  });

  it('is the same for every length of key about the block', () => {
    for (const { algorithm, encoding, scheme } of schemes) {
      for (const length of [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 511, 512]) {
        const bytes = Buffer.alloc(length, 0x5c);
        const key = scheme.signingKey(bytes.toString('base64'));
        const body = Buffer.from('{}');
        expect(scheme.sign(key, 'a', body, 'b'), `${length}`).toBe(byNode(algorithm, encoding, bytes, 'a', body, 'b'));
      }
    }
  });
});
