import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verifyWebhook, verifyWebhookAsync, verifyWebhookSignature, Webhook, type VerifyInput } from '../src/index.ts';
import { prepareAlone } from '../src/verify/check.ts';
import { otherSpellings } from '../src/verify/respell.ts';
import { hash, hmac } from '../src/verify/sha2.ts';
import { verifyWith } from '../src/verify/verify.ts';

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const at = 1614265330_000;

/** A request in the standard format over exactly this text. */
function standard(body: string): VerifyInput {
  const signed = createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(`msg_1.${at / 1000}.${body}`);
  const headers = {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(at / 1000),
    'webhook-signature': `v1,${signed.digest('base64')}`,
  };
  return { payload: body, headers, secret, now: at };
}

function lexigram(algorithm: string, body = '{"a":1}'): string {
  return createHmac(algorithm, 'secret').update(body).digest('hex');
}

describe('verifyWebhook', () => {
  it('takes the vector that Standard Webhooks publishes', () => {
    const input: VerifyInput = {
      payload: '{"test": 2432232314}',
      headers: {
        'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        'webhook-timestamp': '1614265330',
        'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
      },
      secret,
      now: new Date(at),
    };
    const event = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', type: null, occurredAt: null, payload: { test: 2432232314 } };
    expect(verifyWebhook(input)).toEqual({ ok: true, event });
    expect(verifyWith(prepareAlone, input).ok).toBe(true);
  });

  it('gives the event the same shape in every format', () => {
    const payload = { event_id: 'id-1', event_type: 'order.paid', timestamp: 't', event_data: { n: 1 } };
    const body = JSON.stringify(payload);
    const headers = { 'X-Gravv-Signature': createHmac('sha256', 'secret').update(body).digest('hex') };
    expect(verifyWebhook({ payload: body, headers, secret: 'secret', format: 'gravv' })).toEqual({
      ok: true,
      event: { id: 'id-1', type: 'order.paid', occurredAt: 't', data: { n: 1 }, payload },
    });
  });

  it('takes text, bytes, a Buffer and an ArrayBuffer for the payload, and a Headers object', () => {
    const input = standard('{"name":"Zoë"}');
    const bytes = new TextEncoder().encode('{"name":"Zoë"}');
    const headers = new Headers(input.headers as Record<string, string>);
    for (const payload of [bytes, bytes.buffer, Buffer.from(bytes)]) {
      expect(verifyWebhook({ ...input, payload, headers })).toMatchObject({ ok: true, event: { id: 'msg_1' } });
    }
  });

  it('verifies a signed body that is not JSON, and says so by a payload that is undefined', () => {
    expect(verifyWebhook(standard('plain text'))).toMatchObject({
      ok: true,
      event: { payload: undefined, type: null },
    });
  });

  it('uses the clock where no time is given', () => {
    const { now: _, ...input } = standard('{}');
    expect(verifyWebhook(input)).toMatchObject({ ok: false, code: 'too_old' });
    expect(verifyWebhook({ ...input, toleranceSeconds: Infinity }).ok).toBe(true);
    expect(verifyWebhook({ ...input, now: Number.NaN })).toMatchObject({ ok: false });
  });

  it('takes Lexigram with any of its hashes, named before the signature', () => {
    for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
      const format = { name: 'lexigram', algorithm, headers: { signature: 'X-Own', eventType: 'X-Type' } } as const;
      const signed = (signature: string) => {
        const headers = { 'x-own': signature, 'X-TYPE': 'a.b' };
        return { payload: '{"a":1}', secret: 'secret', format, headers };
      };
      const genuine = signed(`${algorithm}=${lexigram(algorithm)}`);
      const expected = { ok: true, event: { id: null, type: 'a.b', data: { a: 1 } } };
      expect(verifyWebhook(genuine)).toMatchObject(expected);
      expect(verifyWith(prepareAlone, genuine)).toMatchObject(expected);
      const other = algorithm === 'sha256' ? 'sha512' : 'sha256';
      for (const signature of [lexigram(algorithm), `${other}=${lexigram(other)}`]) {
        expect(verifyWebhook(signed(signature))).toMatchObject({ code: 'bad_header' });
      }
    }
  });

  it('takes `secret` and `secrets` together', () => {
    const { secret: _, ...input } = standard('{}');
    const other = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    expect(verifyWebhook({ ...input, secret: other, secrets: [secret] }).ok).toBe(true);
    expect(verifyWebhook({ ...input, secret, secrets: [other] }).ok).toBe(true);
    expect(verifyWebhook({ ...input, secret, secrets: [] }).ok).toBe(true);
    expect(verifyWebhook({ ...input, secret: other, secrets: [] })).toMatchObject({ code: 'no_match' });
  });

  it('takes off the white space of HTTP around a header, and no other', () => {
    const input = standard('{}');
    const { 'webhook-signature': signature, ...rest } = input.headers as Record<string, string>;
    const withEnds = (before: string, after: string) =>
      verifyWebhook({ ...input, headers: { ...rest, 'webhook-signature': before + signature + after } }).ok;
    expect([withEnds(' \t', '\r\n'), withEnds('', '\u00a0'), withEnds('\ufeff', '')]).toEqual([true, false, false]);
  });

  it('refuses formats that do not exist, with what does', () => {
    const input = standard('{}');
    const refused = (format: unknown): unknown => verifyWebhook({ ...input, format: format as 'standard' });
    for (const format of ['svix', 'toString', '', 7, {}, { name: 'grantex' }, { name: 'lexigram', algorithm: 'md5' }]) {
      expect(refused(format)).toMatchObject({ ok: false, code: 'bad_format' });
    }
    expect(refused('svix')).toMatchObject({ message: expect.stringContaining('standard-ed25519') as string });
  });
});

