import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parseStrictJson } from '../model/json.ts';
import { callApi } from './client.ts';
import { connectionOf, withConnection } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { usage } from './failure.ts';
import { parseMoment } from './moment.ts';
import { count, plain, print, printJson } from './terminal.ts';

interface SendOptions extends ConnectionOptions {
  data: string;
  id?: string;
  group?: string;
  category?: string;
  occurredAt?: string;
  idempotencyKey?: string;
}

export function addEvents(program: Command): void {
  const events = program
    .command('events')
    .summary('send events')
    .description('Events: what happened, told once.')
    .addHelpText(
      'after',
      `
Examples:
  posthorn events send grant.created --data '{"grantId":"grnt_01"}'
  posthorn events send order.paid --data @order.json --id order-1042`,
    );
  const send = events
    .command('send')
    .summary('send one event')
    .description('Sends one event to every endpoint that listens to its type.')
    .argument('<type>', 'event type, such as order.paid')
    .option('--data <json>', 'payload: JSON, @file, or - for standard input', '{}')
    .option('--id <id>', 'your own id for the event; the same id is accepted once')
    .option('--group <key>', 'ordering key that ties related events together')
    .option('--category <name>', 'category (default: the type’s first segment)')
    .option('--occurred-at <time>', 'when it happened: 2026-01-31T12:00:00Z, or 2h for two hours ago (default: now)')
    .option('--idempotency-key <key>', 'makes it safe to send again: the same key is accepted once');
  withConnection(send)
    .addHelpText(
      'after',
      `
Examples:
  posthorn events send grant.created --data '{"grantId":"grnt_01"}'
  posthorn events send order.paid --data @order.json --id order-1042 --group customer-7
  jq -c .order cart.json | posthorn events send order.paid --data - --json`,
    )
    .action(async (type: string, options: SendOptions) => {
      const connection = connectionOf(options);
      const body = eventText(type, readData(options.data), options);
      const headers = { 'idempotency-key': options.idempotencyKey };
      const answer = await callApi<{ id: string; deliveries: number }>(connection, 'POST', '/v1/events', {
        body,
        headers,
      });
      if (options.json) return printJson(answer.body);
      const id = plain(answer.body.id);
      if (answer.headers.get('idempotency-replayed') === 'true')
        return print(`${id} was accepted before; nothing is sent twice.`);
      print(`${id} accepted, goes to ${count(answer.body.deliveries, 'endpoint')}.`);
      if (answer.body.deliveries === 0)
        print(`No active endpoint listens to ${plain(type)}; it is kept and can be replayed.`);
    });
}

/** The request's text. The payload goes in as it was written: receivers may compare it byte for byte. */
function eventText(type: string, data: string, options: SendOptions): string {
  const { id, group, category, occurredAt } = options;
  const members = { type, id, group, category, occurredAt: occurredAt && occurredTime(occurredAt) };
  return `${JSON.stringify(members).slice(0, -1)},"data":${data}}`;
}

function occurredTime(text: string): string {
  return new Date(parseMoment(text, '--occurred-at', -1, Date.now())).toISOString();
}

/** The payload's JSON text, from the option, a file or standard input. */
function readData(given: string): string {
  const source = given === '-' ? 'standard input' : given.startsWith('@') ? given.slice(1) : null;
  let text = given;
  try {
    if (source !== null) text = readFileSync(given === '-' ? 0 : source, 'utf8').replace(/^\ufeff/, '');
  } catch (error) {
    throw usage(`--data: ${source} cannot be read (${(error as NodeJS.ErrnoException).code}); correct the path`);
  }
  try {
    parseStrictJson(text);
  } catch (error) {
    const where = source === null ? '' : `${source} holds `;
    throw usage(`--data: ${where}${(error as Error).message}`);
  }
  return text.trim();
}
