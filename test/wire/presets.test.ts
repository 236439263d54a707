import { readFileSync } from 'node:fs';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { compileWireFormat, presetNames } from '../../src/wire/wire.ts';
import { byName, hexHmac, message, OTHER_WHSEC, stamp, WHSEC } from './fixtures.ts';

const root = new URL('../../', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string };
const fixed = ['Content-Type', 'application/json', 'User-Agent', `Posthorn/${version}`];
const secret = 'a text secret, used as it is';

function send(name: string, secrets: string[], change = {}, at = {}) {
  const format = compileWireFormat(name);
  const sent = { ...message, ...change };
  const body = format.body(sent);
  const keys = secrets.map((text) => format.key(text));
  const flat = format.headers(sent, body, keys, { ...stamp, ...at }, null);
  return { flat, headers: byName(flat), body: body.toString() };
}

describe('every preset', () => {
  it.each(presetNames)('%s gives the same bytes and another stamp at a later attempt', (name) => {
    const format = compileWireFormat(name);
    const keys = [format.key(format.newSecret())];
    const body = format.body(message);
    expect(format.body({ ...message })).toEqual(body);
    const first = format.headers(message, body, keys, stamp, null);
    const again = format.headers(message, body, keys, { ...stamp, attemptNumber: 2, now: stamp.now + 60_000 }, null);
    const signsTime = name.startsWith('standard') || name === 'grantex' || name === 'lexigram';
    expect(again.join() === first.join()).toBe(!signsTime);
  });

  it.each(presetNames)("%s puts the endpoint's own headers last and as they are", (name) => {
    const format = compileWireFormat(name);
    const keys = [format.key(format.newSecret())];
    const extra = ['X-Team', 'Billing', 'authorization', 'Bearer abc'];
    expect(format.headers(message, format.body(message), keys, stamp, extra).slice(-4)).toEqual(extra);
  });

  it.each(presetNames)('%s refuses to send without a signature', (name) => {
    const format = compileWireFormat(name);
    expect(() => format.headers(message, format.body(message), [], stamp, null)).toThrow(/no live secret/);
  });
});

