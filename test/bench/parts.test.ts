import { describe, expect, it } from 'vitest';
import { findingsOf } from '../../bench/findings.ts';
import { Framer } from '../../bench/framing.ts';
import { Histogram } from '../../bench/histogram.ts';
import { MARK_KEY, MARK_MEMBER, readSentAtUs, readSequence, writeMark } from '../../bench/mark.ts';
import { UsageError, isFullRun, parseOptions } from '../../bench/options.ts';
import type { Options } from '../../bench/options.ts';
import { insert } from '../../bench/page.ts';
import type { Results } from '../../bench/results.ts';
import { table } from '../../bench/table.ts';

describe('the histogram', () => {
  it('tells percentiles within 1.6 % of the sorted values, and the exact maximum', () => {
    const histogram = new Histogram();
    const values = Array.from({ length: 20_000 }, (_, i) => Math.floor(Math.exp((i % 997) / 60)));
    for (const value of values) histogram.record(value);
    const sorted = values.toSorted((a, b) => a - b);
    for (const share of [0.1, 0.5, 0.9, 0.99, 0.999]) {
      const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
      expect(Math.abs(histogram.percentileUs(share) - exact)).toBeLessThanOrEqual(exact * 0.016);
    }
    expect(histogram.percentiles().max).toBe(sorted.at(-1)! / 1000);
    expect(histogram.percentiles().count).toBe(values.length);
  });

  it('is exact below 128 µs and says 0 without values', () => {
    const histogram = new Histogram();
    expect(histogram.percentileUs(0.5)).toBe(0);
    for (const value of [5, 127, 3]) histogram.record(value);
    expect([histogram.percentileUs(0.3), histogram.percentileUs(0.6), histogram.percentileUs(1)]).toEqual([3, 5, 127]);
  });
});

describe('the mark', () => {
  it('gives back what was written, from the smallest to the largest number it holds', () => {
    const bytes = Buffer.from(`{${MARK_MEMBER}}`);
    const at = bytes.indexOf(MARK_KEY) + MARK_KEY.length;
    for (const [sequence, sentAtUs] of [
      [0, 0],
      [123_456, 2_081_828_931],
      [9_999_999_999, 9_007_199_254_740_991],
    ] as const) {
      writeMark(bytes, at, sequence, sentAtUs);
      expect([readSequence(bytes, at), readSentAtUs(bytes, at)]).toEqual([sequence, sentAtUs]);
      expect(() => JSON.parse(bytes.toString()) as unknown).not.toThrow();
    }
  });
});

describe('the framer', () => {
  const messages = [
    'POST /hook/1 HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nfirst',
    'HTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 202 Accepted\r\ncontent-encoding: identity\r\ncontent-length:6\r\nx: y\r\n\r\nsecond',
  ];
  const stream = Buffer.from(messages.join(''));

  function cut(pieceBytes: number): string[] {
    const found: string[] = [];
    const framer = new Framer((bytes, start, bodyStart, end) => {
      found.push(`${bytes.toString('latin1', start, bodyStart)}|${bytes.toString('latin1', bodyStart, end)}`);
    });
    const shared = Buffer.alloc(pieceBytes);
    for (let at = 0; at < stream.length; at += pieceBytes) {
      const length = stream.copy(shared, 0, at, at + pieceBytes);
      framer.push(shared.subarray(0, length));
      shared.fill('!');
    }
    return found;
  }

  it('finds the same messages whatever pieces they come in, also when the pieces reuse one buffer', () => {
    const whole = cut(stream.length);
    expect(whole.map((text) => text.split('|')[1])).toEqual(['first', '', 'second']);
    for (let pieceBytes = 1; pieceBytes < stream.length; pieceBytes++) expect(cut(pieceBytes)).toEqual(whole);
  });
});

describe('the command line', () => {
  it('refuses what it does not know, in one line', () => {
    for (const argv of [['--only', 'speed'], ['--seconds', '0'], ['--seconds', 'x'], ['--sped'], ['extra']]) {
      expect(() => parseOptions(argv)).toThrow(UsageError);
    }
  });

  it('calls only a whole run at full length a full run', () => {
    const full = (argv: string[]): boolean => isFullRun(parseOptions(argv) as Options);
    expect(full([])).toBe(true);
    for (const argv of [
      ['--quick'],
      ['--only', 'latency'],
      ['--seconds', '30'],
      ['--history', '1000'],
      ['--profile'],
    ]) {
      expect(full(argv)).toBe(false);
    }
  });
});

describe('the page', () => {
  it('takes numbers between its marks, again and again, and says when the marks are gone', () => {
    const begin = '<!-- numbers: written by bench/page.ts from bench/results/latest.json -->';
    const page = `# Title\n\n${begin}\n\nold\n\n<!-- end of numbers -->\n\ntext\n`;
    const once = insert(page, 'new');
    expect(once).toContain('\n\nnew\n\n');
    expect(once).not.toContain('old');
    expect(insert(once, 'new')).toBe(once);
    expect(() => insert('# Title\n', 'new')).toThrow(/needs the lines/);
  });
});

describe('the findings', () => {
  const results = {
    options: { ratePerSecond: 2000 },
    ceilings: [],
    baseline: [],
    throughput: [],
    latency: null,
    start: null,
    idle: null,
    history: {
      ingestRatio: 0.84,
      claimRatio: 0.99,
      deliveries: 1e6,
      empty: [{ ingestPerSecond: 9, claimPerSecond: 9 }],
    },
    failures: [],
  } as unknown as Results;

  it('says of each target whether it was met', () => {
    const late = { ...results, start: { medianMs: 1001, firstAcceptedMs: [1001] } };
    const verdicts = findingsOf(late).map(({ what, ok }) => [what, ok]);
    expect(verdicts).toEqual([
      ['process start to first 202', false],
      ['ingest rate', false],
      ['claim rate', true],
    ]);
    expect(table(findingsOf(late)).match(/MISSED/g)).toHaveLength(2);
  });
});
