import { describe, expect, it } from 'vitest';
import { mapMessage, type Mapping } from '../../src/ingest/mapping.ts';
import type { Message } from '../../src/ingest/source.ts';
import { coversSubject } from '../../src/ingest/sources/nats.ts';
import { readPublish } from '../../src/api/publish-request.ts';

const plain: Mapping = { envelope: 'data', type: 'order.created', group: null, id: 'broker' };

function message(body: string | Buffer, more: Partial<Message> = {}): Message {
  return {
    body: Buffer.from(body),
    place: 'nats:ORDERS',
    name: 'ORDERS 7',
    key: 'nats:ORDERS/7@1',
    subject: 'orders.created',
    orderingKey: null,
    headers: new Map(),
    time: null,
    ...more,
  };
}

/** What the API reads of it: also that it takes it. */
function read(from: Message, mapping: Mapping) {
  const mapped = mapMessage(from, mapping);
  if ('reason' in mapped) throw new Error(mapped.reason);
  return readPublish(JSON.parse(mapped.text), mapped.text, 0, '');
}

function reason(from: Message, mapping: Mapping = plain): string {
  const mapped = mapMessage(from, mapping);
  return 'reason' in mapped ? mapped.reason : `none: ${mapped.text}`;
}

describe('a message whose body is data', () => {
  it('becomes an event that has the data byte for byte, and the key of the broker', () => {
    expect(read(message('\ufeff {"z":1.0, "a":1e2}\n'), plain)).toMatchObject({
      type: 'order.created',
      data: '{"z":1.0, "a":1e2}',
      idempotencyKey: 'nats:ORDERS/7@1',
      occurredAt: null,
      group: null,
    });
  });

  it('has its type, group and key from where they are said to be', () => {
    const headers = new Map([
      ['event-type', 'order.paid'],
      ['trace', 'abc'],
    ]);
    const from = message('{"meta":{"id":42,"who":"c 7"}}', { headers, orderingKey: 'k', time: 0 });
    expect(
      read(from, {
        envelope: 'data',
        type: { kind: 'header', name: 'Event-Type' },
        group: { kind: 'field', path: ['meta', 'who'] },
        id: { kind: 'field', path: ['meta', 'id'] },
      }),
    ).toMatchObject({ type: 'order.paid', group: 'c 7', idempotencyKey: 'nats:ORDERS#42', occurredAt: 0 });
    expect(read(from, { ...plain, type: { kind: 'subject' }, group: { kind: 'key' } })).toMatchObject({
      type: 'orders.created',
      group: 'k',
    });
  });

  it('has one key for one body where bodies are what makes it the same, and another in another queue', () => {
    const byBody: Mapping = { ...plain, id: 'body-hash' };
    const [one, same, other, elsewhere] = [
      message('{}', { key: null }),
      message('{}', { name: 'ORDERS 8' }),
      message('[]'),
      message('{}', { place: 'nats:OTHER' }),
    ].map((from) => read(from, byBody).idempotencyKey);
    expect(same).toBe(one);
    expect(new Set([one, other, elsewhere]).size).toBe(3);
  });

  it('has a hash for its key where that has characters or a length that no key may have', () => {
    for (const key of ['nats:ORDERS#grün 1', 'x'.repeat(256)]) {
      expect(read(message('{}', { key }), plain).idempotencyKey).toMatch(/^sha256:[0-9a-f]{64}$/);
    }
  });

  it.each([
    ['an empty body', message(''), plain, /^its body is empty$/],
    ['no JSON', message('{'), plain, /^its body is not valid JSON: /],
    ['a member twice', message('{"a":1,"a":2}'), plain, /^its body is an object has the same member twice/],
    ['no UTF-8', message(Buffer.from([0x22, 0xff, 0x22])), plain, /^its body is not UTF-8$/],
    ['no such header', message('{}'), { ...plain, type: { kind: 'header', name: 'x' } }, /^it has no header "x"$/],
    [
      'no such field',
      message('{"a":{}}'),
      { ...plain, type: { kind: 'field', path: ['a', 'b'] } },
      /text or number at "a\.b"$/,
    ],
    [
      'an inherited field',
      message('{}'),
      { ...plain, group: { kind: 'field', path: ['constructor', 'name'] } },
      /at "constr/,
    ],
    ['no type', message('{}', { subject: 'a b' }), { ...plain, type: { kind: 'subject' } }, /^"a b" is no event type/],
    ['no id', message('{}', { key: null }), plain, /^it has no message-id, .*--id-from/],
  ] as [string, Message, Mapping, RegExp][])('is refused with its reason: %s', (_, from, mapping, says) => {
    expect(reason(from, mapping)).toMatch(says);
  });
});