describe('the message of a refusal names the cause', () => {
  const compact = '{"type":"order.paid","timestamp":"2026-01-15T09:30:00.250Z","data":{"total":"49.90","items":[1,2]}}';
  const value = JSON.parse(compact) as { data: unknown };
  const fromPython = compact.replace(/"data":.*/, '"data":{"total": "49.90", "items": [1, 2]}}');
  const pretty = JSON.stringify(value, null, 2);

  const rewritten: [string, string, string, RegExp][] = [
    ['a body that got white space', compact, pretty, /got white space between its parts/],
    ['a body with white space at its end', compact, `${compact}\n`, /got white space at an end/],
    ['an indented body that was made compact', pretty, compact, /lost its line breaks/],
    ['a payload as Python writes it, made compact', fromPython, compact, /lost the white space of its payload/],
    ['escapes that were spelled out', '{"data":"é"}', '{"data":"\\u00e9"}', /parsed and written again/],
  ];
  it.each(rewritten)('%s', (_, signed, arrived, message) => {
    const result = verifyWebhook({ ...standard(signed), payload: arrived });
    expect(result).toMatchObject({ ok: false, code: 'no_match', hint: 'body_reserialised' });
    expect(result).toMatchObject({ message: expect.stringMatching(message) as string });
  });

  it('not for a body that would become far larger by being written again: that costs a stranger nothing', () => {
    const nested = (depth: number): string => '['.repeat(depth) + Array(30_000).fill('1').join(',') + ']'.repeat(depth);
    expect(otherSpellings(nested(20), null).length).toBeGreaterThan(0);
    expect(otherSpellings(nested(21), null)).toEqual([]);
    expect(otherSpellings('['.repeat(30_000) + ']'.repeat(30_000), 'data')).toEqual([]);
  });

  it('a body that is an object, as a framework parsed it', () => {
    const result = verifyWebhook({ ...standard(compact), payload: value as unknown as string });
    expect(result).toMatchObject({ ok: false, code: 'no_match', hint: 'body_parsed' });
  });

  it('another secret, or a body whose content was changed: no hint', () => {
    const input = standard(compact);
    const other = verifyWebhook({ ...input, secret: 'whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u' });
    const changed = verifyWebhook({ ...input, payload: compact.replace('49.90', '0.01') });
    for (const result of [other, changed]) {
      expect(result).toMatchObject({
        code: 'no_match',
        message: expect.stringContaining('the secret is not') as string,
      });
      expect(result).not.toHaveProperty('hint');
    }
  });

  it('an empty body', () => {
    const result = verifyWebhook({ ...standard(compact), payload: '' });
    expect(result).toMatchObject({ code: 'no_match', message: expect.stringContaining('is empty') as string });
  });

  it('an old and an early signature, only where it is right', () => {
    const input = standard(compact);
    expect(verifyWebhook({ ...input, now: at + 301_000 })).toMatchObject({ code: 'too_old' });
    expect(verifyWebhook({ ...input, now: at - 301_000 })).toMatchObject({ code: 'too_new' });
    expect(verifyWebhook({ ...input, now: at + 301_000, payload: '{}' })).toMatchObject({ code: 'no_match' });
  });

  it('the header that is missing, and one that a server joined from two', () => {
    const { headers, ...input } = standard(compact);
    const { 'webhook-id': _, ...rest } = headers as Record<string, string>;
    expect(verifyWebhook({ ...input, headers: rest })).toMatchObject({
      code: 'missing_header',
      message: expect.stringContaining('webhook-id') as string,
    });
    const twice = new Headers(headers as Record<string, string>);
    twice.append('webhook-signature', 'v1,abc');
    expect(verifyWebhook({ ...input, headers: twice })).toMatchObject({ code: 'bad_header' });
  });

  it('what is wrong with a secret, without the secret', () => {
    const cases: [string, string, RegExp][] = [
      ['whsec_c2hvcnQ=', 'standard', /stands for 5 bytes/],
      ['whpk_c2hvcnQ=', 'standard', /ed25519/],
      ['whsec_not*base64', 'standard', /not base64/],
      ['line\n', 'grantex', /line break/],
      ['x'.repeat(513), 'grantex', /513 bytes/],
      ['\ud800', 'grantex', /surrogate/],
      ['whpk_c2hvcnQ=', 'standard-ed25519', /5 bytes, not 32/],
      [secret, 'standard-ed25519', /begins with "whpk_"/],
    ];
    for (const [text, format, message] of cases) {
      const result = verifyWebhook({ ...standard('{}'), secret: text, format: format as 'standard' });
      expect(result).toMatchObject({ code: 'bad_secret', message: expect.stringMatching(message) as string });
      if (text.length > 5) expect(JSON.stringify(result)).not.toContain(text.replace(/^wh\w+_/, ''));
    }
    expect(verifyWebhook({ payload: '', headers: {} })).toMatchObject({ code: 'bad_secret' });
  });
});

