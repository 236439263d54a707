// Puts the numbers of bench/results/latest.json into docs/performance.md, between its two marks. A full run does this by
// itself; `node bench/page.ts` does it again, `--check` fails where page and numbers differ.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findingsOf } from './findings.ts';
import type { Results } from './results.ts';
import { markdownTable } from './table.ts';

const BEGIN = '<!-- numbers: written by bench/page.ts from bench/results/latest.json -->';
const END = '<!-- end of numbers -->';
const pageFile = join(import.meta.dirname, '../docs/performance.md');
const resultsFile = join(import.meta.dirname, 'results/latest.json');

/** Rewrites the page. @returns whether it changed; `check`: says so and leaves it as it is */
export function writePage(check = false): boolean {
  const page = readFileSync(pageFile, 'utf8');
  const numbers = existsSync(resultsFile) ? render(JSON.parse(readFileSync(resultsFile, 'utf8')) as Results) : NONE_YET;
  const next = insert(page, numbers);
  if (next !== page && !check) writeFileSync(pageFile, next);
  return next !== page;
}

const NONE_YET = 'No full run has been stored yet: `npm run bench` makes one.';

/** The part between the marks replaced; throws where the page has lost them. */
export function insert(page: string, numbers: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/performance.md needs the lines ${BEGIN} and ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${numbers}\n\n${page.slice(end)}`;
}

/** Where and when, then the table. */
export function render(results: Results): string {
  const { machine, options } = results;
  const where = [
    `${machine.cores} cores of ${machine.cpu}`,
    `${Math.round(machine.memoryBytes / 2 ** 30)} GiB of memory`,
    machine.system,
    `Node ${machine.node}`,
    `stores on ${machine.filesystem}`,
  ];
  const how = `${options.seconds} s a saturation run with ${options.connections} connections`;
  const when = `Posthorn ${results.version}, ${results.at.slice(0, 10)}: ${where.join(', ')}; ${how}.`;
  return `${when}\n\n${markdownTable(findingsOf(results))}`;
}

if (import.meta.main) {
  const check = process.argv.includes('--check');
  const changed = writePage(check);
  if (check && changed) {
    console.error('docs/performance.md does not show bench/results/latest.json: run `node bench/page.ts`');
    process.exitCode = 1;
  }
}
