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
 * Lays rows out in columns, titles first. Where `width` (characters; null = no limit) is too small, columns with
 * `dropOrder` that are empty in every row go, then those with `min` shrink, then others with `dropOrder` go, and at last
 * the lines are cut.
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

  const droppable = shown
    .filter(({ column }) => column.dropOrder !== undefined)
    .sort((a, b) => a.column.dropOrder! - b.column.dropOrder!);
  const empty = droppable.filter(({ cells: [, ...texts] }) => texts.every((text) => text === ''));
  const drop = (one: (typeof shown)[number]): void => {
    shown = shown.filter((other) => other !== one);
    droppable.splice(droppable.indexOf(one), 1);
  };

  while (excess() > 0) {
    const useless = empty.shift();
    if (useless !== undefined) {
      drop(useless);
      continue;
    }
    const shrinkable = shown.filter(({ column, width: own }) => column.min !== undefined && own > column.min);
    const widest = shrinkable.sort((a, b) => b.width - a.width)[0];
    if (widest !== undefined) {
      widest.width--;
      continue;
    }
    const [least] = droppable;
    if (least === undefined) break;
    drop(least);
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
