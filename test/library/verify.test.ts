import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verify, type VerifyInput } from '../../src/index.ts';

const payload = '{"total":1050,"name":"Jürgen"}';
const hex = (algorithm: string, secret = 'secret'): string =>
  createHmac(algorithm, secret).update(payload).digest('hex');

describe('verify', () => {
  it.each(['sha256', 'sha384', 'sha512'] as const)('%s: with its prefix, and bare where it is named', (algorithm) => {
    const signature = hex(algorithm);
    expect(verify({ payload, signature: `${algorithm}=${signature}`, secret: 'secret' }).ok).toBe(true);
    expect(verify({ payload, signature, secret: 'secret', algorithm }).ok).toBe(true);
    expect(verify({ payload: Buffer.from(payload), signature, secret: 'secret', algorithm }).ok).toBe(true);
  });

  it('bare hex is sha256 unless said otherwise', () => {
    expect(verify({ payload, signature: hex('sha256'), secret: 'secret' }).ok).toBe(true);
    expect(verify({ payload, signature: hex('sha512'), secret: 'secret' }).ok).toBe(false);
  });

  it('any one of several secrets may have signed', () => {
    const signature = `sha256=${hex('sha256', 'old')}`;
    expect(verify({ payload, signature, secrets: ['new', 'old'] }).ok).toBe(true);
    expect(verify({ payload, signature, secrets: ['new', 'other'] }).ok).toBe(false);
  });

  it.each([
    ['another body', { payload: `${payload} ` }],
    ['another secret', { secret: 'other' }],
    ['another algorithm than the prefix', { algorithm: 'sha512' as const }],
    ['no secret', { secret: undefined }],
    ['an empty secret', { secret: '' }],
    ['no hex', { signature: 'sha256=zz' }],
    ['an odd length', { signature: hex('sha256').slice(1) }],
    ['a signature that is none', { signature: null as never }],
    ['a parsed body', { payload: JSON.parse(payload) as never }],
  ])('%s: an Err that says so', (_, change) => {
    const input: VerifyInput = { payload, signature: `sha256=${hex('sha256')}`, secret: 'secret', ...change };
    expect(verify(input)).toMatchObject({
      ok: false,
      error: { code: 'invalid-signature', message: expect.any(String) },
    });
  });

  it('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), fc.anything(), fc.anything(), (body, signature, secrets, algorithm) => {
        expect(verify({ payload: body, signature, secrets, secret: signature, algorithm } as never).ok).toBe(false);
        expect(verify(body as never).ok).toBe(false);
      }),
    );
  });
});
