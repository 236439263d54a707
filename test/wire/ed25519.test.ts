import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compileWireFormat, verify, WireFormatError } from '../../src/wire/wire.ts';
import type { CustomFormat } from '../../src/wire/wire.ts';
import { byName, hasV1a, hexHmac, keyPair, message, stamp, v1aOf, WHSEC } from './fixtures.ts';

type SignatureSpec = CustomFormat['signatures'][number];

const format = compileWireFormat('standard-ed25519');
const secret = `whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==`;
const publicKey = 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=';
const seed = Buffer.from(secret.slice('whsk_'.length), 'base64').subarray(0, 32);
const base64 = (bytes: Buffer): string => bytes.toString('base64');

function send(secrets: string[], body = format.body(message)) {
  const keys = secrets.map((text) => format.key(text));
  return { body: body.toString(), headers: byName(format.headers(message, body, keys, stamp, null)) };
}

function check(change: Partial<Parameters<typeof verify>[0]>): string {
  const result = verify({ format, ...send([secret]), secrets: [publicKey], now: stamp.now, ...change });
  return result.ok ? 'ok' : result.code;
}

describe('standard-ed25519', () => {
  it('sends what standard sends, with another signature', () => {
    const { headers, body } = send([secret]);
    const standard = compileWireFormat('standard');
    expect(body).toBe(standard.body(message).toString());
    const shared = byName(standard.headers(message, Buffer.from(body), [standard.key(WHSEC)], stamp, null));
    expect(Object.keys(headers)).toEqual(Object.keys(shared));
    expect({ ...headers, 'webhook-signature': '' }).toEqual({ ...shared, 'webhook-signature': '' });
    expect(headers['webhook-signature']).toBe(v1aOf(secret, headers, body));
  });

  // The first is in the tests of the Svix server, the second in those of the Go library of Standard Webhooks.
  it.each([
    [secret, 'hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=='],
    [
      'whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=',
      'tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==',
    ],
  ])('gives the signature of the published test vector of %s', (key, signature) => {
    const sent = { ...message, id: 'msg_p5jXN8AQM9LWM0D4loKWxJek' };
    const body = Buffer.from('{"test": 2432232314}');
    const now = 1614265330_000;
    const headers = byName(format.headers(sent, body, [format.key(key)], { ...stamp, now }, null));
    expect(headers['webhook-signature']).toBe(`v1a,${signature}`);
    expect(verify({ format, body, headers, secrets: [format.publicKey(key)!], now })).toEqual({ ok: true });
  });

  it('signs with both keys while they rotate, newest first, and a receiver with either verifies', () => {
    const newer = format.newSecret();
    const { headers, body } = send([newer, secret]);
    expect(headers['webhook-signature']).toBe(`${v1aOf(newer, headers, body)} ${v1aOf(secret, headers, body)}`);
    for (const key of [newer, secret]) {
      expect(hasV1a(key, headers, body)).toBe(true);
      expect(check({ headers, body, secrets: [format.publicKey(key)!] })).toBe('ok');
    }
    expect(check({ headers, body, secrets: [format.publicKey(format.newSecret())!] })).toBe('no_match');
  });
});

