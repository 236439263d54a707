import type { Command } from 'commander';
import { callApi } from './client.ts';
import { connectionOf, withConnection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { formatMoment } from './moment.ts';
import { renderTable } from './table.ts';
import type { Column } from './table.ts';
import { plain, print, printJson, styled, terminalWidth } from './terminal.ts';

interface ListedWebhook {
  id: string;
  url: string;
  events: string[];
  isActive: boolean;
  createdAt: string;
}

interface CreateOptions extends ConnectionOptions {
  events: string;
  description?: string;
  wireFormat?: string;
}

const columns: readonly Column<ListedWebhook>[] = [
  { title: 'WEBHOOK', text: ({ id }) => id },
  { title: 'ACTIVE', text: ({ isActive }) => (isActive ? 'yes' : 'no') },
  { title: 'URL', text: ({ url }) => url, min: 20 },
  { title: 'EVENTS', text: ({ events }) => events.join(','), min: 12, dropOrder: 2 },
  { title: 'CREATED', text: ({ createdAt }) => formatMoment(createdAt), dropOrder: 1 },
];

export function addWebhooks(program: Command): void {
  const webhooks = program
    .command('webhooks')
    .summary('list, make and delete endpoints')
    .description('Webhooks: the endpoints that events are sent to.')
    .addHelpText(
      'after',
      `
Examples:
  posthorn webhooks list
  posthorn webhooks create http://127.0.0.1:9000/hook --events 'order.*,grant.created'
  posthorn webhooks delete wh_01JXYZ4T8Q2M5N7P9R1S3V5000`,
    );

  const list = webhooks.command('list').summary('list endpoints').description('Lists endpoints, newest first.');
  withConnection(list).addHelpText('after', '\nExamples:\n  posthorn webhooks list').action(listWebhooks);

  const create = webhooks
    .command('create')
    .summary('make an endpoint')
    .description('Makes an endpoint and shows its signing secret, this once.')
    .argument('<url>', 'where to send')
    .requiredOption('--events <types>', 'event types with commas between; order.* and * take many')
    .option('--description <text>', 'what it is for')
    .option('--wire-format <name>', 'preset to send in (default: the tenant’s)');
  withConnection(create)
    .addHelpText(
      'after',
      "\nExamples:\n  posthorn webhooks create http://127.0.0.1:9000/hook --events 'order.*,grant.created'",
    )
    .action(createWebhook);

  const remove = webhooks
    .command('delete')
    .summary('delete an endpoint')
    .description('Deletes an endpoint. What is on its way is not tried again; its history stays.')
    .argument('<id>', 'wh_…');
  withConnection(remove)
    .addHelpText('after', '\nExamples:\n  posthorn webhooks delete wh_01JXYZ4T8Q2M5N7P9R1S3V5000')
    .action(deleteWebhook);
}

async function listWebhooks(options: ConnectionOptions): Promise<void> {
  const { body } = await callApi<{ webhooks: ListedWebhook[] }>(connectionOf(options), 'GET', '/v1/webhooks');
  if (options.json) return printJson(body);
  if (body.webhooks.length === 0) return print('There are no endpoints yet; make one with `posthorn webhooks create`.');
  const [titles, ...lines] = renderTable(body.webhooks, columns, terminalWidth());
  print(styled('dim', titles!));
  for (const line of lines) print(line);
}

async function createWebhook(url: string, options: CreateOptions): Promise<void> {
  const events = options.events.split(',').map((type) => type.trim());
  const { description, wireFormat } = options;
  const { body } = await callApi<{ id: string; secret: string }>(connectionOf(options), 'POST', '/v1/webhooks', {
    body: JSON.stringify({ url, events, description, wireFormat }),
  });
  if (options.json) return printJson(body);
  print(`Webhook  ${plain(body.id)}`);
  print(`Secret   ${plain(body.secret)}`);
  print(styled('dim', 'The secret is not shown again.'));
}

async function deleteWebhook(id: string, options: ConnectionOptions): Promise<void> {
  await callApi(connectionOf(options), 'DELETE', `/v1/webhooks/${encodeURIComponent(id)}`);
  if (options.json) return printJson({ id, deleted: true });
  print(`${plain(id)} is deleted.`);
}
