import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { Command } from 'commander';
import { callApi, type Connection } from './client.ts';
import { connectionOf, withConnection, type ConnectionOptions } from './connection.ts';
import { ApiFailure, usage } from './failure.ts';
import { importFields, readImportRows, type SourceRow } from './import-rows.ts';
import type { SetExitCode } from './program.ts';
import { count, plain, print, printError, printJson, styled } from './terminal.ts';

interface ImportOptions extends ConnectionOptions {
  format?: string;
  dryRun?: boolean;
  wireFormat?: string;
  events?: string;
  tenantsFrom?: string;
  map: readonly string[];
}

/** Rows sent in one request, and their characters: what a server takes as it is set up by itself. */
const SLICE = 200;
const SLICE_CHARACTERS = 256 * 1024;

type Status = 'created' | 'exists' | 'invalid';

/** What became of one row. */
interface Outcome {
  row: number;
  tenant: string | null;
  status: Status;
  id: string | null;
  /** Of an endpoint that had none: shown this once. */
  secret?: string;
  errors: { field: string; message: string }[];
}

export function addImport(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('import')
    .summary('take endpoints over from another system')
    .description(
      'Takes endpoints over from a file with their ids, secrets, state and age, so that receivers notice nothing. ' +
        'What is there already is left alone: the same file can be imported again.',
    )
    .argument('<file>', 'JSON or CSV, or - for standard input')
    .option('--dry-run', 'check every row and change nothing')
    .option('--format <json|csv>', 'what the file is (default: by its ending)')
    .option('--wire-format <name>', 'what the receivers verify: grantex, grantiva, gravv, lexigram, standard')
    .option('--events <types>', 'event types of rows that name none, with commas between')
    .option('--tenants-from <column>', 'column with each row’s tenant, for an operator’s key')
    .option(
      '--map <field=column>',
      `where a field is, if not where it is looked for; fields: ${importFields.join(', ')}`,
      collect,
      [],
    );
  withConnection(command)
    .addHelpText(
      'after',
      `
Examples:
  posthorn import webhooks.csv --dry-run
  posthorn import webhooks.json --wire-format grantex
  posthorn import table.csv --wire-format grantiva --tenants-from organization_id --map url=target --map secret=whsec
  psql -c "copy (select * from webhooks) to stdout csv header" | posthorn import - --format csv --wire-format gravv`,
    )
    .action(async (file: string, options: ImportOptions) => {
      setExitCode(await importEndpoints(file, options));
    });
}

async function importEndpoints(file: string, options: ImportOptions): Promise<number> {
  const connection = connectionOf(options);
  const rows = readImportRows(readInput(file), {
    format: formatOf(file, options.format),
    columns: readMap(options.map),
    tenantColumn: options.tenantsFrom ?? null,
    defaultEvents: options.events?.split(',').map((type) => type.trim()) ?? null,
    wireFormat: options.wireFormat ?? null,
  });
  const dryRun = options.dryRun === true;
  const { outcomes, failure } = await send(connection, rows, dryRun);
  // Secrets were made that are shown this once: also where it ended before its end.
  if (failure === null || outcomes.length > 0) report(outcomes, dryRun, options.json === true);
  if (failure !== null) throw failure;
  return outcomes.some(({ status }) => status === 'invalid') ? 1 : 0;
}

/**
 * One tenant after the other, in slices. A tenant that the server refuses stops no other.
 * @returns what became of the rows in their order, and what stopped it before its end
 */
