import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseCidr } from '../../src/transport/address.ts';
import { createClassifier } from '../../src/transport/classify.ts';
import corpus from './corpus/addresses.json' with { type: 'json' };
import { development, production } from './policies.ts';

const strict = createClassifier(production);
const lenient = createClassifier(development);

describe('the address rule', () => {
  it.each(corpus)('judges $address ($why)', ({ address, production: allowed, development: allowedInDev }) => {
    expect({ production: strict.allows(address), development: lenient.allows(address) }).toEqual({
      production: allowed,
      development: allowedInDev,
    });
  });

  it('refuses every text that is not an IP address', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(isIP(text) === 0);
        expect(lenient.allows(text)).toBe(false);
      }),
    );
  });

  it('judges a mapped IPv6 address as the IPv4 address it carries', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(strict.allows(`::ffff:${address}`)).toBe(strict.allows(address));
      }),
    );
  });

  it('refuses every IPv6 address outside 2000::/3 that is not mapped', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 1, max: 0xffff }), (first, last) => {
        fc.pre(first >>> 13 !== 1);
        expect(strict.allows(`${first.toString(16)}::${last.toString(16)}`)).toBe(false);
      }),
    );
  });
});

describe('networks the operator allows', () => {
  const classifier = createClassifier({
    allowLoopback: false,
    allowCidrs: ['10.1.0.0/16', 'fd00:1::/32', '192.168.1.5', '100.64.0.0/11'],
  });

  it.each(['10.1.0.0', '10.1.255.255', '::ffff:10.1.2.3', 'fd00:1::1', 'fd00:1:ffff::1', '192.168.1.5', '100.95.0.1'])(
    'opens %s',
    (address) => {
      expect(classifier.allows(address)).toBe(true);
    },
  );

  it.each([
    '10.0.255.255',
    '10.2.0.0',
    'fd00:2::1',
    'fd00::1',
    '192.168.1.4',
    '127.0.0.1',
    '::1',
    '100.96.0.0',
    '::10.1.2.3',
  ])('leaves %s closed', (address) => {
    expect(classifier.allows(address)).toBe(false);
  });

  it.each([
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0/8',
    'fd00::/129',
    'fd00::/x',
    'example.com/8',
    '',
    '1.1.1.1/8/8',
  ])('refuses to start with the network "%s" and says how to write one', (text) => {
    expect(() => parseCidr(text)).toThrow(/is not a network; write it like/);
    expect(() => createClassifier({ allowLoopback: false, allowCidrs: [text] })).toThrow(/is not a network/);
  });

  it('reads the whole of IPv4 or IPv6 as a network', () => {
    expect(createClassifier({ allowLoopback: false, allowCidrs: ['0.0.0.0/0'] }).allows('10.0.0.1')).toBe(true);
    expect(createClassifier({ allowLoopback: false, allowCidrs: ['0.0.0.0/0'] }).allows('::1')).toBe(false);
    expect(createClassifier({ allowLoopback: false, allowCidrs: ['::/0'] }).allows('fe80::1')).toBe(true);
  });
});
