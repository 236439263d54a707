import { plain } from './terminal.ts';

export interface Column<Row> {
  title: string;
  text(row: Row): string;
  /** The fewest characters it is still worth showing in; absent = it is shown whole or not at all. */
  min?: number;
  /** Where room is short, columns go in this order, 1 first; absent = it always stays. */
  dropOrder?: number;
}

const GAP = '  ';

/**
 * Lays rows out in columns, titles first. Where `width` (characters; null = no limit) is too small, columns with `min`
 * shrink, then those with `dropOrder` go, and at last the lines are cut.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number | null,
): string[] {
  const cells = columns.map((column) => [column.title, ...rows.map((row) => plain(column.text(row)))]);
  let shown = columns.map((column, index) => ({
    column,
    cells: cells[index]!,
    width: Math.max(...cells[index]!.map((text) => text.length)),
  }));
  const excess = (): number =>
    width === null ? 0 : shown.reduce((sum, { width: own }) => sum + own + GAP.length, -GAP.length) - width;

  while (excess() > 0) {
    const shrinkable = shown.filter(({ column, width: own }) => column.min !== undefined && own > column.min);
    const widest = shrinkable.sort((a, b) => b.width - a.width)[0];
    if (widest !== undefined) {
      widest.width--;
      continue;
    }
    const first = shown.filter(({ column }) => column.dropOrder !== undefined);
    const least = first.sort((a, b) => a.column.dropOrder! - b.column.dropOrder!)[0];
    if (least === undefined) break;
    shown = shown.filter((one) => one !== least);
    // The room it leaves goes back to those that shrank for it.
    for (const one of shown) one.width = Math.max(...one.cells.map((text) => text.length));
  }

  return Array.from({ length: rows.length + 1 }, (_, line) =>
    cut(
      shown
        .map((one) => cut(one.cells[line]!, one.width).padEnd(one.width))
        .join(GAP)
        .trimEnd(),
      width,
    ),
  );
}

function cut(text: string, width: number | null): string {
  return width === null || text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
