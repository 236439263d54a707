import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { duration, nullable, oneOf, time } from '../../src/api/schema.ts';
import { formatTime, parseTime } from '../../src/api/time.ts';
import { validate } from '../../src/api/validate.ts';
import type { PosthornError } from '../../src/errors.ts';

const schema = Type.Object(
  {
    url: Type.String(),
    events: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 2, 'x-item': 'event type' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
    role: Type.Optional(oneOf(['member', 'admin'])),
    wait: Type.Optional(nullable(duration('A wait.'))),
    from: Type.Optional(time('A time.')),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 3 })),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
    list: Type.Optional(Type.Array(Type.Object({ a: Type.Boolean() }), { minItems: 2 })),
  },
  { additionalProperties: false },
);

function faults(value: unknown): string[] {
  try {
    validate(schema, value, 'body');
  } catch (error) {
    return (error as PosthornError).fields.map(({ field, message }) => `${field}: ${message}`);
  }
  return [];
}

describe('a message about a field', () => {
  it.each([
    [{}, ['url: is missing; it must be a string']],
    [{ url: 7 }, ['url: must be a string']],
    [{ url: 'u', events: [] }, ['events: must have at least one event type']],
    [{ url: 'u', events: 'a.b' }, ['events: must be a list']],
    [{ url: 'u', events: ['a', 'b', 'c'] }, ['events: must have at most 2 event types']],
    [{ url: 'u', events: ['a', 7] }, ['events[1]: must be a string']],
    [{ url: 'u', limit: 0 }, ['limit: must be a whole number from 1 to 200']],
    [{ url: 'u', limit: '5' }, ['limit: must be a whole number from 1 to 200']],
    [{ url: 'u', limit: 1.5 }, ['limit: must be a whole number from 1 to 200']],
    [{ url: 'u', role: 'owner' }, ['role: must be one of "member", "admin"']],
    [{ url: 'u', wait: '5' }, ['wait: must be a duration like "250ms", "10s", "5m", "2h" or "1d"']],
    [{ url: 'u', wait: 5 }, ['wait: must be a duration like "250ms", "10s", "5m", "2h" or "1d"']],
    [{ url: 'u', wait: null }, []],
    [{ url: 'u', from: 'yesterday' }, ['from: must be a time like "2026-01-31T12:00:00Z" (RFC 3339)']],
    [{ url: 'u', name: '' }, ['name: must not be empty']],
    [{ url: 'u', name: 'long' }, ['name: must have at most 3 characters']],
    [{ url: 'u', headers: { 'x-a': 7 } }, ['headers.x-a: must be a string']],
    [{ url: 'u', list: [{ a: 1 }] }, ['list: must have at least 2 elements', 'list[0].a: must be true or false']],
    [{ url: 'u', evnets: [] }, ['evnets: is not known; did you mean "events"?']],
    [
      { url: 'u', zzzzzzzzzz: 1 },
      ['zzzzzzzzzz: is not known; known are url, events, limit, role, wait, from, name, headers, list'],
    ],
    [[], ['body: must be an object']],
    ['text', ['body: must be an object']],
    [
      { url: 'u', constructor: 1 },
      ['constructor: is not known; known are url, events, limit, role, wait, from, name, headers, list'],
    ],
  ])('of %j is plain', (value, messages) => {
    expect(faults(value)).toEqual(messages);
  });

  it('is given for each of several fields', () => {
    expect(faults({ url: 1, limit: 0, evnets: 1 })).toHaveLength(3);
  });

  it('is given for the first field alone where the body is large, at the cost of one', () => {
    const value = { url: 1, events: Array.from({ length: 100_000 }, () => 7) };
    const error = (() => {
      try {
        validate(schema, value, 'body', 400_000);
      } catch (caught) {
        return caught as PosthornError;
      }
      throw new Error('it was taken');
    })();
    expect(error.fields).toHaveLength(1);
  });
});

describe('a time', () => {
  it.each([
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31t12:00:00.123456789z', '2026-01-31T12:00:00.123Z'],
    ['2026-01-31T12:00:00+05:30', '2026-01-31T06:30:00.000Z'],
    ['2024-02-29T23:59:59-00:00', '2024-02-29T23:59:59.000Z'],
    ['9999-12-31T23:59:59Z', '9999-12-31T23:59:59.000Z'],
  ])('%s is read as %s', (text, iso) => {
    expect(formatTime(parseTime(text)!)).toBe(iso);
  });

  it.each([
    ['', '2026-01-31', '2026-01-31T12:00:00', '2026-01-31 12:00:00Z', '2026-02-29T00:00:00Z', '2026-04-31T00:00:00Z'],
    ['2026-13-01T00:00:00Z', '2026-00-01T00:00:00Z', '2026-01-00T00:00:00Z', '2026-01-01T24:00:00Z'],
    ['2026-01-01T00:60:00Z', '2026-01-01T00:00:60Z', '0001-01-01T00:00:00Z', '2026-01-01T00:00:00+24:00'],
    ['2026-01-01T00:00:00+00:60', '2026-01-01T00:00:00.Z', ' 2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z\n'],
  ])('is refused where it is none: %s, …', (...texts) => {
    for (const text of texts) expect([text, parseTime(text)]).toEqual([text, null]);
  });
});
