import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { compileWireFormat, presetNames, WireFormatError } from '../../src/wire/wire.ts';
import type { CustomFormat } from '../../src/wire/wire.ts';
import { WHSEC } from './fixtures.ts';

const standard = compileWireFormat('standard');
const ofBytes = (count: number) => `whsec_${Buffer.alloc(count, 7).toString('base64')}`;

function custom(...encodings: NonNullable<CustomFormat['signatures'][number]['secretEncoding']>[]) {
  return compileWireFormat({
    body: '{event.data}',
    signatures: encodings.map((secretEncoding, i) => ({
      ...{ header: `X-${i}`, algorithm: 'hmac-sha256', encoding: 'hex', signed: '{body}', secretEncoding },
    })),
  });
}

describe('new secrets', () => {
  it.each(presetNames)('of %s fit it and differ every time', (name) => {
    const format = compileWireFormat(name);
    const secrets = Array.from({ length: 50 }, () => format.newSecret());
    expect(new Set(secrets).size).toBe(50);
    for (const secret of secrets) expect(format.checkSecret(secret)).toBeNull();
  });

  it('have the shape that users of the format expect', () => {
    for (const name of ['standard', 'grantex', 'grantiva', 'gravv']) {
      expect(compileWireFormat(name).newSecret()).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    }
    expect(compileWireFormat('lexigram').newSecret()).toMatch(/^[0-9a-f]{64}$/);
    expect(compileWireFormat('standard-ed25519').newSecret()).toMatch(/^whsk_[A-Za-z0-9+/]{86}==$/);
    expect(() => new Webhook(standard.newSecret())).not.toThrow();
  });

  it.each([
    ['hex', 'base64', 'whsec', 'utf8'],
    ['base64', 'whsec'],
    ['hex', 'whsec'],
    ['utf8', 'whsec'],
  ] as const)('fit all signatures of a format at once: %s', (...encodings) => {
    const format = custom(...encodings.filter((encoding) => encoding !== undefined));
    expect(format.checkSecret(format.newSecret())).toBeNull();
  });
});

describe('a secret for standard', () => {
  it.each([24, 32, 64])('may stand for %i bytes', (count) => {
    expect(standard.checkSecret(ofBytes(count))).toBeNull();
  });

  it('may come without its prefix, as the reference library takes it', () => {
    const bare = WHSEC.slice('whsec_'.length);
    expect(standard.checkSecret(bare)).toBeNull();
    const date = new Date();
    expect(new Webhook(bare).sign('id', date, 'x')).toBe(new Webhook(WHSEC).sign('id', date, 'x'));
    expect(standard.key(bare).keys[0]!.equals(standard.key(WHSEC).keys[0]!)).toBe(true);
  });

  it.each([
    ['', /empty/],
    ['whsec_', /not base64/],
    ['my secret', /not base64/],
    [ofBytes(23), /23 bytes; give one of 24 to 64/],
    [ofBytes(65), /65 bytes/],
    [ofBytes(32).slice(0, -1), /not base64/],
    [ofBytes(32) + '\n', /not base64/],
    ['whsec_' + '-_'.repeat(16), /not base64/],
    ['whsk_' + 'A'.repeat(88), /ed25519/],
    ['whpk_' + 'A'.repeat(44), /ed25519/],
  ])('is refused with the reason: %j', (secret, reason) => {
    expect(standard.checkSecret(secret)).toMatch(reason);
    expect(() => standard.key(secret)).toThrow(WireFormatError);
    if (secret.length > 20) expect(standard.checkSecret(secret)).not.toContain(secret.slice(6, -1));
  });
});

describe('a secret used as text', () => {
  const format = compileWireFormat('grantex');

  it.each(['s', 'with inner space', 'секрет', WHSEC, 'x'.repeat(512)])('may be %j', (secret) => {
    expect(format.checkSecret(secret)).toBeNull();
  });

  it.each(['', ' s', 's\n', 'a\tb', '\u00a0s', '\ud800', 'x'.repeat(513)])('may not be %j', (secret) => {
    expect(format.checkSecret(secret)).toMatch(/^secret: /);
  });
});

describe('a secret in hex or base64', () => {
  it('is refused when it is not', () => {
    expect(custom('hex').checkSecret('00ff')).toBeNull();
    for (const secret of ['0', 'xx', '00 ff', '']) expect(custom('hex').checkSecret(secret)).toMatch(/not hex|empty/);
    expect(custom('base64').checkSecret('AAAA')).toBeNull();
    for (const secret of ['AAA', 'A-_A', ' AAAA', '===='])
      expect(custom('base64').checkSecret(secret)).toMatch(/not base64/);
  });

  it('is refused when one of several signatures cannot use it', () => {
    expect(custom('utf8', 'hex').checkSecret('text')).toMatch(/not hex/);
  });
});
