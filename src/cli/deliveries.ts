import type { Command } from 'commander';
import { callApi } from './client.ts';
import { connectionOf, withConnection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { filterOf, withFilter } from './delivery-filter.ts';
import type { FilterOptions } from './delivery-filter.ts';
import { usage } from './failure.ts';
import { formatMoment } from './moment.ts';
import type { SetExitCode } from './program.ts';
import { addRedeliver } from './redeliver.ts';
import { renderTable } from './table.ts';
import type { Column } from './table.ts';
import { print, printJson, styled, terminalWidth } from './terminal.ts';

/** A delivery in a list, as far as the table shows it. */
interface ListedDelivery {
  id: string;
  webhookId: string;
  eventType: string;
  status: string;
  attempts: number;
  nextAttemptAt: string | null;
  lastError: string | null;
  createdAt: string;
}

interface ListOptions extends ConnectionOptions, FilterOptions {
  limit: string;
  cursor?: string;
}

/** What stays on 80 columns: the id, the status, the time, and the error where there is one, else the type. */
export const deliveryColumns: readonly Column<ListedDelivery>[] = [
  { title: 'DELIVERY', text: ({ id }) => id },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'EVENT TYPE', text: ({ eventType }) => eventType, min: 8, dropOrder: 4 },
  { title: 'ATTEMPTS', text: ({ attempts }) => String(attempts), dropOrder: 3 },
  { title: 'LAST ERROR', text: ({ lastError }) => lastError ?? '', min: 8, dropOrder: 5 },
  { title: 'CREATED', text: ({ createdAt }) => formatMoment(createdAt), dropOrder: 6 },
  {
    title: 'NEXT ATTEMPT',
    text: ({ nextAttemptAt }) => (nextAttemptAt === null ? '' : formatMoment(nextAttemptAt)),
    dropOrder: 2,
  },
  { title: 'WEBHOOK', text: ({ webhookId }) => webhookId, dropOrder: 1 },
];

export function addDeliveries(program: Command, setExitCode: SetExitCode): void {
  const deliveries = program
    .command('deliveries')
    .summary('list deliveries and send them again')
    .description('Deliveries: one event for one endpoint, with every attempt.')
    .addHelpText(
      'after',
      `
Examples:
  posthorn deliveries list --status dead_letter --from 2h
  posthorn deliveries redeliver whd_01JXYZ4T8Q2M5N7P9R1S3V5000
  posthorn deliveries redeliver --status dead_letter --type order.paid --dry-run`,
    );
  const list = deliveries.command('list').summary('list deliveries').description('Lists deliveries, newest first.');
  withFilter(list)
    .option('--limit <number>', 'how many, 1 to 200', '20')
    .option('--cursor <cursor>', 'where the list before this one ended');
  withConnection(list)
    .addHelpText(
      'after',
      `
Examples:
  posthorn deliveries list
  posthorn deliveries list --status dead_letter --from 2h
  posthorn deliveries list --type order.paid --limit 100 --json`,
    )
    .action(listDeliveries);
  addRedeliver(deliveries, setExitCode);
}

async function listDeliveries(options: ListOptions): Promise<void> {
  const connection = connectionOf(options);
  if (!/^\d{1,3}$/.test(options.limit) || Number(options.limit) < 1 || Number(options.limit) > 200) {
    throw usage(`--limit: ${JSON.stringify(options.limit.slice(0, 40))} does not fit; give a number from 1 to 200`);
  }
  const query = { ...filterOf(options, Date.now()), limit: options.limit, cursor: options.cursor };
  const { body } = await callApi<{ deliveries: ListedDelivery[]; nextCursor: string | null }>(
    connection,
    'GET',
    '/v1/deliveries',
    { query },
  );
  if (options.json) return printJson(body);
  if (body.deliveries.length === 0) return print('No deliveries match.');
  const [titles, ...lines] = renderTable(body.deliveries, deliveryColumns, terminalWidth());
  print(styled('dim', titles!));
  for (const line of lines) print(line);
  if (body.nextCursor !== null) print(styled('dim', `More with --cursor ${body.nextCursor}`));
}
