import { request } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResponseReader } from '../../src/transport/response.ts';
import type { ResponseHead } from '../../src/transport/response.ts';
import { receive } from './receiver.ts';
import { makeSender, send } from './sending.ts';

interface Reading {
  head: ResponseHead | null;
  body: string;
  isDone: boolean;
  isPersistent: boolean;
  malformed: string | null;
}

/** Reads pieces as they would come from a socket; `ends`: and then the connection is at its end. */
function read(pieces: readonly string[], ends = false): Reading {
  const reader = new ResponseReader();
  const reading: Reading = { head: null, body: '', isDone: false, isPersistent: false, malformed: null };
  reader.begin({
    onHead: (head) => (reading.head = head),
    onBody: (bytes, start, end) => (reading.body += bytes.toString('latin1', start, end)),
  });
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1');
    reading.malformed = reader.read(bytes, bytes.length);
    if (reading.malformed !== null) break;
  }
  if (ends && reading.malformed === null) reader.end();
  reading.isDone = reader.isDone;
  reading.isPersistent = reader.isPersistent;
  return reading;
}

const whole = {
  length: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b \t\r\n\r\nhello',
  chunks:
    'HTTP/1.1 202 Accepted\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3;a="b;c"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n',
  hints: 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200\r\ncontent-length:2\r\nRETRY-AFTER: 7\r\n\r\nok',
  nothing: 'HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n',
  bare: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
};