describe('an ed25519 key', () => {
  it('may be the seed alone or the seed and its public key', () => {
    const short = `whsk_${base64(seed)}`;
    expect([format.checkSecret(secret), format.checkSecret(short)]).toEqual([null, null]);
    expect(format.key(short).keys[0]!.equals(format.key(secret).keys[0]!)).toBe(true);
    expect([format.publicKey(secret), format.publicKey(short)]).toEqual([publicKey, publicKey]);
  });

  it('has the public key that node:crypto knows for it', () => {
    const made = format.newSecret();
    const { x } = keyPair(made).publicKey.export({ format: 'jwk' });
    expect(format.publicKey(made)).toBe(`whpk_${base64(Buffer.from(x!, 'base64url'))}`);
  });

  it.each([
    ['', /empty/],
    [publicKey, /public key, which verifies and cannot sign/],
    [base64(seed), /not an ed25519 key; give one that begins with "whsk_"/],
    [WHSEC, /not an ed25519 key/],
    ['whsk_', /not base64/],
    ['whsk_not*base64', /not base64/],
    [`whsk_${base64(seed.subarray(1))}`, /31 bytes/],
    [`whsk_${base64(Buffer.alloc(33))}`, /33 bytes/],
    [`whsk_${base64(Buffer.concat([seed, seed]))}`, /halves that do not belong together/],
  ])('is refused with the reason and without a word of it: %j', (text, reason) => {
    expect(format.checkSecret(text)).toMatch(reason);
    expect(() => format.key(text)).toThrow(WireFormatError);
    expect(() => format.publicKey(text)).toThrow(WireFormatError);
    if (text.length > 20) expect(format.checkSecret(text)).not.toContain(text.slice(5, 20));
  });

  it('is null where a format signs with HMAC, and secrets that do not fit are refused there too', () => {
    const standard = compileWireFormat('standard');
    expect(standard.publicKey(WHSEC)).toBeNull();
    expect(() => standard.publicKey('whsec_short')).toThrow(WireFormatError);
    expect(standard.checkSecret(publicKey)).toMatch(/ed25519/);
  });
});

describe('verifying an ed25519 signature', () => {
  it('takes the public key or the secret one, and a compiled format as well as its name', () => {
    expect(check({})).toBe('ok');
    expect(check({ secrets: [secret] })).toBe('ok');
    expect(check({ format: 'standard-ed25519' })).toBe('ok');
    expect(check({ body: '{}' })).toBe('no_match');
  });

  it.each([base64(seed), 'whpk_', 'whpk_AAAA', `whpk_${base64(Buffer.concat([seed, seed]))}`, WHSEC])(
    'answers bad_secret to %j',
    (text) => expect(check({ secrets: [text] })).toBe('bad_secret'),
  );

  it('takes a signature in the one spelling that base64 has for it', () => {
    const { headers, body } = send([secret]);
    const signature = headers['webhook-signature']!;
    // The last character before the padding holds four bits that decoders drop.
    const twin = signature.replace(/(.)==$/, (_, last: string) => `${String.fromCharCode(last.charCodeAt(0) + 1)}==`);
    expect(Buffer.from(twin.slice(4), 'base64')).toEqual(Buffer.from(signature.slice(4), 'base64'));
    for (const other of [twin, signature.slice(0, -2), `${signature}AAAA`, signature.replaceAll('+', '-')]) {
      const expected = other === signature ? 'ok' : 'no_match';
      expect(check({ body, headers: { ...headers, 'webhook-signature': other } })).toBe(expected);
    }
  });

  it('tries 16 signatures of a header and no more, since each costs a tenth of a millisecond', () => {
    const { headers, body } = send([secret]);
    const wrong = (count: number): string[] =>
      Array.from({ length: count }, (_, i) => `v1a,${base64(Buffer.alloc(64, i + 1))}`);
    const among = (others: string[]): string =>
      check({
        body,
        headers: { ...headers, 'webhook-signature': [...others, headers['webhook-signature']].join(' ') },
      });
    expect(among(wrong(15))).toBe('ok');
    expect(among(wrong(16))).toBe('no_match');
    expect(among(Array.from({ length: 60 }, () => 'v1a,d3Jvbmc='))).toBe('ok');
  });
});

