import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { compileWireFormat, presetNames, verify } from '../../src/wire/wire.ts';
import type { Message, VerifyInput } from '../../src/wire/wire.ts';
import { byName, hasV1a, message, stamp } from './fixtures.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 30 });
const anyText = fc.oneof(text, fc.string({ unit: 'binary', maxLength: 30 }));
const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom('1.0', '1E2', '-0', '12345678901234567890', '0.10'));

/** JSON text as a publisher may write it: white space, escapes and numbers in every spelling. */
const jsonText = fc
  .tuple(fc.jsonValue({ stringUnit: 'grapheme' }), fc.constantFrom(0, 2, '\t'), number, fc.boolean())
  .map(([value, indent, extra, escaped]) => {
    // The number first: the value may hold an "@" of its own.
    const plain = JSON.stringify({ n: '@', value }, null, indent).replace(
      '"@"',
      typeof extra === 'string' ? extra : JSON.stringify(extra),
    );
    if (!escaped) return plain;
    return plain.replace(/[^\0-~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  });

const anyMessage: fc.Arbitrary<Message> = fc.record({
  id: anyText.filter((id) => id !== ''),
  uuid: fc.uuid(),
  type: fc.stringMatching(/^[A-Za-z0-9_-]{1,10}(\.[A-Za-z0-9_-]{1,10}){0,2}$/),
  data: jsonText,
  occurredAt: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  tenantId: fc.stringMatching(/^[a-z0-9]{1,12}$/),
  category: fc.option(anyText),
  group: fc.option(anyText),
  source: fc.option(anyText),
});
const secretBytes = fc.uint8Array({ minLength: 24, maxLength: 64 }).map((bytes) => Buffer.from(bytes));
const whsec = secretBytes.map((bytes) => `whsec_${bytes.toString('base64')}`);

/** Any secret that fits the format. */
function secretsOf(name: string): fc.Arbitrary<string> {
  if (name !== 'standard-ed25519') return whsec;
  return fc.constant(null).map(() => compileWireFormat(name).newSecret());
}

/** Checks a request as a receiver of that format does, with node:crypto or somebody else's library. */
function receives(name: string, body: string, headers: Record<string, string>, secret: string): boolean {
  const hex = (signed: string): string => createHmac('sha256', secret).update(signed).digest('hex');
  switch (name) {
    case 'standard':
      return new Webhook(secret).verify(body, headers, { jsonParse: false }) === undefined;
    case 'standard-ed25519':
      return hasV1a(secret, headers, body);
    case 'grantex':
      return (
        headers['X-Grantex-Signature'] === `sha256=${hex(body)}` &&
        headers['X-Grantex-Signature-V2'] === `sha256=${hex(`${headers['X-Grantex-Timestamp']}.${body}`)}`
      );
    case 'grantiva':
      return headers['X-Grantiva-Signature'] === `sha256=${hex(JSON.stringify(JSON.parse(body)))}`;
    case 'gravv':
      return headers['X-Gravv-Signature'] === hex(body);
    case 'lexigram':
      return headers['X-Webhook-Signature'] === `sha256=${hex(body)}`;
    default:
      throw new Error(`nothing is written here about ${name}`);
  }
}

describe('for any message', () => {
  beforeAll(() => vi.useFakeTimers({ toFake: ['Date'], now: stamp.now }));
  afterAll(() => vi.useRealTimers());

  it.each(presetNames)('%s is verified by its receivers and by us, and not with a byte changed', (name) => {
    const format = compileWireFormat(name);
    fc.assert(
      fc.property(anyMessage, secretsOf(name), fc.nat(), fc.integer({ min: 1, max: 255 }), (sent, secret, at, flip) => {
        const body = format.body(sent);
        const flat = format.headers(sent, body, [format.key(secret)], stamp, null);
        const headers = byName(flat);
        for (const piece of flat) expect(piece).toMatch(/^([!-~]([ -~]*[!-~])?)?$/);
        expect(receives(name, body.toString(), headers, secret)).toBe(true);
        const input = { format: name, body, headers, secrets: [secret], now: stamp.now };
        expect(verify(input)).toEqual({ ok: true });
        expect(verify({ ...input, body: body.toString() })).toEqual({ ok: true });
        const tampered = Buffer.from(body);
        tampered[at % body.length]! ^= flip;
        expect(verify({ ...input, body: tampered })).toMatchObject({ ok: false, code: 'no_match' });
      }),
      { numRuns: 200 },
    );
  });

  it.each(presetNames)('%s sends data that means what was published', (name) => {
    const format = compileWireFormat(name);
    const field = {
      standard: 'data',
      'standard-ed25519': 'data',
      grantex: 'data',
      grantiva: 'data',
      gravv: 'event_data',
    }[name];
    fc.assert(
      fc.property(anyMessage, (sent) => {
        const parsed = JSON.parse(format.body(sent).toString()) as Record<string, unknown>;
        expect(field === undefined ? parsed : parsed[field]).toEqual(withoutMinusZero(JSON.parse(sent.data), name));
      }),
      { numRuns: 200 },
    );
  });

  it('grantiva sends bytes that JSON.parse and JSON.stringify give back', () => {
    const format = compileWireFormat('grantiva');
    fc.assert(
      fc.property(anyMessage, (sent) => {
        const body = format.body(sent).toString();
        expect(JSON.stringify(JSON.parse(body))).toBe(body);
      }),
      { numRuns: 300 },
    );
  });

  it('lexigram sends no white space between tokens, and every token as published', () => {
    const format = compileWireFormat('lexigram');
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
        const body = format.body({ ...message, data: JSON.stringify(value, null, 3) }).toString();
        expect(body).toBe(Buffer.from(JSON.stringify(value)).toString());
      }),
    );
  });
});

