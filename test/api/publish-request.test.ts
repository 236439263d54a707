import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PublishRequest, readPublish } from '../../src/api/publish-request.ts';
import { fits } from '../../src/api/validate.ts';
import { PosthornError } from '../../src/errors.ts';

function read(value: unknown): ReturnType<typeof readPublish> {
  return readPublish(value, JSON.stringify(value), 0, '');
}

function isAccepted(value: unknown): boolean {
  try {
    read(value);
    return true;
  } catch (error) {
    if (error instanceof PosthornError && error.code === 'BAD_REQUEST') return false;
    throw error;
  }
}

/** Texts near the borders of the rules, and texts from nowhere. */
const text = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    'a',
    'a.b',
    '.',
    'a.',
    'a..b',
    'ä',
    'a b',
    '*',
    'order.*',
    '\u0000',
    '\u0085',
    '\u2028',
    '😀',
  ),
  fc.constantFrom(
    'x'.repeat(128),
    'x'.repeat(129),
    'x'.repeat(255),
    'x'.repeat(256),
    'x'.repeat(257),
    '😀'.repeat(256),
  ),
  fc.string({ unit: 'grapheme' }),
  fc.string(),
);
const moment = fc.oneof(
  text,
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.constantFrom('2026-02-29T00:00:00Z', '2024-02-29T00:00:00Z', '2026-01-31T12:00:00', '2026-01-31t12:00:00.123456z'),
  fc.constantFrom('2026-01-31T24:00:00Z', '2026-01-31T12:00:60Z', '2026-01-31 12:00:00Z', '2026-1-31T12:00:00Z'),
  fc.constantFrom(
    '2026-01-31T12:00:00+14:00',
    '2026-01-31T12:00:00+24:00',
    '0001-01-01T00:00:00Z',
    '2026-13-01T00:00:00Z',
  ),
);
const member = (likely: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 6, arbitrary: likely }, { weight: 1, arbitrary: fc.jsonValue() });

const likelyEvent = fc.record(
  {
    type: member(fc.oneof(fc.constant('order.created'), text)),
    data: fc.jsonValue(),
    id: member(text),
    occurredAt: member(moment),
    category: member(text),
    group: member(text),
    source: member(text),
    idempotencyKey: member(text),
    stranger: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
/** Everything right but one member, so that most are decided by that one. */
const nearlyRight = fc
  .tuple(
    fc.constantFrom('type', 'id', 'occurredAt', 'category', 'group', 'source', 'idempotencyKey'),
    fc.oneof(text, moment),
  )
  .map(([name, value]) => ({ type: 'order.created', data: {}, [name]: value }));

describe('the check of an event', () => {
  it('takes exactly what its schema takes', () => {
    let accepted = 0;
    const value = fc.oneof(nearlyRight, likelyEvent, fc.jsonValue());
    fc.assert(
      fc.property(value, (candidate) => {
        // As it would come over the wire: undefined and -0 do not.
        const sent: unknown = JSON.parse(JSON.stringify(candidate));
        const wanted = fits(PublishRequest, sent);
        if (wanted) accepted++;
        expect(isAccepted(sent)).toBe(wanted);
      }),
      { numRuns: 5000 },
    );
    // Both sides of the border were seen.
    expect(accepted).toBeGreaterThan(300);
    expect(accepted).toBeLessThan(4700);
  });

  it('takes the data out of the text byte for byte', () => {
    const body = '{ "type":"a.b" , "data" : {"n":1.0,  "b":12345678901234567890,"s":"\\u00e9\\/"}\n}';
    expect(readPublish(JSON.parse(body), body, 0, '')).toMatchObject({
      data: '{"n":1.0,  "b":12345678901234567890,"s":"\\u00e9\\/"}',
      value: { n: 1, s: 'é/' },
    });
  });

  it('takes null for what is not given', () => {
    const event = { type: 'a', data: null, id: null, occurredAt: null, category: null, group: null, source: null };
    expect(read(event)).toMatchObject({ data: 'null', value: null, id: null, occurredAt: null, group: null });
  });

  it.each([
    [{ data: 1 }, 'type: is missing; it must be a name like "order.created"'],
    [{ type: 7, data: 1 }, 'type: must be a name like "order.created"'],
    [{ type: 'a' }, 'data: is missing; it can be any JSON value'],
    [{ type: 'a', data: 1, id: 7 }, 'id: must be 1 to 128 visible ASCII characters'],
    [{ type: 'a', data: 1, occurredAt: 1767225600 }, 'occurredAt: must be a time like "2026-01-31T12:00:00Z"'],
    [{ type: 'a', data: 1, group: '' }, 'group: must be 1 to 256 characters'],
    [{ type: 'a', data: 1, idempotencyKey: 'a b' }, 'idempotencyKey: must be 1 to 255 visible ASCII'],
    [{ type: 'a', data: 1, ocurredAt: 'x' }, 'ocurredAt: is not known; did you mean "occurredAt"?'],
    [[], 'body: must be an object'],
    ['text', 'body: must be an object'],
  ])('refuses %j and names field and remedy', (value, message) => {
    expect(() => read(value)).toThrow(message);
  });

  it('names an event of a batch by its place', () => {
    expect(() => readPublish({ data: 1 }, '{"data":1}', 0, 'events[3]')).toThrow('events[3].type: is missing');
    expect(() => readPublish(7, '7', 0, 'events[3]')).toThrow('events[3]: must be an object');
  });
});
