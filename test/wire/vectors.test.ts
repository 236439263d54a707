import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compileWireFormat, presetNames, verify } from '../../src/wire/wire.ts';
import type { Message, Stamp } from '../../src/wire/wire.ts';
import { byName, v1aOf } from './fixtures.ts';

interface Vector {
  title: string;
  expected: string;
  hint?: string;
  signed?: { secrets: string[]; message: Message; stamp: Stamp };
  request: { headers: Record<string, string | string[]>; body: string };
  secrets: string[];
  now: number;
  toleranceSeconds: number;
}

function load(name: string): Vector[] {
  const text = readFileSync(new URL(`../../spec/vectors/${name}.json`, import.meta.url), 'utf8');
  return (JSON.parse(text) as { vectors: Vector[] }).vectors;
}

/** Each signature header and what it must hold for one secret, by node:crypto alone and without src/wire. */
function expectedSignatures(name: string, secret: string, vector: Vector): Record<string, string> {
  const { body, headers } = vector.request;
  const hex = (text: string): string => createHmac('sha256', Buffer.from(secret, 'utf8')).update(text).digest('hex');
  switch (name) {
    case 'standard': {
      const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
      const text = `${headers['webhook-id'] as string}.${headers['webhook-timestamp'] as string}.${body}`;
      return { 'webhook-signature': `v1,${createHmac('sha256', key).update(text).digest('base64')}` };
    }
    case 'standard-ed25519':
      return { 'webhook-signature': v1aOf(secret, headers, body) };
    case 'grantex':
      return {
        'X-Grantex-Signature': `sha256=${hex(body)}`,
        'X-Grantex-Signature-V2': `sha256=${hex(`${headers['X-Grantex-Timestamp'] as string}.${body}`)}`,
      };
    case 'grantiva':
      return { 'X-Grantiva-Signature': `sha256=${hex(body)}` };
    case 'gravv':
      return { 'X-Gravv-Signature': hex(body) };
    case 'lexigram':
      return { 'X-Webhook-Signature': `sha256=${hex(body)}` };
    default:
      throw new Error(`nothing is written here about ${name}`);
  }
}

function compact(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body));
  } catch {
    return body;
  }
}

describe.each(presetNames)('vectors of %s', (name) => {
  const vectors = load(name);

  it('cover what goes well and what goes wrong', () => {
    const answers = new Set(vectors.map((vector) => vector.expected));
    expect(vectors.length).toBeGreaterThan(20);
    for (const answer of ['ok', 'no_match', 'missing_header', 'bad_header', 'bad_secret'])
      expect(answers).toContain(answer);
  });

  it.each(vectors.map((vector) => [vector.title, vector] as const))('%s', (_, vector) => {
    const { request, secrets, now, toleranceSeconds } = vector;
    const result = verify({ format: name, ...request, secrets, now, toleranceSeconds });
    expect(result.ok ? 'ok' : result.code).toBe(vector.expected);
  });

  it('mark the bodies that would match without white space between their tokens, and no others', () => {
    const rewritten = vectors.filter(({ hint }) => hint !== undefined);
    expect(new Set(rewritten.map(({ hint, expected }) => `${hint} ${expected}`))).toEqual(
      new Set(['body_reserialised no_match']),
    );
    for (const vector of vectors.filter(({ expected }) => expected === 'no_match')) {
      const { title, hint, request, secrets, now, toleranceSeconds } = vector;
      const { ok } = verify({ format: name, ...request, body: compact(request.body), secrets, now, toleranceSeconds });
      expect([title, ok]).toEqual([title, hint !== undefined]);
    }
  });

  const signed = vectors.filter((vector) => vector.signed !== undefined);
  it.each(signed.map((vector) => [vector.title, vector] as const))('is sent and signed as by hand: %s', (_, vector) => {
    const { secrets, message, stamp } = vector.signed!;
    const format = compileWireFormat(name);
    const body = format.body(message);
    expect(body.toString()).toBe(vector.request.body);
    const keys = secrets.map((secret) => format.key(secret));
    const { 'User-Agent': userAgent, ...headers } = byName(format.headers(message, body, keys, stamp, null));
    expect(userAgent).toMatch(/^Posthorn\/\d/);
    expect(headers).toEqual(vector.request.headers);

    const byHand = secrets.map((secret) => expectedSignatures(name, secret, vector));
    for (const header of Object.keys(byHand[0]!)) {
      const values = byHand.map((signatures) => signatures[header]!);
      if (name.startsWith('standard')) {
        expect(vector.request.headers[header]).toBe(values.join(' '));
        continue;
      }
      const newest = stamp.attemptNumber % 2 === 0;
      const main = values.length === 1 || newest ? values[0] : values.at(-1);
      expect(vector.request.headers[header]).toBe(main);
      const others = values.filter((value) => value !== main);
      expect(vector.request.headers[`${header}-Alternate`]).toBe(others.length === 0 ? undefined : others.join(' '));
    }
  });
});

describe('vectors of standard, given to the reference library', () => {
  afterEach(() => vi.useRealTimers());
  // It reads a time up to the first character that is no digit, takes secrets of any length, and has no header twice.
  const joined = 'the signature header twice, joined as servers do';
  const ownRules = ['a time that is no number', 'a secret that is too short', joined];
  const vectors = load('standard').filter(({ title, request, secrets }) => {
    const isPlain = Object.values(request.headers).every((value) => typeof value === 'string');
    return isPlain && secrets.length === 1 && !ownRules.includes(title);
  });

  it.each(vectors.map((vector) => [vector.title, vector] as const))('%s', (_, vector) => {
    vi.useFakeTimers({ toFake: ['Date'], now: vector.now });
    const { body, headers } = vector.request;
    const check = (): unknown =>
      new Webhook(vector.secrets[0]!).verify(body, headers as Record<string, string>, { jsonParse: false });
    if (vector.expected === 'ok') expect(check).not.toThrow();
    else expect(check).toThrow();
  });
});
