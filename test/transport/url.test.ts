import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkUrl } from '../../src/transport/transport.ts';
import corpus from './corpus/urls.json' with { type: 'json' };
import { development, production } from './policies.ts';

const verdict = (url: unknown, policy = production): string => {
  const answer = checkUrl(url, policy);
  return answer.ok ? 'ok' : answer.code;
};

describe('checkUrl', () => {
  it.each(corpus)('judges $url ($why)', ({ url, production: strict, development: lenient }) => {
    expect({ production: verdict(url), development: verdict(url, development) }).toEqual({
      production: strict,
      development: lenient,
    });
  });

  it('answers for anything at all and never throws', () => {
    fc.assert(fc.property(fc.anything(), (value) => void verdict(value)));
    fc.assert(fc.property(fc.webUrl(), (value) => void verdict(value)));
    expect(verdict(undefined)).toBe('url_invalid');
    expect(verdict(null)).toBe('url_invalid');
    expect(verdict(42)).toBe('url_invalid');
    expect(verdict(new URL('https://example.com/'))).toBe('url_invalid');
  });

  it('gives back the URL as it will be used', () => {
    expect(checkUrl('HTTPS://Example.COM.:443/a/../b?c#d', production)).toEqual({
      ok: true,
      url: 'https://example.com/b?c',
    });
    expect(checkUrl('http://2130706433:9000/hook', development)).toEqual({
      ok: true,
      url: 'http://127.0.0.1:9000/hook',
    });
  });

  it('never approves an address that it refuses once written plainly', () => {
    fc.assert(
      fc.property(fc.ipV4Extended(), (address) => {
        const answer = checkUrl(`https://${address}/`, production);
        if (answer.ok) {
          expect(checkUrl(answer.url, production)).toEqual(answer);
        }
      }),
    );
  });

  it('opens port 80 with http and the ports that the operator lists', () => {
    expect(verdict('http://example.com/', { ...production, allowHttp: true })).toBe('ok');
    expect(verdict('http://example.com:8080/', { ...production, allowHttp: true })).toBe('url_port');
    expect(verdict('https://example.com:9443/', { ...production, allowPorts: [9443] })).toBe('ok');
  });

  it('opens internal names together with networks of the operator, but not their addresses', () => {
    const inside = { ...production, allowCidrs: ['10.0.0.0/8'] };
    expect(verdict('https://receiver/', inside)).toBe('ok');
    expect(verdict('https://receiver.internal/', inside)).toBe('ok');
    expect(verdict('https://10.1.2.3/', inside)).toBe('ok');
    expect(verdict('https://192.168.1.1/', inside)).toBe('url_blocked');
    expect(verdict('https://localhost/', inside)).toBe('url_blocked');
  });

  it('names what is wrong and the remedy', () => {
    const message = (url: string): string => {
      const answer = checkUrl(url, production);
      return answer.ok ? '' : answer.message;
    };
    expect(message('http://example.com/')).toBe('url must start with https://, not http:');
    expect(message('https://a:b@example.com/')).toMatch(/remove the part before the @/);
    expect(message('https://example.com:25/')).toMatch(/use one of 443, 8443/);
    expect(message('https://10.0.0.1/')).toMatch(/10\.0\.0\.1, which is not a public address; use a public one/);
  });
});