describe('a response', () => {
  it.each(Object.entries(whole))('%s is the same wherever it is cut', (_name, text) => {
    const once = read([text]);
    expect(once).toMatchObject({ isDone: true, isPersistent: true, malformed: null });
    for (let cut = 1; cut < text.length; cut++) {
      expect(read([text.slice(0, cut)]), `before ${cut}`).toMatchObject({ isDone: false, malformed: null });
      expect(read([text.slice(0, cut), text.slice(cut)]), `at ${cut}`).toEqual(once);
    }
    expect(read([...text])).toEqual(once);
  });

  it('has its headers as they came, without the blanks around them', () => {
    expect(read([whole.length])).toMatchObject({
      head: { statusCode: 200, headers: ['Content-Length', '5', 'X-A', 'b'], retryAfter: null },
      body: 'hello',
    });
    expect(read([whole.hints])).toMatchObject({ head: { statusCode: 200, retryAfter: '7' }, body: 'ok' });
    expect(read([whole.chunks])).toMatchObject({ head: { statusCode: 202 }, body: 'abc0123456789' });
    expect(read([whole.nothing])).toMatchObject({ head: { statusCode: 204 }, body: '' });
  });

  it('without a length goes on to the end of the connection, which is then of no more use', () => {
    const text = 'HTTP/1.1 200 OK\r\n\r\nto the';
    expect(read([text, ' end'])).toMatchObject({ isDone: false, body: 'to the end' });
    expect(read([text, ' end'], true)).toMatchObject({ isDone: true, isPersistent: false, body: 'to the end' });
    const gzip = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n';
    expect(read([gzip])).toMatchObject({ isDone: false, body: '0\r\n\r\n' });
  });

  it.each([
    ['says close', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, Close\r\n\r\n'],
    ['is of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['is followed by more', `${whole.bare}x`],
    ['is followed by another', whole.bare + whole.bare],
  ])('ends the connection where it %s', (_title, text) => {
    expect(read([text])).toMatchObject({ isDone: true, isPersistent: false, malformed: null });
  });

  it('says for how long the server keeps the connection', () => {
    const reader = new ResponseReader();
    const hint = (line: string): number | null => {
      reader.begin({ onHead: () => undefined, onBody: () => undefined });
      const bytes = Buffer.from(`HTTP/1.1 204 No\r\n${line}\r\n`);
      reader.read(bytes, bytes.length);
      return reader.keepAliveSeconds;
    };
    expect(hint('Keep-Alive: max=100, timeout=15\r\n')).toBe(15);
    expect(hint('keep-alive: max=100\r\n')).toBeNull();
    expect(hint('')).toBeNull();
  });
});

describe('bytes that are no response', () => {
  const head = 'HTTP/1.1 200 OK\r\n';
  const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;
  it.each<[string, string, string]>([
    ['another protocol', 'SSH-2.0-OpenSSH\r\n', 'not HTTP/1.1: "SSH-2.0-OpenSSH\\r\\n"'],
    ['another protocol, at its first byte', '\u0016', 'not HTTP/1.1'],
    ['another version', 'HTTP/1.2 200 OK\r\n\r\n', 'not a status line'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'not a status line'],
    ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n', 'not a status line'],
    ['two blanks before the status', 'HTTP/1.1  200 OK\r\n\r\n', 'not a status line'],
    ['a control in the reason', 'HTTP/1.1 200 O\u0000K\r\n\r\n', 'not a status line'],
    ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n', 'CR LF'],
    ['one bare line feed', `${head}A: b\nContent-Length: 0\r\n\r\n`, 'a control character in header A'],
    ['a bare carriage return', `${head}A: b\rc\r\n\r\n`, 'a control character in header A'],
    ['a folded line', `${head}A: b\r\n c\r\n\r\n`, 'not a header: " c"'],
    ['a blank before the colon', `${head}Content-Length : 0\r\n\r\n`, 'not a header'],
    ['a header without a colon', `${head}A\r\nB: c\r\n\r\n`, 'not a header: "A"'],
    ['a header without a name', `${head}: x\r\n\r\n`, 'not a header'],
    ['a null in a value', `${head}A: \u0000\r\n\r\n`, 'a control character in header A'],
    ['the same length twice', `${head}Content-Length: 1\r\ncontent-length: 1\r\n\r\na`, 'more than one Content-Length'],
    ['two lengths in one', `${head}Content-Length: 1, 1\r\n\r\na`, 'a Content-Length that is no number: "1, 1"'],
    ['a length with a sign', `${head}Content-Length: +1\r\n\r\na`, 'a Content-Length that is no number'],
    ['a negative length', `${head}Content-Length: -1\r\n\r\na`, 'a Content-Length that is no number'],
    ['a length in hex', `${head}Content-Length: 0x1\r\n\r\na`, 'a Content-Length that is no number'],
    ['a length without end', `${head}Content-Length: ${'9'.repeat(400)}\r\n\r\n`, 'a Content-Length that is no number'],
    ['no length', `${head}Content-Length:\r\n\r\n`, 'a Content-Length that is no number: ""'],
    [
      'length and chunks',
      `${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      'beside a Transfer-Encoding',
    ],
    ['no coding', `${head}Transfer-Encoding:\r\n\r\n`, 'a Transfer-Encoding that is none: ""'],
    ['a coding that is no name', `${head}Transfer-Encoding: chunked,\r\n\r\n`, 'a Transfer-Encoding that is none'],
    ['a chunk size that is no number', `${chunked}zz\r\n`, 'not the size of a chunk: "zz"'],
    ['a chunk size with a sign', `${chunked}-1\r\n`, 'not the size of a chunk'],
    ['a chunk size with a blank behind it', `${chunked}1 \r\na\r\n`, 'not the size of a chunk: "1 "'],
    ['an extension without a name', `${chunked}1;\r\na\r\n`, 'not the size of a chunk: "1;"'],
    ['an extension without its end', `${chunked}1;a="b\r\na\r\n`, 'not the size of a chunk'],
    ['a trailer without a colon', `${chunked}0\r\nA\r\n\r\n`, 'not a trailer: "A"'],
    ['a chunk behind the last one', `${chunked}0\r\n1\r\na\r\n0\r\n\r\n`, 'not a trailer: "1"'],
    ['a folded trailer', `${chunked}0\r\nA: b\r\n c\r\n\r\n`, 'not a trailer: " c"'],
    ['a chunk without a size', `${chunked};a\r\n`, 'not the size of a chunk'],
    ['an endless chunk size', `${chunked}${'f'.repeat(13)}\r\n`, 'not the size of a chunk'],
    ['a chunk size with a bare line feed', `${chunked}1\na\r\n`, 'not a line of a chunked body'],
    ['a chunk longer than its size', `${chunked}1\r\nab\r\n`, 'a chunk longer than its size: "b"'],
    ['an endless extension', `${chunked}1;${'x'.repeat(5_000)}`, 'a line of more than 4096 bytes'],
    ['a control in an extension', `${chunked}1;\u0001\r\n`, 'not a line of a chunked body'],
    ['a 101', 'HTTP/1.1 101 Switching\r\n\r\n', 'a 101 that nobody asked for'],
    ['a 100', 'HTTP/1.1 100 Continue\r\n\r\n', 'a 100 that nobody asked for'],
    ['nine early hints', 'HTTP/1.1 103 Hints\r\n\r\n'.repeat(9), 'more than 8 responses of the 1xx kind'],
    ['a head without end', `${head}A: ${'a'.repeat(17_000)}`, 'a response head larger than 16384 bytes'],
    ['a head too large', `${head}A: ${'a'.repeat(17_000)}\r\n\r\n`, 'a response head larger than 16384 bytes'],
    ['framing without end', chunked + `1\r\na\r\n`.repeat(30_000), 'a response larger than 131072 bytes'],
    ['trailers without end', `${chunked}0\r\n${'A: b\r\n'.repeat(30_000)}`, 'a response larger than 131072 bytes'],
  ])('%s', (_title, text, why) => {
    expect(read([text]).malformed).toContain(why);
    const pieces = text.match(/[^]{1,1500}/g)!;
    expect(read(pieces).malformed).toContain(why);
  });
});

describe("beside Node's own client", () => {
  const pick = (...texts: string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
  const blank = pick('', ' ', '\t', '  ');
  const junk = fc.string({ unit: pick('a', ' ', '\t', '\r', '\n', '\u0000', ':', '0', 'é', ';', ','), maxLength: 3 });
  const status = pick(
    '200 OK',
    '204 No Content',
    '304 Not Modified',
    '500',
    '404 ',
    '200 é',
    '99 x',
    '1000 x',
    '103 Hints',
    'abc',
  );
  const version = fc.oneof(
    { weight: 9, arbitrary: pick('HTTP/1.1', 'HTTP/1.0') },
    pick('HTTP/2.0', 'http/1.1', 'HTTP/1.1 '),
  );
  const lineEnd = fc.oneof({ weight: 20, arbitrary: pick('\r\n') }, pick('\n', '\r'));
  const header = fc
    .tuple(
      pick(
        'Content-Length',
        'content-length',
        'Transfer-Encoding',
        'Connection',
        'X-A',
        'X A',
        '',
        'Retry-After',
        ' X',
      ),
      fc.oneof(blank, junk),
      fc.oneof(
        pick('0', '2', '5', '05', '+2', '2, 2', 'chunked', 'gzip, chunked', 'chunked, gzip', 'close', 'b'),
        junk,
      ),
      pick('', ' '), // no tab: Node takes one behind a coding for a part of its name
      lineEnd,
    )
    .map(([name, before, value, after, end]) => `${name}:${before}${value}${after}${end}`);
  const body = fc.oneof(
    pick(
      '',
      'ok',
      'hello',
      'hello and more',
      '0\r\n\r\n',
      '2\r\nok\r\n0\r\n\r\n',
      '2;x\r\nok\r\n0\r\nA: b\r\n\r\n',
      '5\r\nhel',
    ),
    fc
      .tuple(
        pick('2', '02', '2 ', 'g', ''),
        lineEnd,
        pick('ok', 'o', 'okk'),
        lineEnd,
        pick('0', '00', ''),
        lineEnd,
        lineEnd,
      )
      .map((all) => all.join('')),
  );
  const response = fc
    .tuple(version, blank, status, lineEnd, fc.array(header, { maxLength: 4 }), lineEnd, body)
    .map(
      ([v, between, s, end, headers, last, rest]) =>
        `${v}${between === '' ? ' ' : between}${s}${end}${headers.join('')}${last}${rest}`,
    );

  /** Where the response ends. */
  function lengthOf(text: string): number {
    const cut = Array.from(text, (_, i) => i + 1).find((end) => read([text.slice(0, end)]).isDone);
    return cut ?? text.length;
  }

  /** What Node's client makes of the bytes that this URL answers with; null where it takes offence. */
  function byNode(url: string): Promise<object | null> {
    return new Promise((resolve) => {
      const asked = request(url, { method: 'POST', agent: false }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => void chunks.push(chunk));
        answer.on('end', () => {
          const { complete, statusCode, rawHeaders: headers } = answer;
          resolve(complete ? { statusCode, headers, body: Buffer.concat(chunks).toString() } : null);
        });
        answer.on('error', () => resolve(null));
      });
      asked.on('error', () => resolve(null)).on('upgrade', () => resolve(null));
      asked.end('{}');
    });
  }

  it('takes nothing that Node refuses, and reads nothing in another way', { timeout: 60_000 }, async () => {
    let bytes = '';
    const receiver = await receive((socket) => void socket.end(bytes, 'latin1'));
    const sender = makeSender();
    let taken = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(response, async (text) => {
        bytes = text;
        const ours = await send(sender, receiver.url());
        if (ours.reason !== null) {
          refused++;
          return;
        }
        taken++;
        bytes = text.slice(0, lengthOf(text)); // what follows, nobody asked for: it costs the connection, not the response
        const { statusCode, responseHeaders: headers, responseBody } = ours;
        expect({ statusCode, headers, body: responseBody ?? '' }).toEqual(await byNode(receiver.url()));
      }),
      { numRuns: Number(process.env.POSTHORN_TEST_RUNS ?? 2_000) },
    );
    expect(taken).toBeGreaterThan(100); // else the property says nothing
    expect(refused).toBeGreaterThan(100);
  });
});