describe('a declared format with ed25519', () => {
  const signature: SignatureSpec = { header: 'X-Sig', algorithm: 'ed25519', encoding: 'hex', signed: '{body}' };
  const declare = (...signatures: SignatureSpec[]): CustomFormat => ({ body: { a: '{event.data}' }, signatures });
  const shared: SignatureSpec = { ...signature, header: 'X-Mac', algorithm: 'hmac-sha256' };

  it('spells signatures in hex or base64, in one header or in turns, and they verify', () => {
    const custom = compileWireFormat(declare(signature, { ...signature, header: 'X-List', rotation: 'list' }));
    const secrets = [custom.newSecret(), custom.newSecret()];
    const body = custom.body(message);
    const keys = secrets.map((text) => custom.key(text));
    const headers = byName(custom.headers(message, body, keys, stamp, null));
    expect(headers['X-List']).toMatch(/^[0-9a-f]{128} [0-9a-f]{128}$/);
    expect(headers['X-List']).toBe(`${headers['X-Sig-Alternate']} ${headers['X-Sig']}`);
    for (const text of secrets) {
      expect(verify({ format: custom, body, headers, secrets: [custom.publicKey(text)!] })).toEqual({ ok: true });
    }
    const upper = { ...headers, 'X-List': headers['X-List']!.toUpperCase() };
    const input = { format: custom, body, headers: upper, secrets: [custom.publicKey(secrets[0]!)!] };
    expect(verify(input)).toMatchObject({ ok: false, code: 'no_match' });
  });

  it.each([
    ['HMAC beside it', declare(signature, shared), 'signatures[1].algorithm', /cannot share the endpoint's one secret/],
    ['it beside HMAC', declare(shared, signature), 'signatures[1].algorithm', /cannot share/],
    [
      'another secret encoding',
      declare({ ...signature, secretEncoding: 'base64' }),
      'signatures[0].secretEncoding',
      /must be "whsk" with ed25519/,
    ],
    [
      'its secret encoding with HMAC',
      declare({ ...shared, secretEncoding: 'whsk' }),
      'signatures[0].secretEncoding',
      /"whsk" is for ed25519/,
    ],
    ['another new secret', { ...declare(signature), newSecret: 'hex' }, 'newSecret', /does not fit every/],
  ] as const)('is refused with %s', (_, spec, path, reason) => {
    expect(() => compileWireFormat(spec)).toThrow(reason);
    expect(() => compileWireFormat(spec)).toThrow(expect.objectContaining({ path }));
  });

  it('verifies by a compiled format as by its declaration, HMAC too', () => {
    const spec = declare(shared);
    const input = { body: '{}', headers: { 'X-Mac': hexHmac('s', '{}') }, secrets: ['s'] };
    expect(verify({ ...input, format: spec })).toEqual({ ok: true });
    expect(verify({ ...input, format: compileWireFormat(spec) })).toEqual({ ok: true });
  });
});

describe('docs/wire-formats.md', () => {
  it('shows a check with the public key that takes what is sent and nothing else', async () => {
    const docs = readFileSync(new URL('../../docs/wire-formats.md', import.meta.url), 'utf8');
    const code = /```js\n(import \{ createPublicKey[^]*?)```/.exec(docs)![1]!;
    const module = (await import(
      `data:text/javascript,${encodeURIComponent(code.replace('function isGenuine', 'export function isGenuine'))}`
    )) as { isGenuine: (rawBody: string, headers: Record<string, string>, publicKeys: string[]) => boolean };
    const body = format.body(message);
    const at = (now: number) => byName(format.headers(message, body, [format.key(secret)], { ...stamp, now }, null));
    const headers = at(Date.now());
    const other = format.publicKey(format.newSecret())!;
    expect(module.isGenuine(body.toString(), headers, [publicKey])).toBe(true);
    expect(module.isGenuine(body.toString(), headers, [other, publicKey])).toBe(true);
    expect(module.isGenuine(body.toString(), headers, [other])).toBe(false);
    expect(module.isGenuine(`${body.toString()} `, headers, [publicKey])).toBe(false);
    expect(module.isGenuine(body.toString(), at(Date.now() - 400_000), [publicKey])).toBe(false);
    expect(module.isGenuine(body.toString(), {}, [publicKey])).toBe(false);
  });
});