/** JSON.stringify writes -0 as 0, which the one compact format is known to do. */
function withoutMinusZero(value: unknown, name: string): unknown {
  if (name !== 'grantiva') return value;
  return JSON.parse(JSON.stringify(value));
}

describe('verify', () => {
  const garbage = fc.oneof(fc.anything(), anyText);
  const headerNames = presetNames.flatMap((name) => compileWireFormat(name).reservedHeaders());

  it('answers with a value whatever arrives', () => {
    const anyHeaders = fc.dictionary(
      fc.oneof(fc.constantFrom(...headerNames), anyText),
      fc.oneof(
        anyText,
        fc.array(anyText, { maxLength: 3 }),
        garbage,
        fc.constantFrom('v1,', 'v1a,', 'v1a,AAAA', 'sha256=', '1e9', '9'.repeat(20)),
        fc.uint8Array({ minLength: 64, maxLength: 64 }).map((bytes) => `v1a,${Buffer.from(bytes).toString('base64')}`),
      ),
    );
    const anyKey = fc
      .tuple(fc.constantFrom('whpk_', 'whsk_', ''), fc.uint8Array({ minLength: 30, maxLength: 66 }))
      .map(([prefix, bytes]) => prefix + Buffer.from(bytes).toString('base64'));
    const anyInput = fc.record({
      format: fc.constantFrom(...presetNames),
      body: fc.oneof(anyText, fc.uint8Array(), garbage),
      headers: fc.oneof(anyHeaders, anyHeaders, garbage),
      secrets: fc.oneof(
        fc.array(whsec, { maxLength: 3 }),
        fc.array(anyKey, { maxLength: 3 }),
        fc.array(anyText),
        garbage,
      ),
      now: fc.oneof(fc.constant(undefined), fc.double()),
      toleranceSeconds: fc.oneof(fc.constant(undefined), fc.double()),
    });
    fc.assert(
      fc.property(anyInput, (input) => {
        const result = verify(input as VerifyInput);
        expect(result.ok).toBe(false);
        if (!result.ok) expect(result.message).toMatch(/[A-Za-z]/);
      }),
      { numRuns: 1000 },
    );
  });

  it('tolerates a signed time up to the limit on either side, and nothing that is not a number', () => {
    const format = compileWireFormat('standard');
    const secret = format.newSecret();
    const body = format.body(message);
    const headers = byName(format.headers(message, body, [format.key(secret)], stamp, null));
    const at = (now: number, toleranceSeconds?: number) => {
      const result = verify({ format: 'standard', body, headers, secrets: [secret], now, toleranceSeconds });
      return result.ok ? 'ok' : result.code;
    };
    const second = Math.floor(stamp.now / 1000) * 1000;
    expect(at(second + 300_999)).toBe('ok');
    expect(at(second + 301_000)).toBe('too_old');
    expect(at(second - 300_000)).toBe('ok');
    expect(at(second - 300_001)).toBe('too_new');
    expect(at(second + 5_000, 4)).toBe('too_old');
    expect(at(0, Number.POSITIVE_INFINITY)).toBe('ok');
    expect(at(stamp.now, Number.NaN)).not.toBe('ok');
    expect(at(Number.NaN)).not.toBe('ok');
  });

  it('never repeats a secret in its messages', () => {
    const secret = 'whsec_this-is-not-base64-but-secret';
    const result = verify({ format: 'standard', body: '', headers: {}, secrets: [secret] });
    expect(result).toMatchObject({ ok: false, code: 'bad_secret' });
    expect(JSON.stringify(result)).not.toContain('this-is-not-base64');
  });
});
