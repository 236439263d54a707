import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { verifyWebhook, verifyWebhookAsync, Webhook } from '../src/index.ts';
import { prepareAlone } from '../src/verify/check.ts';
import type { FormatName } from '../src/verify/formats.ts';
import { verifyWith } from '../src/verify/verify.ts';

interface Vector {
  title: string;
  expected: string;
  hint?: string;
  request: { headers: Record<string, string | string[]>; body: string };
  secrets: string[];
  now: number;
  toleranceSeconds: number;
}

const folder = new URL('../../../spec/vectors/', import.meta.url);
const files = readdirSync(folder).map(
  (file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { format: FormatName; vectors: Vector[] },
);

function inputOf(format: FormatName, { request, secrets, now, toleranceSeconds }: Vector) {
  return { format, payload: request.body, headers: request.headers, secrets, now, toleranceSeconds };
}

it('there are vectors for every format', () => {
  const formats = ['grantex', 'grantiva', 'gravv', 'lexigram', 'standard', 'standard-ed25519'];
  expect(files.map(({ format }) => format).sort()).toEqual(formats);
});

describe.each(files)('the vectors of $format', ({ format, vectors }) => {
  it.each(vectors)('$title', (vector) => {
    const result = verifyWebhook(inputOf(format, vector));
    expect(result.ok ? 'ok' : result.code, JSON.stringify(result)).toBe(vector.expected);
    if (vector.hint !== undefined) expect(result).toMatchObject({ ok: false, hint: vector.hint });
  });

  it.each(vectors)('with WebCrypto: $title', async (vector) => {
    expect(await verifyWebhookAsync(inputOf(format, vector))).toEqual(verifyWebhook(inputOf(format, vector)));
  });

  it.each(vectors)(
    'as bytes, by a Webhook made before: $title',
    ({ request, secrets, now, toleranceSeconds, expected }) => {
      const verify = () =>
        new Webhook(secrets, { format, toleranceSeconds }).verify(
          new TextEncoder().encode(request.body),
          request.headers,
          now,
        );
      if (expected === 'bad_secret') {
        expect(verify).toThrow(TypeError);
      } else {
        const result = verify();
        expect(result.ok ? 'ok' : result.code).toBe(expected);
      }
    },
  );

  it.each(vectors)('in JavaScript alone: $title', (vector) => {
    const input = inputOf(format, vector);
    const result = verifyWith(prepareAlone, input);
    if (format === 'standard-ed25519') {
      expect(['unsupported', 'bad_secret']).toContain(result.ok ? 'ok' : result.code);
      if (vector.expected !== 'bad_secret') expect(result).toMatchObject({ code: 'unsupported' });
    } else {
      expect(result).toEqual(verifyWebhook(input));
    }
  });
});
