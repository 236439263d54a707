import { describe, expect, test } from 'vitest';
import { deliveryColumns } from '../../src/cli/deliveries.ts';
import { renderTable } from '../../src/cli/table.ts';
import type { Column } from '../../src/cli/table.ts';
import { terminalWidth } from '../../src/cli/terminal.ts';

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

  test('loses columns that are empty in every row before anything else', () => {
    const lines = renderTable(
      rows.map((row) => ({ ...row, note: '' })),
      columns,
      30,
    );
    expect(lines).toEqual(['ID   URL', 'a    https://example.com/long', 'bcd  short']);
  });

  test('is cut where nothing can be dropped', () => {
    expect(renderTable(rows, columns, 6)).toEqual(['ID   …', 'a    …', 'bcd  …']);
  });
});

describe('the list of deliveries on 80 columns', () => {
  const delivery = {
    id: 'whd_01JXYZ4T8Q2M5N7P9R1S3V5000',
    webhookId: 'wh_01JXYZ4T8Q2M5N7P9R1S3V5W7Y',
    eventType: 'order.paid',
    status: 'delivered',
    attempts: 1,
    nextAttemptAt: null,
    lastError: null,
    createdAt: '2026-01-31T12:00:00.000Z',
  };

  test('keeps the time and the type, and drops an error that nothing has', () => {
    const [titles, line] = renderTable([delivery], deliveryColumns, 80);
    expect(titles).toMatch(/^DELIVERY +STATUS +EVENT T\S+ +CREATED$/);
    expect(line).toMatch(/^whd_\w{26} {2}delivered {2}order\.\S+ +2026-01-31 \d{2}:\d{2}:00 \S+$/);
  });

  test('keeps the time and the error of a dead letter', () => {
    const dead = { ...delivery, status: 'dead_letter', lastError: 'connect_refused' };
    const [titles, line] = renderTable([dead], deliveryColumns, 80);
    expect(titles).toMatch(/^DELIVERY +STATUS +LAST \S+ +CREATED$/);
    expect(line).toMatch(/ {2}dead_letter {2}connect\S* {2}2026-01-31 \d{2}:\d{2}:00 \S+$/);
  });
});

test('a terminal that does not know its width, and what is no terminal, sets no limit', () => {
  expect(terminalWidth({ isTTY: true, columns: 80 })).toBe(80);
  expect(terminalWidth({ isTTY: true, columns: 0 })).toBeNull();
  expect(terminalWidth({ isTTY: true })).toBeNull();
  expect(terminalWidth({ isTTY: false, columns: 80 })).toBeNull();
});
