import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config } from '../config.ts';
import type { MoveOptions, MoveOutcome, MovePlan } from '../move/move.ts';
import type { MoveProgress } from '../move/progress.ts';
import { CliFailure, usage } from './failure.ts';
import { configOf, withSettings } from './setting-options.ts';
import { count, print, printError, printJson, styled } from './terminal.ts';

/** Between two lines of progress where nobody watches. */
const LINE_MS = 1_000;

interface MoveCommandOptions extends Readonly<Record<string, unknown>> {
  to?: string;
  dryRun?: boolean;
  undo?: boolean;
  json?: boolean;
}

export function addMove(program: Command): void {
  const command = program
    .command('move')
    .summary('take the embedded store to PostgreSQL')
    .description(
      'Moves the store of a stopped server into an empty PostgreSQL database: every event, delivery, attempt, endpoint ' +
        'and key, with ids and secrets as they are. Then it compares both sides, and servers start there and no longer ' +
        'here. Ended at any moment, it goes on when it is run again.',
    )
    .option('--to <url>', 'postgres://user:password@host:5432/database (default POSTHORN_DATABASE_URL)')
    .option('--dry-run', 'check both sides, count the rows, and change nothing')
    .option('--undo', 'give a move up: servers start on the embedded store again')
    .option('--json', 'print the answer as JSON');
  withSettings(command, 'serve', ['dataDir', 'databaseSchema', 'masterKey', 'masterKeyFile'])
    .addHelpText(
      'after',
      `
Examples:
  posthorn move --to postgres://posthorn@db.internal/posthorn --dry-run
  posthorn move --to postgres://posthorn@db.internal/posthorn --data-dir /var/lib/posthorn
  POSTHORN_DATABASE_URL=postgres://posthorn:secret@db.internal/posthorn posthorn move`,
    )
    .action(move);
}

async function move(options: MoveCommandOptions): Promise<void> {
  const config = await readConfig(options);
  const json = options.json === true;
  if (options.undo === true) return undo(config, json);
  if (config.databaseUrl === null) {
    throw usage('say where to: --to postgres://user:password@host:5432/database, or POSTHORN_DATABASE_URL');
  }
  const keyFile = keyFileOf(config);
  const { createKeyRing, loadOrCreateKeyFile } = await import('../store/seal.ts');
  const keys = keyFile === null ? config.masterKeys : loadOrCreateKeyFile(config.dataDir).keys;
  const moving: MoveOptions = {
    dataDir: config.dataDir,
    url: config.databaseUrl,
    schema: config.databaseSchema,
    keyRing: createKeyRing(keys),
  };
  const { moveToPostgres, planMove } = await import('../move/move.ts');
  if (options.dryRun === true) return reportPlan(config.dataDir, await planMove(moving), json);
  const outcome = await moveToPostgres({ ...moving, onProgress: progressTo(process.stderr) });
  report(config, outcome, keyFile, json);
}

/** `--to` is the setting of the database by another name, and checked as it is. */
async function readConfig(options: MoveCommandOptions): Promise<Config> {
  if (options.to === undefined) return configOf('serve', options);
  try {
    return await configOf('serve', { ...options, databaseUrl: options.to });
  } catch (error) {
    throw new CliFailure((error as Error).message.replace(/^--database-url/, '--to'), 1, error);
  }
}

/** The key file beside the data, where no other key is given. It is not made here: a new key would open nothing. */
function keyFileOf({ masterKeys, dataDir }: Config): string | null {
  if (masterKeys.length > 0) return null;
  const file = join(dataDir, 'master.key');
  if (existsSync(file)) return file;
  throw new CliFailure(
    `there is no ${file}: name the directory of the embedded store with --data-dir, or give the key that its server runs with in POSTHORN_MASTER_KEY or POSTHORN_MASTER_KEY_FILE`,
  );
}

async function undo({ dataDir }: Config, json: boolean): Promise<void> {
  const { undoMove } = await import('../move/move.ts');
  const to = undoMove(dataDir);
  if (json) return printJson({ dataDir, undone: to !== null, to });
  if (to === null) return print(`The store in ${dataDir} was not moved; servers start on it.`);
  print(`Servers start on the store in ${dataDir} again.`);
  print(`Its copy is still in ${to}: drop it, and let no server run there, or both send the same deliveries.`);
}

/** A line that is written over on a terminal, a JSON line a second elsewhere. */
function progressTo(stream: NodeJS.WriteStream): (progress: MoveProgress) => void {
  let nextAt = 0;
  let width = 0;
  return (progress) => {
    const { phase, table, rows, total, rowsPerSecond, secondsLeft } = progress;
    const isEnd = rows === total;
    const now = performance.now();
    if (now < nextAt && !isEnd) return;
    nextAt = now + (stream.isTTY ? LINE_MS / 10 : LINE_MS);
    if (!stream.isTTY) {
      stream.write(`${JSON.stringify(progress)}\n`);
      return;
    }
    const done = `${rows.toLocaleString('en-GB')} of ${count(total, 'row')}`;
    const rate = rowsPerSecond === 0 ? '' : `, ${rowsPerSecond.toLocaleString('en-GB')}/s`;
    const left = secondsLeft === null || isEnd ? '' : `, ${duration(secondsLeft)} left`;
    const line = `${phase === 'copy' ? 'Copying' : 'Comparing'} ${done} (${table})${rate}${left}`;
    stream.write(`\r${line.padEnd(width)}${isEnd ? '\n' : ''}`);
    width = isEnd ? 0 : line.length;
  };
}

function duration(seconds: number): string {
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60).toLocaleString('en-GB')} min`;
}

function reportPlan(dataDir: string, { to, rows }: MovePlan, json: boolean): void {
  if (json) return printJson({ dataDir, to, dryRun: true, rows });
  print(`Nothing is changed. The store in ${dataDir} can be moved to ${to}:`);
  for (const [table, number] of Object.entries(rows)) print(`  ${table.padEnd(18)} ${number.toLocaleString('en-GB')}`);
}

function report(
  { dataDir }: Config,
  { to, wasDone, tables }: MoveOutcome,
  keyFile: string | null,
  json: boolean,
): void {
  if (json) return printJson({ dataDir, to, wasDone, tables, keyFile });
  if (wasDone) print(`The store in ${dataDir} was moved to ${to} by an earlier run; nothing was left to do.`);
  else {
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    print(`Moved ${count(rows, 'row')} of ${dataDir} to ${to}. Both sides were compared, and are the same:`);
    for (const table of tables) {
      const states = Object.entries(table.byStatus).map(
        ([status, number]) => `${number.toLocaleString('en-GB')} ${status}`,
      );
      const detail = states.length > 0 ? ` (${states.join(', ')})` : '';
      print(
        `  ${table.table.padEnd(18)} ${table.rows.toLocaleString('en-GB').padStart(12)}  ${table.checksum}${detail}`,
      );
    }
  }
  print();
  print('Start it there, on as many nodes as you like, each with the same two settings:');
  const key = keyFile === null ? 'POSTHORN_MASTER_KEY=<as before>' : `POSTHORN_MASTER_KEY_FILE=${keyFile}`;
  print(`  ${styled('bold', `POSTHORN_DATABASE_URL=<the URL you gave> ${key} posthorn serve`)}`);
  if (keyFile !== null)
    printError(`${keyFile} opens the signing secrets in the database: copy it to every node, and keep one apart.`);
}