async function send(
  connection: Connection,
  rows: readonly SourceRow[],
  dryRun: boolean,
): Promise<{ outcomes: Outcome[]; failure: Error | null }> {
  const outcomes: Outcome[] = rows
    .filter(({ problem }) => problem !== null)
    .map((source) => {
      const [field = '', message = ''] = source.problem!.split(/: (.*)/s);
      return invalid(source, field, message);
    });
  const readable = rows.filter(({ problem }) => problem === null);
  let done = 0;
  let failure: Error | null = null;
  for (const slice of slicesOf(readable)) {
    const { tenant } = slice[0]!;
    try {
      outcomes.push(...(await sendSlice({ ...connection, tenant: tenant ?? connection.tenant }, slice, dryRun)));
    } catch (error) {
      const subject = subjectOf(error, slice);
      if (subject === null) {
        failure = error as Error;
        break;
      }
      outcomes.push(...slice.map((source) => invalid(source, subject, (error as Error).message)));
    }
    done += slice.length;
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${readable.length}`);
  }
  if (process.stderr.isTTY) process.stderr.write('\n');
  return { outcomes: outcomes.sort((a, b) => a.row - b.row), failure };
}

function invalid({ number, tenant }: SourceRow, field: string, message: string): Outcome {
  return { row: number, tenant, status: 'invalid', id: null, errors: [{ field, message }] };
}

/** Rows of one tenant each, as many as one request can hold. */
function slicesOf(rows: readonly SourceRow[]): SourceRow[][] {
  const slices: SourceRow[][] = [];
  for (const ofTenant of Map.groupBy(rows, ({ tenant }) => tenant).values()) {
    let room = 0;
    for (const source of ofTenant) {
      const size = JSON.stringify(source.row).length;
      if (size > room || slices.at(-1)!.length === SLICE) {
        slices.push([]);
        room = SLICE_CHARACTERS;
      }
      slices.at(-1)!.push(source);
      room -= size;
    }
  }
  return slices;
}

/** What a refusal is about that concerns these rows alone: their tenant, or one that is too large. Null: anything else. */
function subjectOf(error: unknown, slice: readonly SourceRow[]): 'tenant' | 'row' | null {
  if (!(error instanceof ApiFailure)) return null;
  if (error.status === 413 && slice.length === 1) return 'row';
  return slice[0]!.tenant !== null && [400, 403, 404].includes(error.status) ? 'tenant' : null;
}

async function sendSlice(connection: Connection, slice: readonly SourceRow[], dryRun: boolean): Promise<Outcome[]> {
  const { body } = await callApi<{ results: (Omit<Outcome, 'row' | 'tenant'> & { index: number })[] }>(
    connection,
    'POST',
    '/v1/webhooks/import',
    { body: JSON.stringify({ webhooks: slice.map(({ row }) => row), dryRun }) },
  );
  return body.results.map(({ index, ...result }) => {
    const { number, tenant } = slice[index]!;
    return { row: number, tenant, ...result };
  });
}

function report(outcomes: readonly Outcome[], dryRun: boolean, json: boolean): void {
  const counts: Record<Status, number> = { created: 0, exists: 0, invalid: 0 };
  for (const { status } of outcomes) counts[status]++;
  if (json) {
    printJson({ dryRun, created: counts.created, existing: counts.exists, invalid: counts.invalid, results: outcomes });
    return;
  }
  for (const { row, errors } of outcomes.filter(({ status }) => status === 'invalid')) {
    for (const { field, message } of errors) printError(`row ${row}: ${plain(field)}: ${plain(message)}`);
  }
  const made = outcomes.filter(({ secret }) => secret !== undefined);
  for (const { row, id, secret } of made) print(`row ${row}  ${plain(id!)}  ${plain(secret!)}`);
  if (made.length > 0) {
    print(styled('dim', `These had no secret; the new ${made.length === 1 ? 'one is' : 'ones are'} not shown again.`));
  }
  const verb = dryRun ? 'would be made' : counts.created === 1 ? 'was made' : 'were made';
  const parts = [`${count(counts.created, 'endpoint')} ${verb}`];
  if (counts.exists > 0) parts.push(`${counts.exists.toLocaleString('en-GB')} there already`);
  if (counts.invalid > 0) parts.push(`${counts.invalid.toLocaleString('en-GB')} not taken`);
  print(`${parts.join(', ')}.`);
}

function readInput(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw usage(code === 'ENOENT' ? `there is no file ${file}` : `${file} cannot be read: ${message}`);
  }
  // Read as if it were, its letters would be lost without a word.
  if (!isUtf8(bytes)) throw usage(`${file === '-' ? 'what comes in' : file} is not UTF-8; save it as UTF-8`);
  return bytes.toString('utf8');
}

function formatOf(file: string, given: string | undefined): 'json' | 'csv' {
  const format = given ?? { '.json': 'json', '.ndjson': 'json', '.jsonl': 'json', '.csv': 'csv' }[extname(file)];
  if (format === 'json' || format === 'csv') return format;
  throw usage('--format: say whether the file is json or csv');
}

function readMap(pairs: readonly string[]): Map<string, string> {
  return new Map(
    pairs.map((pair) => {
      const [field = '', column = ''] = pair.split(/=(.*)/s);
      if (!importFields.includes(field) || column === '') {
        throw usage(
          `--map: ${JSON.stringify(pair)} does not fit; write field=column with one of ${importFields.join(', ')}`,
        );
      }
      return [field, column] as const;
    }),
  );
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}