it('an ed25519 signature verifies by the public key, in node:crypto and in WebCrypto', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const x = publicKey.export({ format: 'jwk' }).x!;
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url');
  const text = sign(null, Buffer.from(`msg_1.${at / 1000}.{}`), privateKey).toString('base64');
  const headers = { ...standard('{}').headers, 'webhook-signature': `v1,bm8= v1a,${text}` };
  const input: VerifyInput = { payload: '{}', headers, now: at, format: 'standard-ed25519' };
  const keys = [`whpk_${Buffer.from(x, 'base64url').toString('base64')}`, `whsk_${seed.toString('base64')}`];
  for (const key of keys) {
    expect(verifyWebhook({ ...input, secret: key }).ok).toBe(true);
    expect((await verifyWebhookAsync({ ...input, secret: key })).ok).toBe(true);
    expect(verifyWebhook({ ...input, secret: key, payload: '{ }' })).toMatchObject({ hint: 'body_reserialised' });
  }
});

describe('verifyWebhookSignature', () => {
  const signature = `sha256=${createHmac('sha256', 'a secret ').update('body').digest('hex')}`;

  it('is true for sha256= and the hex HMAC of the raw body, and false for anything near it', () => {
    expect(verifyWebhookSignature('body', signature, 'a secret ')).toBe(true);
    expect(verifyWebhookSignature(new TextEncoder().encode('body'), signature, 'a secret ')).toBe(true);
    for (const near of [
      signature.slice(7),
      signature.toUpperCase(),
      `${signature} `,
      signature.slice(0, -1),
      'sha256=',
      '',
    ]) {
      expect(verifyWebhookSignature('body', near, 'a secret ')).toBe(false);
    }
    expect(verifyWebhookSignature('body!', signature, 'a secret ')).toBe(false);
    expect(verifyWebhookSignature('body', signature, 'a secret')).toBe(false);
    const unkeyed = `sha256=${createHmac('sha256', '').update('body').digest('hex')}`;
    expect(verifyWebhookSignature('body', unkeyed, '')).toBe(false);
  });
});

describe('Webhook', () => {
  it('verifies again and again, and with several secrets', () => {
    const { payload, headers } = standard('{"a":1}');
    const webhook = new Webhook(['whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u', secret]);
    for (let i = 0; i < 3; i++) expect(webhook.verify(payload, headers, at)).toMatchObject({ ok: true });
    expect(webhook.verify('{}', headers, at)).toMatchObject({ ok: false });
  });

  it('throws where it is made, if it could never verify', () => {
    expect(() => new Webhook('')).toThrow('Secret 1: is empty');
    expect(() => new Webhook([])).toThrow('at least one secret');
    expect(() => new Webhook(secret, { format: 'svix' as 'standard' })).toThrow('unknown');
  });
});

it('the hashes in JavaScript agree with node:crypto at every length around their blocks', () => {
  for (let length = 0; length < 300; length++) {
    const message = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255);
    const key = message.slice(0, (length % 200) + 1);
    for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
      const expected = createHmac(algorithm, key).update(message).digest('hex');
      expect(Buffer.from(hmac(algorithm, key, message)).toString('hex')).toBe(expected);
    }
  }
  // FIPS 180-4's own example.
  const abc = Buffer.from(hash('sha256', new TextEncoder().encode('abc'))).toString('hex');
  expect(abc).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
