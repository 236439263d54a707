import { request } from 'node:http';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResponseReader } from '../../src/transport/response.ts';
import type { ResponseHead } from '../../src/transport/response.ts';

interface Reading {
  head: ResponseHead | null;
  body: string;
  /** Also without the end of the connection. */
  endsItself: boolean;
  isDone: boolean;
  isPersistent: boolean;
  isMalformed: boolean;
}

/** Reads pieces as from a socket that closes behind them. */
function read(pieces: readonly string[]): Reading {
  const reader = new ResponseReader();
  const reading: Reading = {
    head: null,
    body: '',
    endsItself: false,
    isDone: false,
    isPersistent: false,
    isMalformed: false,
  };
  reader.begin({
    onHead: (head) => (reading.head = head),
    onBody: (bytes, start, end) => (reading.body += bytes.toString('latin1', start, end)),
  });
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1');
    reading.isMalformed = reader.read(bytes, bytes.length) !== null;
    if (reading.isMalformed) return reading;
  }
  reading.isPersistent = reader.isPersistent;
  reading.endsItself = reader.isDone;
  reading.isDone = reader.end();
  return reading;
}

/** What Node's own client makes of them; null where it takes offence. */
function readByNode(text: string): Promise<{ head: object; body: string } | null> {
  return new Promise((resolve) => {
    const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const asked = request({ method: 'POST', createConnection: () => socket }, (answer) => {
      let body = '';
      answer.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
      answer.on('error', () => resolve(null));
      answer.on('close', () => {
        const head = { statusCode: answer.statusCode, headers: answer.rawHeaders };
        resolve(answer.complete ? { head, body } : null);
      });
    });
    asked.on('error', () => resolve(null)).on('upgrade', () => resolve(null));
    asked.end('{}', () => {
      socket.push(Buffer.from(text, 'latin1'));
      socket.push(null);
    });
  });
}

const some = (...texts: string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
const mostly = (usual: string, ...odd: string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, some(...odd));

const lineEnd = mostly('\r\n', '\n', '\r', '\r\r\n', ' \r\n', '');
const status = fc
  .tuple(mostly('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.10', 'HTTP/01.1', ' HTTP/1.1', '\r\nHTTP/1.1'), mostly(' ', '  ', '\t'))
  .chain((parts) =>
    fc
      .tuple(mostly('200 OK', '204 No', '304 No', '199 x', '205 Reset', '2000', '+20 x', '200', '200\tOK'), lineEnd)
      .map((rest) => [...parts, ...rest].join('')),
  );
const coding = some(
  'chunked',
  'CHUNKED',
  'chunked, chunked',
  'gzip,chunked',
  'chunked,identity',
  'identity',
  'xchunked',
  'chunkedx',
  'chunked;a=b',
  '"chunked"',
  ',chunked',
  'chunked,,',
  'chunked ',
  '\u000bchunked',
);
const length = some('2', '02', '0', '5', '18446744073709551616', '2,2', ' 2 ', '2 2', '0x2', '-0', '2;', '\u00b2', '');
const header = fc.oneof(
  fc.tuple(some('Transfer-Encoding', 'transfer-encoding', 'Transfer-Encoding ', 'Transfer_Encoding'), coding),
  fc.tuple(some('Content-Length', 'CONTENT-LENGTH', 'Content-Length\t', 'Content_Length'), length),
  fc.tuple(some('Connection', 'Keep-Alive'), some('close', 'keep-alive', 'timeout=7', 'x, close', 'upgrade')),
  fc.tuple(
    some('X-A', 'x!#$%', 'x(', 'x\u0000', '\u00e9', ''),
    some('', ' ', '\u00e9\u0080', 'a\tb', 'a\u0000', ':', '"'),
  ),
);
const lines = fc.array(
  fc
    .tuple(header, mostly(': ', ':', ':\t', ' : ', '', ':\r\n '), lineEnd)
    .map(([[n, v], colon, end]) => n + colon + v + end),
  { maxLength: 3 },
);
const chunk = fc
  .tuple(
    mostly(
      '2',
      '02',
      '000000000002',
      '2 ',
      ' 2',
      '+2',
      '0x2',
      '2\t',
      '2;a',
      '2 ;a="b"',
      '2;\u0000',
      '2;a="\\"c"',
      '2;a="\u00e9"',
      '2;a="";b=c',
      '2;a=',
      'g',
      '',
      '-2',
      '3',
    ),
    lineEnd,
    mostly('ok', 'o', 'ok\r', '\r\n'),
    lineEnd,
  )
  .map((parts) => parts.join(''));
const chunks = fc
  .tuple(
    fc.array(chunk, { maxLength: 2 }),
    mostly('0', '00', '0;a', '0 '),
    lineEnd,
    some('', 'A: b\r\n', 'A\r\n'),
    lineEnd,
  )
  .map(([all, last, end, trailer, blank]) => all.join('') + last + end + trailer + blank);
const body = fc.oneof(chunks, some('', 'ok', 'hello', 'ok and more'));
const response = fc
  .tuple(
    fc.array(some('HTTP/1.1 103 x\r\n\r\n', 'HTTP/1.1 102 x\r\nA: b\r\n\r\n'), { maxLength: 1 }),
    status,
    lines,
    lineEnd,
    body,
  )
  .map(([hints, first, headers, blank, rest]) => hints.join('') + first + headers.join('') + blank + rest);

describe('an odd response', () => {
  it('is read alike, or refused, wherever it is cut', () => {
    let taken = 0;
    fc.assert(
      fc.property(response, fc.array(fc.nat(120), { maxLength: 6 }), (text, cuts) => {
        const once = read([text]);
        const edges = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
        const pieces = edges.slice(1).map((edge, i) => text.slice(edges[i], edge));
        for (const reading of [read(pieces), read([...text])]) {
          expect(reading.isMalformed).toBe(once.isMalformed);
          if (!once.isMalformed) expect(reading).toEqual(once);
        }
        if (once.isDone) taken++;
      }),
      { numRuns: Number(process.env.POSTHORN_TEST_RUNS ?? 6_000) },
    );
    expect(taken).toBeGreaterThan(500); // else the property says nothing
  });

  it('that is taken is one that Node takes, and reads alike', { timeout: 600_000 }, async () => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(response, async (text) => {
        const ours = read([text]);
        if (ours.isMalformed || !ours.isDone) return;
        taken++;
        // What stands behind a response, nobody asked for; Node may take offence at it.
        const end = Array.from(text, (_, i) => i + 1).find((cut) => read([text.slice(0, cut)]).endsItself);
        const node = await readByNode(text.slice(0, end ?? text.length));
        const { statusCode, headers } = ours.head!;
        expect(node, JSON.stringify(text)).toEqual({ head: { statusCode, headers }, body: ours.body });
      }),
      { numRuns: Number(process.env.POSTHORN_TEST_RUNS ?? 6_000) },
    );
    expect(taken).toBeGreaterThan(500);
  });

  it('costs little, dripped byte by byte', () => {
    const reader = new ResponseReader();
    reader.begin({ onHead: () => undefined, onBody: () => undefined });
    const text = `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(2_040)}`;
    const before = process.cpuUsage();
    const byte = Buffer.alloc(1);
    for (const char of text) {
      byte[0] = char.charCodeAt(0);
      expect(reader.read(byte, 1)).toBeNull();
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(2_000); // ms; some 50 of the reader's own
  });
});
