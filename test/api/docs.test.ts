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
  /** The body as the page shows it, `"…"` where it leaves something out; undefined where it shows none. */
  shown: unknown;
  /** Members that the page names instead: `200 with "data" and "deliveries"`. */
  named: string[];
  /** The variable that takes the answer's id: `export EVENT=<id>`. */
  variable: string | undefined;
}

/** Each curl of the page, in its order, with what the line below promises. */
const examples: Example[] = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
  [...block!.matchAll(/^(curl (?:.*\\\n)*.*)\n# (\d{3})(.*)/gm)].map(([, command, status, promise]) => ({
    command: command!.replaceAll('\\\n', ' '),
    status: Number(status),
    shown: bodyIn(promise!),
    named: /^ with ("\w+"(?:(?:, | and )"\w+")*)/.exec(promise!)?.[1]!.match(/\w+(?=")/g) ?? [],
    variable: /; export ([A-Z_]+)=/.exec(promise!)?.[1],
  })),
);

/** The JSON that a promise begins with. */
function bodyIn(promise: string): unknown {
  if (!promise.startsWith(' {')) return undefined;
  let depth = 0;
  const end = [...promise].findIndex((letter) => {
    depth += letter === '{' ? 1 : letter === '}' ? -1 : 0;
    return letter === '}' && depth === 0;
  });
  return JSON.parse(promise.slice(0, end + 1).replaceAll(/([:[])…/g, '$1"…"'));
}

/** What the page shows, as a matcher: `…` is anything that is there, `evt_…` what begins so, `[…]` any list. */
function matcherOf(shown: unknown): unknown {
  if (typeof shown === 'string' && shown.endsWith('…'))
    return expect.toSatisfy((value: unknown) => begins(value, shown));
  if (Array.isArray(shown)) return shown[0] === '…' ? expect.any(Array) : shown.map(matcherOf);
  if (typeof shown !== 'object' || shown === null) return shown;
  return expect.objectContaining(
    Object.fromEntries(Object.entries(shown).map(([name, value]) => [name, matcherOf(value)])),
  );
}

function begins(value: unknown, shown: string): boolean {
  if (shown === '…') return value !== undefined;
  return typeof value === 'string' && value.startsWith(shown.slice(0, -1));
}

/** The words of a shell command: quotes taken off, variables filled in. */
function wordsOf(command: string, variables: Record<string, string>): string[] {
  return [...command.matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, single, double, bare]) =>
    single !== undefined
      ? single
      : (double?.replaceAll('\\"', '"') ?? bare ?? '').replaceAll(/\$([A-Z_]+)/g, (_, name: string) => {
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

  /** Nobody types so fast that a delivery is still on its way at the next example. */
  async function everythingArrived(): Promise<void> {
    let waiting;
    do waiting = (await api.call('GET', '/v1/deliveries?status=pending,sending')).body.deliveries.length;
    while (waiting > 0);
  }

  beforeAll(async () => {
    [api, receiver] = await Promise.all([startApi(), startReceiver()]);
    // As examples/receiver.mjs answers.
    receiver.answer('/hook', 204);
  });
  afterAll(async () => {
    await api.stop();
    await receiver.close();
  });

  it('has examples', () => {
    expect(examples.length).toBe(page.match(/^curl /gm)!.length);
    expect(examples.length).toBeGreaterThan(25);
    expect(examples.filter(({ shown, named }) => shown !== undefined || named.length > 0).length).toBeGreaterThan(15);
  });

  it.each(examples.map((example) => [example.command.replaceAll(/\s+/g, ' ').slice(0, 90), example] as const))(
    'answers as it says, each after the one before: %s…',
    async (_, { command, status, shown, named, variable }) => {
      await everythingArrived();
      const [, ...words] = wordsOf(command, variables);
      let method = 'GET';
      let path = '';
      let body: string | undefined;
      const headers: Record<string, string> = {};
      for (let i = 0; i < words.length; i++) {
        if (words[i] === '-X') method = words[++i]!;
        else if (words[i] === '-d') body = words[++i]!.replace('http://127.0.0.1:9000/hook', receiver.url('/hook'));
        else if (words[i] === '-H') {
          const [name, value] = words[++i]!.split(': ') as [string, string];
          headers[name.toLowerCase()] = value;
        } else path = words[i]!;
      }
      const answer = await api.call(method, path, { key: null, headers, body });
      expect({ status: answer.status, text: answer.text }).toEqual({ status, text: expect.anything() });
      if (shown !== undefined) expect(answer.body).toEqual(matcherOf(shown));
      for (const name of named) expect(answer.body).toHaveProperty(name);
      if (variable !== undefined) variables[variable] = answer.body.id;
      // The page says it in words: the id of the event's first delivery.
      if (variable === 'DELIVERY') variables.DELIVERY = answer.body.deliveries[0]!.id;
    },
  );

  it('tells of every path', () => {
    for (const { path } of routes) {
      const parts = path.split('/').filter((part) => part !== '' && !part.startsWith(':'));
      for (const part of parts) expect(page).toContain(part);
    }
  });
});
