import { describe, expect, test } from 'vitest';
import { renderTable } from '../../src/cli/table.ts';
import type { Column } from '../../src/cli/table.ts';

interface Row {
  id: string;
  url: string;
  note: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'URL', text: ({ url }) => url, min: 8 },
  { title: 'NOTE', text: ({ note }) => note, dropOrder: 1 },
];
const rows: Row[] = [
  { id: 'a', url: 'https://example.com/long', note: 'first' },
  { id: 'bcd', url: 'short', note: 'x' },
];

describe('a table', () => {
  test('is as wide as its text where there is room', () => {
    expect(renderTable(rows, columns, null)).toEqual([
      'ID   URL                       NOTE',
      'a    https://example.com/long  first',
      'bcd  short                     x',
    ]);
  });

  test('shrinks columns that may be cut', () => {
    const lines = renderTable(rows, columns, 30);
    expect(lines[1]).toBe('a    https://example.c…  first');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(30);
  });

  test('drops columns where shrinking is not enough, and gives their room to the others', () => {
    expect(renderTable(rows, columns, 16)).toEqual(['ID   URL', 'a    https://ex…', 'bcd  short']);
  });

  test('is cut where nothing can be dropped', () => {
    expect(renderTable(rows, columns, 6)).toEqual(['ID   …', 'a    …', 'bcd  …']);
  });
});