describe('a message that is a whole event', () => {
  const whole: Mapping = { ...plain, envelope: 'posthorn', type: null };

  it('is taken as it stands, with the key of the broker where it has none', () => {
    const body = '{ "data" : {"n":1.50}, "type":"a.b", "id":"own-1", "group":"g", "idempotencyKey":null }';
    expect(read(message(body), whole)).toMatchObject({
      type: 'a.b',
      data: '{"n":1.50}',
      id: 'own-1',
      group: 'g',
      idempotencyKey: 'nats:ORDERS/7@1',
    });
    expect(read(message('{"type":"a","data":1,"idempotencyKey":"mine"}'), whole).idempotencyKey).toBe('mine');
  });

  it('is refused where it is no object', () => {
    expect(reason(message('[]'), whole)).toMatch(/^its body is no event/);
  });
});

describe('a CloudEvent', () => {
  const cloud: Mapping = { ...plain, envelope: 'cloudevents', type: null };
  const attributes = {
    specversion: '1.0',
    type: 'com.shop.paid',
    source: '/shop',
    id: 'A 1',
    time: '2026-01-31T12:00:00Z',
  };
  const expected = {
    type: 'com.shop.paid',
    source: '/shop',
    occurredAt: Date.parse(attributes.time),
    idempotencyKey: expect.stringMatching(/^sha256:/) as string,
  };

  it('in structured mode has its attributes in the body', () => {
    const body = JSON.stringify({ ...attributes, data: { n: 1 } });
    expect(read(message(body), cloud)).toMatchObject({ ...expected, data: '{"n":1}' });
  });

  it.each(['ce-', 'ce_', 'cloudEvents:', 'cloudEvents_'])(
    'in binary mode has them in headers that begin with %s',
    (prefix) => {
      const headers = new Map(
        Object.entries(attributes).map(([name, text]) => [`${prefix}${name}`.toLowerCase(), text]),
      );
      expect(read(message('{"n":2}', { headers }), cloud)).toMatchObject({ ...expected, data: '{"n":2}' });
      expect(read(message('', { headers }), cloud)).toMatchObject({ ...expected, data: 'null' });
    },
  );

  it('has the same key in either mode, whatever the broker calls it', () => {
    const { idempotencyKey } = read(message(JSON.stringify({ ...attributes, id: '1' }), { key: 'x' }), cloud);
    const headers = new Map(Object.entries({ ...attributes, id: '1' }).map(([name, text]) => [`ce-${name}`, text]));
    expect(read(message('{}', { headers, key: 'y' }), cloud).idempotencyKey).toBe(idempotencyKey);
  });

  it.each([
    [{}, /neither its headers nor its body/],
    [{ ...attributes, specversion: '0.3' }, /version "0\.3"/],
    [{ ...attributes, id: undefined }, /without id$/],
    [{ ...attributes, data_base64: 'AA==' }, /data_base64/],
  ])('is refused with its reason: %j', (body, says) => {
    expect(reason(message(JSON.stringify(body)), cloud)).toMatch(says);
  });
});

it.each([
  ['a.*', 'a.b', true],
  ['a.*', 'a.b.c', false],
  ['a.>', 'a.b.c', true],
  ['a.>', 'a', false],
  ['>', 'a', true],
  ['a.b', 'a.b', true],
  ['a.*.c', 'a.b.d', false],
])('the filter %s covers %s: %s', (filter, subject, covers) => {
  expect(coversSubject(filter, subject)).toBe(covers);
});
