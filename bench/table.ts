import type { Finding } from './findings.ts';

const HEADINGS = ['scenario', 'what', 'measured', 'target', 'beside', ''];
const RIGHT = new Set([2, 3]);

/** The findings as an aligned table for a terminal. */
export function table(findings: readonly Finding[]): string {
  let last = '';
  const rows = findings.map(({ scenario, what, text, target, beside, ok }) => {
    const shown = scenario === last ? '' : scenario;
    last = scenario;
    return [shown, what, text, target ?? '', beside ?? '', verdict(ok)];
  });
  const widths = HEADINGS.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]!.length)));
  const rule = widths.map((width) => '─'.repeat(width));
  return [HEADINGS, rule, ...rows].map((row) => line(row, widths)).join('\n');
}

/** The same as a table for a Markdown page. */
export function markdownTable(findings: readonly Finding[]): string {
  const rows = findings.map(({ scenario, what, text, target, beside, ok }) => [
    scenario,
    what,
    text,
    target ?? '',
    beside ?? '',
    verdict(ok),
  ]);
  const rule = HEADINGS.map((_, i) => (RIGHT.has(i) ? '---:' : '---'));
  return [HEADINGS, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function line(row: readonly string[], widths: readonly number[]): string {
  const cells = row.map((cell, i) => (RIGHT.has(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)));
  return cells.join('  ').trimEnd();
}

function verdict(ok: boolean | null): string {
  if (ok === null) return '';
  return ok ? 'met' : 'MISSED';
}
