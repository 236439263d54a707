import type { Command } from 'commander';
import { deliveryStatuses } from '../model/delivery.ts';
import { usage } from './failure.ts';
import { parseMoment } from './moment.ts';

export interface FilterOptions {
  status?: string;
  webhook?: string;
  event?: string;
  type?: string;
  from?: string;
  to?: string;
}

/** The options that choose deliveries, the same for listing and for sending again. */
export function withFilter(command: Command): Command {
  return command
    .option('--status <status>', deliveryStatuses.join(', '))
    .option('--webhook <id>', 'of one endpoint: wh_…')
    .option('--event <id>', 'of one event: evt_… or your own id')
    .option('--type <type>', 'of one event type')
    .option('--from <time>', 'made since then: 2h for two hours ago, or 2026-01-31T12:00:00Z')
    .option('--to <time>', 'made before then, written likewise');
}

/** The filter as the API takes it. Throws usage failures. */
export function filterOf(options: FilterOptions, now: number): Record<string, string> {
  const filter: Record<string, string> = {};
  if (options.status !== undefined) {
    for (const status of options.status.split(',')) {
      if ((deliveryStatuses as readonly string[]).includes(status)) continue;
      throw usage(`--status: ${JSON.stringify(status.slice(0, 40))} is unknown; give ${deliveryStatuses.join(', ')}`);
    }
    filter.status = options.status;
  }
  if (options.webhook !== undefined) filter.webhookId = options.webhook;
  if (options.event !== undefined) filter.eventId = options.event;
  if (options.type !== undefined) filter.type = options.type;
  if (options.from !== undefined) filter.from = new Date(parseMoment(options.from, '--from', -1, now)).toISOString();
  if (options.to !== undefined) filter.to = new Date(parseMoment(options.to, '--to', -1, now)).toISOString();
  return filter;
}
