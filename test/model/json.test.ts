import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementSpans, JsonError, MAX_JSON_DEPTH, memberSpans, parseStrictJson } from '../../src/model/json.ts';

describe('strict JSON', () => {
  it('reads every value that JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        if (text.includes('__proto__')) return;
        expect(parseStrictJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ['a name twice', '{"a":1,"a":2}', /twice/],
    ['a name twice, deep down and spelled differently', '[{"b":{"a":1,"\\u0061":2}}]', /twice/],
    ['a member called __proto__', '{"data":{"__proto__":{"x":1}}}', /__proto__/],
    ['half a surrogate pair', '"\\ud800"', /surrogate/],
    ['surrogates the wrong way round', '"\\udc00\\ud800"', /surrogate/],
    ['NaN', '{"a":NaN}', /not valid JSON/],
    ['text after the value', '{} {}', /not valid JSON/],
    ['an unfinished string', '{"a":"b', /not valid JSON/],
    ['nothing', '', /not valid JSON/],
    ['10,000 levels', '['.repeat(10_000) + ']'.repeat(10_000), /deeper/],
    ['one level too many', '['.repeat(MAX_JSON_DEPTH + 1) + ']'.repeat(MAX_JSON_DEPTH + 1), /deeper/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseStrictJson(text)).toThrow(JsonError);
    expect(() => parseStrictJson(text)).toThrow(message);
  });

  it('takes whole surrogate pairs, escaped backslashes before a u, braces and colons in strings', () => {
    for (const text of ['"\\ud83d\\ude00"', '"\\\\ud800"', '{"a:b":"{[:\\"}"}', '['.repeat(100) + ']'.repeat(100)]) {
      expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    }
  });

  it('finds the exact text of every member, whatever the white space and the numbers', () => {
    const text =
      ' { "type" : "x" , "data":\t{ "n": 12345678901234567890, "s": "a\\"}b" } ,"l":[1, "]", {"a":[]} ],"t":true } ';
    const spans = memberSpans(text, 0);
    const raw = (name: string): string => text.slice(...spans.get(name)!);
    expect(raw('data')).toBe('{ "n": 12345678901234567890, "s": "a\\"}b" }');
    expect(raw('t')).toBe('true');
    expect(elementSpans(text, spans.get('l')![0]).map((span) => text.slice(...span))).toEqual(['1', '"]"', '{"a":[]}']);
  });

  it('finds what JSON.parse finds, for any object', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const spans = memberSpans(text, 0);
        expect(Object.fromEntries([...spans].map(([name, span]) => [name, JSON.parse(text.slice(...span))]))).toEqual(
          JSON.parse(text),
        );
      }),
    );
  });
});
