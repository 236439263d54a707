import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerLines } from '../../src/transport/headers.ts';
import { development } from '../transport/policies.ts';
import { ok, receive } from '../transport/receiver.ts';
import type { Receiver } from '../transport/receiver.ts';
import { makeSender, send } from '../transport/sending.ts';
import { createGuard } from '../../src/transport/url.ts';
import { Targets } from '../../src/transport/targets.ts';

const own = ['Host', 'hOST', 'content-length', 'Transfer-Encoding', 'Connection', 'Expect', 'TE', 'Trailer', 'Upgrade'];

describe('a header that could steer or split the request', () => {
  const oddNames = [
    '',
    ' ',
    'A B',
    'A:',
    ':',
    'A\r\nHost: x',
    'A\n',
    'Ä',
    'a\u0000',
    'a\u017f',
    '\uff21',
    'x\t',
    '"x"',
  ];
  it.each([...own, ...oddNames])('is not sent, and nothing else is: name %j', async (name) => {
    const receiver = await receive(ok);
    const sender = makeSender();
    for (let times = 0; times < 2; times++) {
      const exchange = await send(sender, receiver.url(), { headers: ['X-A', 'b', name, 'c'] });
      expect(exchange).toMatchObject({ statusCode: null, reason: 'cancelled' });
    }
    expect(receiver.connections).toBe(0);
  });

  const oddValues = [
    'a\r\nHost: x',
    'a\n',
    '\r',
    '\u0000',
    'a\u0001',
    '\u007f',
    '\u0100',
    '\u010d\u010a',
    '😀',
    '\ud800',
  ];
  it.each([...oddValues, '\u560d\u560a', '\u2028'])('is not sent, and nothing else is: value %j', async (value) => {
    const receiver = await receive(ok);
    const exchange = await send(makeSender(), receiver.url(), { headers: ['X-A', value] });
    expect(exchange).toMatchObject({ statusCode: null, reason: 'cancelled' });
    expect(receiver.connections).toBe(0);
  });

  it('is refused or stays one line, whatever its name and value', () => {
    const anything = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('a\r\nb: c', 'host', 'x-a'));
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 6 }), (flat) => {
        const headers = flat.length % 2 === 0 ? flat : flat.slice(1);
        const lines = headerLines(headers, 7);
        if (typeof lines !== 'string') return;
        expect(lines).toMatch(/^[\t\x20-\x7e\x80-\xff\r\n]*$/);
        const all = lines.split('\r\n');
        expect(all.slice(-4)).toEqual(['accept-encoding: identity', 'content-length: 7', '', '']);
        const pairs = Array.from({ length: headers.length / 2 }, (_, i) => `${headers[2 * i]}: ${headers[2 * i + 1]}`);
        expect(all.slice(0, -4)).toEqual(pairs);
        expect(lines.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
      }),
      { numRuns: 3_000 },
    );
  });

  it('is judged alike at its second time', () => {
    for (let times = 0; times < 2; times++) {
      expect(headerLines(['X-Fine', 'a'], 0)).toContain('X-Fine: a\r\n');
      expect(headerLines(['Host', 'a'], 0)).toEqual({ wrong: 'header Host may not be set on a request' });
    }
  });
});

describe('a header with every octet of Latin-1 that may be sent', () => {
  it('reaches the wire as those octets', async () => {
    const receiver = await receive(ok);
    const value = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
      .filter((char) => /[\t\x20-\x7e\x80-\xff]/.test(char))
      .join('');
    const body = Buffer.from('{"é":1}');
    expect(await send(makeSender(), receiver.url(), { headers: ['X-A', `<${value}>`], body })).toMatchObject({
      statusCode: 200,
    });
    const [request] = receiver.requests;
    expect(request?.head).toContain(`X-A: <${value}>\r\n`);
    expect(request?.body).toBe(body.toString('latin1'));
  });
});

describe('the first lines of a request', () => {
  const first = ({ requests }: Receiver): string[] => requests[0]!.head.split('\r\n').slice(0, 2);

  it.each([
    ['', '/'],
    ['/', '/'],
    ['?a=b', '/?a=b'],
    ['/a/../b', '/b'],
    ['/%2e%2E/%2f', '/%2f'],
    ['/é?ü=😀#x', '/%C3%A9?%C3%BC=%F0%9F%98%80'],
    ['/a"<>`{}|', '/a%22%3C%3E%60%7B%7D|'],
    ['/?a=\'"<>|`{}', '/?a=%27%22%3C%3E|`{}'],
    ['/\ud800', '/%EF%BF%BD'],
    ['//x', '//x'],
    ['/*', '/*'],
    ['/;a=b,c@d:e', '/;a=b,c@d:e'],
    ['/\u2028\u0085', '/%E2%80%A8%C2%85'],
    ['/HTTP/1.1%20x', '/HTTP/1.1%20x'],
  ])('have %j as %j', async (path, written) => {
    const receiver = await receive(ok);
    expect(await send(makeSender(), receiver.url(path))).toMatchObject({ statusCode: 200 });
    expect(first(receiver)).toEqual([`POST ${written} HTTP/1.1`, `host: 127.0.0.1:${receiver.port}`]);
  });

  it.each([
    ['http://hooks.example.com/', 'hooks.example.com'],
    ['http://hooks.example.com:80/', 'hooks.example.com'],
    ['https://hooks.example.com:443/', 'hooks.example.com'],
    ['https://hooks.example.com:80/', 'hooks.example.com:80'],
    ['https://HOOKS.example.com.:8443/', 'hooks.example.com:8443'],
    ['https://bücher.example/', 'xn--bcher-kva.example'],
    ['http://[::1]:8080/', '[::1]:8080'],
    ['http://[0:0::1]:80/', '[::1]'],
    ['http://0x7f.1/', '127.0.0.1'],
  ])('of %s name %s as Host', (url, host) => {
    const target = new Targets(createGuard(development)).find(url);
    expect('opening' in target && target.opening).toBe(
      `POST / HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`,
    );
  });

  it('are ASCII and two whole lines, whatever the URL', () => {
    const targets = new Targets(createGuard(development));
    const odd = fc.string({
      unit: fc.oneof(fc.constantFrom(...'\r\n\t %0dDaA#?/\\@:[].'), fc.string({ unit: 'binary', maxLength: 1 })),
    });
    let taken = 0;
    fc.assert(
      fc.property(fc.constantFrom('a.example', '127.0.0.1', '[::1]', ''), odd, odd, (host, middle, rest) => {
        const target = targets.find(`http://${host}${middle}/${rest}`);
        if ('refused' in target) return;
        taken++;
        expect(target.opening).toMatch(/^POST \/[!-~]* HTTP\/1\.1\r\nhost: [!-~]+\r\nconnection: keep-alive\r\n$/);
      }),
      { numRuns: 3_000 },
    );
    expect(taken).toBeGreaterThan(200); // else the property says nothing
  });

  it('go to an IPv6 literal in brackets', async () => {
    const receiver = await receive(ok, { host: '::1' });
    const exchange = await send(makeSender(), `http://[::1]:${receiver.port}/x`);
    expect(exchange).toMatchObject({ statusCode: 200, remoteAddress: '::1' });
    expect(first(receiver)).toEqual(['POST /x HTTP/1.1', `host: [::1]:${receiver.port}`]);
  });
});