describe('standard', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'], now: stamp.now }));
  afterEach(() => vi.useRealTimers());

  it('sends the recommended payload and three headers in lower case', () => {
    const { flat, body } = send('standard', [WHSEC]);
    expect(body).toBe(`{"type":"grant.created","timestamp":"2026-01-15T09:30:00.250Z","data":${message.data}}`);
    expect(flat.slice(0, 4)).toEqual(fixed);
    expect(flat.filter((_, i) => i % 2 === 0).slice(2)).toEqual([
      'webhook-id',
      'webhook-timestamp',
      'webhook-signature',
    ]);
    expect(flat[5]).toBe(message.id);
    expect(flat[7]).toBe('1768469401');
  });

  it('verifies with the reference library', () => {
    const { headers, body } = send('standard', [WHSEC]);
    expect(new Webhook(WHSEC).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(WHSEC).verify(`${body} `, headers)).toThrow('No matching signature');
    expect(() => new Webhook(OTHER_WHSEC).verify(body, headers)).toThrow('No matching signature');
  });

  it('verifies with the reference library under either secret while they rotate', () => {
    const { headers, body } = send('standard', [OTHER_WHSEC, WHSEC]);
    expect(headers['webhook-signature']).toMatch(/^v1,[\w+/]{43}= v1,[\w+/]{43}=$/);
    expect(new Webhook(WHSEC).verify(body, headers)).toEqual(JSON.parse(body));
    expect(new Webhook(OTHER_WHSEC).verify(body, headers)).toEqual(JSON.parse(body));
  });

  it('verifies with the reference library beside signatures of other versions and keys', () => {
    const { headers, body } = send('standard', [WHSEC]);
    const { headers: asymmetric } = send('standard-ed25519', [compileWireFormat('standard-ed25519').newSecret()]);
    const { headers: other } = send('standard', [OTHER_WHSEC]);
    const signature = [asymmetric, other, headers].map((from) => from['webhook-signature']).join(' ');
    const several = { ...headers, 'webhook-signature': `v2,c2lnbmF0dXJl ${signature}` };
    expect(new Webhook(WHSEC).verify(body, several)).toEqual(JSON.parse(body));
  });

  it('verifies with the reference library when the id is not ASCII', () => {
    const { headers, body } = send('standard', [WHSEC], { id: ' bestellung-№7\r\nx: y' });
    expect(headers['webhook-id']).toBe('%20bestellung-%E2%84%967%0D%0Ax: y');
    expect(new Webhook(WHSEC).verify(body, headers)).toEqual(JSON.parse(body));
  });

  it('gives the signature of the public test vector', () => {
    const format = compileWireFormat('standard');
    const sent = { ...message, id: 'msg_p5jXN8AQM9LWM0D4loKWxJek' };
    const body = Buffer.from('{"test": 2432232314}');
    const flat = format.headers(sent, body, [format.key(WHSEC)], { ...stamp, now: 1614265330_000 }, null);
    expect(byName(flat)['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });
});

describe('grantex', () => {
  it('sends its envelope and both signatures in its letter case', () => {
    const { flat, body } = send('grantex', [secret]);
    expect(body).toBe(
      `{"id":"${message.id}","type":"grant.created","createdAt":"2026-01-15T09:30:00.250Z","data":${message.data}}`,
    );
    expect(flat).toEqual([
      ...fixed,
      ...['X-Grantex-Timestamp', '1768469401'],
      ...['X-Grantex-Signature', `sha256=${hexHmac(secret, body)}`],
      ...['X-Grantex-Signature-V2', `sha256=${hexHmac(secret, `1768469401.${body}`)}`],
    ]);
  });

  it('uses the secret as UTF-8 text, a whsec_ one too', () => {
    const { headers, body } = send('grantex', [WHSEC]);
    expect(headers['X-Grantex-Signature']).toBe(`sha256=${hexHmac(Buffer.from(WHSEC, 'utf8'), body)}`);
    const cyrillic = send('grantex', ['секрет']);
    expect(cyrillic.headers['X-Grantex-Signature']).toBe(`sha256=${hexHmac(Buffer.from('секрет'), cyrillic.body)}`);
  });
});

describe('grantiva', () => {
  it('sends its envelope, event and delivery headers in its letter case', () => {
    const { flat, body } = send('grantiva', [secret]);
    expect(body).toBe(`{"event":"grant.created","timestamp":"2026-01-15T09:30:00Z","data":${message.data}}`);
    expect(flat).toEqual([
      ...fixed,
      ...['X-Grantiva-Event', 'grant.created'],
      ...['X-Grantiva-Delivery', '019bc1f3-c887-78a8-9e5c-633512a14000'],
      ...['X-Grantiva-Signature', `sha256=${hexHmac(secret, body)}`],
    ]);
  });

  it('verifies for a receiver that hashes the JSON it parsed and wrote again', () => {
    const data = '{ "b": 1.0,\n "a": "\\u00e9\\ud83e\\udd8a \\/", "1": [ ], "big": 12345678901234567890 }';
    const { headers, body } = send('grantiva', [secret], { data });
    const rewritten = JSON.stringify(JSON.parse(body));
    expect(headers['X-Grantiva-Signature']).toBe(`sha256=${hexHmac(secret, rewritten)}`);
    expect(body).toContain('"data":{"1":[],"b":1,"a":"é🦊 /","big":12345678901234567000}');
  });
});

describe('gravv', () => {
  it('sends its envelope and a bare hex signature', () => {
    const { flat, body } = send('gravv', [secret], { group: 'customer "7"' });
    expect(body).toBe(
      `{"event_id":"${message.uuid}","tenant_id":"acme","timestamp":"2026-01-15T09:30:00.250Z","event_data":${message.data},` +
        '"event_type":"grant.created","event_category":"grant","event_group_id":"customer \\"7\\""}',
    );
    expect(flat).toEqual([...fixed, 'X-Gravv-Signature', hexHmac(secret, body)]);
  });

  it('takes the category given, and the whole type where it has one segment', () => {
    expect(send('gravv', [secret], { category: 'billing' }).body).toContain('"event_category":"billing"');
    expect(send('gravv', [secret], { type: 'ping' }).body).toContain('"event_category":"ping"');
    expect(send('gravv', [secret]).body).toContain('"event_group_id":null');
  });
});

describe('lexigram', () => {
  it('sends the payload alone and four headers in its letter case', () => {
    const { flat, body } = send('lexigram', [secret]);
    expect(body).toBe(message.data);
    expect(flat).toEqual([
      ...fixed,
      ...['X-Webhook-Event-Type', 'grant.created'],
      ...['X-Webhook-Event-ID', message.id],
      ...['X-Webhook-Timestamp', '2026-01-15T09:30:01.500Z'],
      ...['X-Webhook-Signature', `sha256=${hexHmac(secret, message.data)}`],
    ]);
  });

  it('takes out white space between tokens and changes no token', () => {
    const data = ' { "a b" : [ 1.0 , 12345678901234567890 ,\r\n\t"x \\" : y\\\\" ] , "" : { } } ';
    expect(send('lexigram', [secret], { data }).body).toBe('{"a b":[1.0,12345678901234567890,"x \\" : y\\\\"],"":{}}');
  });

  it('minifies a payload of a quarter of a megabyte', () => {
    const data = JSON.stringify({ text: 'a "quoted" \\ word '.repeat(15_000) }, null, 2);
    expect(send('lexigram', [secret], { data }).body).toBe(JSON.stringify(JSON.parse(data)));
  });
});
