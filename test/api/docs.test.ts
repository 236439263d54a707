import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routes } from '../../src/api/routes.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { OPERATOR_KEY, startApi, type Api } from './server.ts';

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'api.md'), 'utf8');

interface Example {
  command: string;
  status: number;
}

/** Each curl of the page, with the status that the line below promises. */
const examples: Example[] = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
  [...block!.matchAll(/^(curl (?:.*\\\n)*.*)\n# (\d{3})/gm)].map(([, command, status]) => ({
    command: command!.replaceAll('\\\n', ' '),
    status: Number(status),
  })),
);

/** The words of a shell command: quotes taken off, variables filled in. */
function wordsOf(command: string, variables: Record<string, string>): string[] {
  return [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) =>
    single !== undefined
      ? single
      : (double ?? bare ?? '').replaceAll(/\$([A-Z_]+)/g, (_, name: string) => {
          const value = variables[name];
          if (value === undefined) throw new Error(`${name} is not set`);
          return value;
        }),
  );
}

describe('docs/api.md', () => {
  let api: Api;
  let receiver: Receiver;
  const variables: Record<string, string> = { POSTHORN: '', KEY: OPERATOR_KEY };

  beforeAll(async () => {
    [api, receiver] = await Promise.all([startApi(), startReceiver()]);
    receiver.answer('/dead', 500);
    const make = async (path: string, body: object) => (await api.call('POST', path, { body })).body;
    await make('/v1/webhooks', { url: receiver.url('/dead'), events: ['order.paid'], retrySchedule: [] });
    variables.EVENT = (await make('/v1/events', { type: 'order.paid', data: {} })).id;
    let delivery;
    do {
      delivery = (await api.call('GET', `/v1/events/${variables.EVENT}`)).body.deliveries[0]!;
    } while (delivery.status !== 'dead_letter');
    variables.DELIVERY = delivery.id;
    variables.WEBHOOK = (await make('/v1/webhooks', { url: receiver.url('/ok'), events: ['order.*'] })).id;
    variables.KEY_ID = (await make('/v1/api-keys', { role: 'viewer' })).id;
  });
  afterAll(async () => {
    await api.stop();
    await receiver.close();
  });

  it('has examples', () => {
    expect(examples.length).toBe(page.match(/^curl /gm)!.length);
    expect(examples.length).toBeGreaterThan(25);
  });

  it.each(examples.map((example) => [example.command.replaceAll(/\s+/g, ' ').slice(0, 90), example] as const))(
    'answers as it says: %s…',
    async (_, { command, status }) => {
      const [, ...words] = wordsOf(command, variables);
      let method = 'GET';
      let path = '';
      let body: string | undefined;
      const headers: Record<string, string> = {};
      for (let i = 0; i < words.length; i++) {
        if (words[i] === '-X') method = words[++i]!;
        else if (words[i] === '-d') body = words[++i]!;
        else if (words[i] === '-H') {
          const [name, value] = words[++i]!.split(': ') as [string, string];
          headers[name.toLowerCase()] = value;
        } else path = words[i]!;
      }
      const answer = await api.call(method, path, { key: null, headers, body });
      expect([answer.status, answer.text]).toEqual([status, expect.anything()]);
    },
  );

  it('tells of every path', () => {
    for (const { path } of routes) {
      const parts = path.split('/').filter((part) => part !== '' && !part.startsWith(':'));
      for (const part of parts) expect(page).toContain(part);
    }
  });
});
