// Puts the numbers of bench/results/latest.json and postgres.json into docs/performance.md, each between its marks. A full run
// does this by itself; `node bench/page.ts` does it again, `--check` fails where page and numbers differ.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findingsOf } from './findings.ts';
import type { Finding } from './findings.ts';
import type { Machine } from './machine.ts';
import { postgresFindings } from './postgres/findings.ts';
import type { PostgresResults } from './postgres/findings.ts';
import type { Results } from './results.ts';
import { markdownTable } from './table.ts';

const pageFile = join(import.meta.dirname, '../docs/performance.md');
const resultsDir = join(import.meta.dirname, 'results');

interface Part {
  /** Of the file in bench/results. */
  name: string;
  begin: string;
  end: string;
  render(json: string): string;
}

const parts: readonly Part[] = [
  {
    name: 'latest.json',
    begin: '<!-- numbers: written by bench/page.ts from bench/results/latest.json -->',
    end: '<!-- end of numbers -->',
    render: (json) => render(JSON.parse(json) as Results),
  },
  {
    name: 'postgres.json',
    begin: '<!-- numbers on PostgreSQL: written by bench/page.ts from bench/results/postgres.json -->',
    end: '<!-- end of numbers on PostgreSQL -->',
    render: (json) => renderPostgres(JSON.parse(json) as PostgresResults),
  },
];

/** Rewrites the page. @returns whether it changed; `check`: says so and leaves it as it is */
export function writePage(check = false): boolean {
  const page = readFileSync(pageFile, 'utf8');
  let next = page;
  for (const part of parts) {
    const file = join(resultsDir, part.name);
    next = insert(next, existsSync(file) ? part.render(readFileSync(file, 'utf8')) : NONE_YET, part);
  }
  if (next !== page && !check) writeFileSync(pageFile, next);
  return next !== page;
}

const NONE_YET = 'No full run has been stored yet.';

/** The part between the marks replaced; throws where the page has lost them. */
export function insert(page: string, numbers: string, { begin, end }: Pick<Part, 'begin' | 'end'> = parts[0]!): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`docs/performance.md needs the lines ${begin} and ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${numbers}\n\n${page.slice(to)}`;
}

/** Where and when, then the table. */
export function render(results: Results): string {
  const { machine, options, version, at } = results;
  const how = `${options.seconds} s a saturation run with ${options.connections} connections`;
  return page(`Posthorn ${version}, ${at.slice(0, 10)}: ${where(machine)}; ${how}.`, findingsOf(results));
}

export function renderPostgres(results: PostgresResults): string {
  const { machine, at, seconds, connections } = results;
  const how = `PostgreSQL 18 with \`synchronous_commit=on\` on the same cores; ${seconds} s a saturation run with ${connections} connections of each load generator`;
  return page(`${at.slice(0, 10)}: ${where(machine)}; ${how}.`, postgresFindings(results));
}

function page(head: string, findings: readonly Finding[]): string {
  return `${head}\n\n${markdownTable(findings)}`;
}

function where(machine: Machine): string {
  return [
    `${machine.cores} cores of ${machine.cpu}`,
    `${Math.round(machine.memoryBytes / 2 ** 30)} GiB of memory`,
    machine.system,
    `Node ${machine.node}`,
    `stores on ${machine.filesystem}`,
  ].join(', ');
}

if (import.meta.main) {
  const check = process.argv.includes('--check');
  const changed = writePage(check);
  if (check && changed) {
    console.error('docs/performance.md does not show bench/results: run `node bench/page.ts`');
    process.exitCode = 1;
  }
}
