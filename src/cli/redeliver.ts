import { createInterface } from 'node:readline/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { callApi } from './client.ts';
import type { Connection } from './client.ts';
import { connectionOf, withConnection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { filterOf, withFilter } from './delivery-filter.ts';
import type { FilterOptions } from './delivery-filter.ts';
import { ApiFailure, usage } from './failure.ts';
import type { SetExitCode } from './program.ts';
import { count, plain, print, printError, printJson } from './terminal.ts';

interface RedeliverOptions extends ConnectionOptions, FilterOptions {
  dryRun?: boolean;
  rate?: string;
  yes?: boolean;
}

const progressIntervalMs = 500;
/** Progress is watched no longer than this without a change: the server goes on by itself. */
const patienceMs = 10_000;

export function addRedeliver(deliveries: Command, setExitCode: SetExitCode): void {
  const command = deliveries
    .command('redeliver')
    .summary('send deliveries again')
    .description('Sends deliveries again, the original bytes: those named, or all that match a filter.')
    .argument('[id...]', 'deliveries: whd_…');
  withFilter(command)
    .option('--dry-run', 'only count what matches')
    .option('--rate <number>', 'at most so many a second, 1 to 10000 (default: as fast as the endpoints take them)')
    .option('--yes', 'do not ask before sending all that match');
  withConnection(command)
    .addHelpText(
      'after',
      `
Examples:
  posthorn deliveries redeliver whd_01JXYZ4T8Q2M5N7P9R1S3V5000
  posthorn deliveries redeliver --status dead_letter --from 1d --dry-run
  posthorn deliveries redeliver --status dead_letter --type order.paid --rate 50 --yes`,
    )
    .action(async (ids: string[], options: RedeliverOptions) => {
      const connection = connectionOf(options);
      const filter = filterOf(options, Date.now());
      if (ids.length > 0) {
        if (Object.keys(filter).length > 0) throw usage('give deliveries or a filter, not both');
        if (options.dryRun || options.rate !== undefined) throw usage('--dry-run and --rate go with a filter');
        setExitCode(await redeliverEach(connection, ids, options.json === true));
        return;
      }
      if (filter.status === undefined) {
        throw usage('give deliveries, or a filter with --status, such as --status dead_letter');
      }
      setExitCode(await redeliverAll(connection, filter, options));
    });
}

/** Goes on after a delivery that cannot be sent again. Exit code 1 where there was one. */
async function redeliverEach(connection: Connection, ids: readonly string[], json: boolean): Promise<number> {
  const results: unknown[] = [];
  let failures = 0;
  for (const id of ids) {
    try {
      const path = `/v1/deliveries/${encodeURIComponent(id)}/redeliver`;
      const { body } = await callApi<unknown>(connection, 'POST', path);
      results.push(body);
      if (!json) print(`${plain(id)} is sent again.`);
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.status === 401) throw error;
      failures++;
      results.push(error.problem);
      if (!json) printError(`${plain(id)}: ${plain(error.message)}`);
    }
  }
  if (json) printJson({ deliveries: results, failures });
  return failures > 0 ? 1 : 0;
}

async function redeliverAll(
  connection: Connection,
  filter: Readonly<Record<string, string>>,
  options: RedeliverOptions,
): Promise<number> {
  const ratePerSecond = options.rate === undefined ? undefined : readRate(options.rate);
  if (!options.dryRun && !options.yes && !process.stdin.isTTY) {
    throw usage('add --yes to send all that match, or --dry-run to count them');
  }
  const matching = await redeliverMatching(connection, { ...filter, dryRun: true });
  if (options.dryRun || matching === 0) {
    if (options.json) printJson({ deliveries: matching, dryRun: options.dryRun === true });
    else print(matching === 0 ? 'No deliveries match.' : `${count(matching, 'delivery matches', 'deliveries match')}.`);
    return 0;
  }
  if (!options.yes && !(await confirm(`Send ${count(matching, 'delivery', 'deliveries')} again?`))) {
    printError('Nothing is sent.');
    return 1;
  }
  const started = await redeliverMatching(connection, { ...filter, dryRun: false, ratePerSecond });
  if (options.json) {
    printJson({ deliveries: started, dryRun: false });
    return 0;
  }
  const speed =
    ratePerSecond === undefined
      ? ''
      : ` at ${ratePerSecond}/s, which takes about ${Math.ceil(started / ratePerSecond)} s`;
  print(`Sending ${count(started, 'delivery', 'deliveries')} again${speed}. The server goes on by itself.`);
  if (process.stderr.isTTY) await showProgress(connection, filter, started);
  return 0;
}

async function redeliverMatching(connection: Connection, request: Record<string, unknown>): Promise<number> {
  const body = JSON.stringify(request);
  const answer = await callApi<{ deliveries: number }>(connection, 'POST', '/v1/deliveries/redeliver', { body });
  return answer.body.deliveries;
}

/** Statuses that a delivery leaves when it is sent again, so that what matches no longer is on its way. */
const leaving: readonly string[] = ['dead_letter', 'held'];

async function showProgress(
  connection: Connection,
  filter: Readonly<Record<string, string>>,
  total: number,
): Promise<void> {
  if (!filter.status!.split(',').every((status) => leaving.includes(status))) return;
  let remaining = total;
  let changedAt = performance.now();
  while (remaining > 0 && performance.now() - changedAt < patienceMs) {
    const now = await redeliverMatching(connection, { ...filter, dryRun: true });
    if (now !== remaining) changedAt = performance.now();
    remaining = now;
    process.stderr.write(
      `\r${Math.max(0, total - remaining).toLocaleString('en-GB')} of ${total.toLocaleString('en-GB')}`,
    );
    if (remaining > 0) await wait(progressIntervalMs);
  }
  process.stderr.write('\n');
}

function readRate(text: string): number {
  const rate = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (rate >= 1 && rate <= 10_000) return rate;
  throw usage(`--rate: ${JSON.stringify(text.slice(0, 40))} does not fit; give a whole number from 1 to 10000`);
}

async function confirm(question: string): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await reader.question(`${question} [y/N] `)).trim());
  } finally {
    reader.close();
  }
}
