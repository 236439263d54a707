import { describe, expect, it } from 'vitest';
import { checkHeaders, compileWireFormat, presetNames } from '../../src/wire/wire.ts';

const standard = compileWireFormat('standard');
const grantex = compileWireFormat('grantex');

describe("an endpoint's own headers", () => {
  it('may be ordinary ones', () => {
    const headers = {
      Authorization: 'Bearer abc',
      'X-Team': 'Billing, second floor',
      Cookie: 'a=b',
      'x-empty-ish': '0',
    };
    expect(checkHeaders(headers, standard)).toBeNull();
    expect(checkHeaders({}, standard)).toBeNull();
  });

  const forbidden = [
    ...[
      'Host',
      'CONTENT-LENGTH',
      'Transfer-Encoding',
      'connection',
      'Upgrade',
      'TE',
      'Trailer',
      'Expect',
      'Keep-Alive',
    ],
    ...['Proxy-Authorization', 'proxy-connection', 'Content-Type', 'User-Agent', 'Accept-Encoding', 'Content-Encoding'],
  ];
  it.each(forbidden)('may not be %s', (name) => {
    expect(checkHeaders({ [name]: 'x' }, standard)).toMatch(new RegExp(`^"${name}" .*remove it`));
  });

  it.each(presetNames)('may not be one that %s sets itself, in any letter case', (name) => {
    const format = compileWireFormat(name);
    const message = {
      ...{ id: 'evt_1', uuid: 'u', type: 'a.b', data: '{}', occurredAt: 0, tenantId: 't' },
      ...{ category: null, group: null, source: null },
    };
    const stamp = { deliveryId: 'whd_1', deliveryUuid: 'u', attemptNumber: 1, now: 0 };
    const keys = [format.key(format.newSecret()), format.key(format.newSecret())];
    const flat = format.headers(message, format.body(message), keys, stamp, null);
    for (const header of flat.filter((_, i) => i % 2 === 0)) {
      expect(format.reservedHeaders()).toContain(header.toLowerCase());
      expect(checkHeaders({ [header.toUpperCase()]: 'x' }, format)).toMatch(/set by/);
    }
  });

  it('may be what another format sets', () => {
    expect(checkHeaders({ 'X-Grantex-Signature': 'x' }, standard)).toBeNull();
    expect(checkHeaders({ 'X-Grantex-Signature': 'x' }, grantex)).toMatch(/wire format "grantex"/);
  });

  it.each(['', 'a b', 'a:', 'a\r\nb', 'é', 'a\0', '(a)', ':authority'])('may not have the name %j', (name) => {
    expect(checkHeaders({ [name]: 'x' }, standard)).toMatch(/not a header name/);
  });

  it.each(['', ' a', 'a ', 'a\r\nX-B: c', 'a\nb', 'a\0b', 'é', 'a\tb', 'a\x7f'])(
    'may not have the value %j',
    (value) => {
      expect(checkHeaders({ 'X-A': value }, standard)).toMatch(/"X-A" must be visible ASCII/);
    },
  );

  it('may not have a value that is not text', () => {
    expect(checkHeaders({ 'X-A': 1 as never }, standard)).toMatch(/must be visible ASCII/);
  });

  it('may not be there twice in two letter cases', () => {
    expect(checkHeaders({ 'X-A': 'x', 'x-a': 'y' }, standard)).toMatch(/twice/);
  });

  it('are at most 32, and at most 4,096 bytes as written on the wire', () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`X-${i}`, 'x']));
    expect(checkHeaders(many(32), standard)).toBeNull();
    expect(checkHeaders(many(33), standard)).toMatch(/at most 32/);
    expect(checkHeaders({ 'X-A': 'x'.repeat(4096 - 7) }, standard)).toBeNull();
    expect(checkHeaders({ 'X-A': 'x'.repeat(4096 - 6) }, standard)).toMatch(/4097 bytes/);
  });
});
