import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { withConnection } from '../../src/cli/connection.ts';
import { ingestExamples } from '../../src/cli/ingest.ts';
import { planIngest, withIngestOptions, type IngestFlags, type IngestPlan } from '../../src/cli/ingest-options.ts';
import { startFakeServer, type FakeServer } from '../cli/fake-server.ts';
import { runCommand } from '../cli/run-command.ts';
import { freePort } from './child.ts';
import { startIngest } from './ingest-process.ts';

/** The plan of a line as it stands in a page or in the help. */
function planOf(line: string): IngestPlan {
  const [, variables = '', rest = ''] = /^\s*((?:\w+=\S+ )*)posthorn ingest (.*)$/.exec(line)!;
  const env = Object.fromEntries(variables.split(' ').map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
  const command = withConnection(withIngestOptions(new Command('ingest'))).exitOverride();
  command.configureOutput({ writeErr: () => undefined }).parse(rest.split(' '), { from: 'user' });
  return planIngest(command.opts<IngestFlags>(), env as NodeJS.ProcessEnv);
}

const page = readFileSync(join(import.meta.dirname, '../../docs/queues.md'), 'utf8').replaceAll(/ \\\n\s*/g, ' ');
const examples = [...ingestExamples.split('\n'), ...page.split('\n')].filter((line) =>
  /^\s*(\w+=\S+ )*posthorn ingest /.test(line),
);

test('every example of the help and of docs/queues.md is one that the command takes', () => {
  expect(examples.length).toBeGreaterThan(8);
  const brokers = new Set(examples.map((line) => planOf(line).address.broker));
  expect(brokers).toEqual(new Set(['nats', 'kafka', 'amqp', 'sqs']));
});

test('an address has its hosts, user, password and path', () => {
  expect(planOf('posthorn ingest --from amqps://a%40b:p%2Fw@mq/shop%2Feu --queue q --type a').address).toEqual({
    ...{ broker: 'amqp', tls: true, hosts: ['mq'], user: 'a@b', password: 'p/w', path: 'shop/eu' },
  });
  const { address } = planOf('posthorn ingest --from kafka+ssl://a:1,b:2,[::1]:3 --topic t --type a');
  expect(address).toMatchObject({ broker: 'kafka', tls: true, hosts: ['a:1', 'b:2', '[::1]:3'], user: null });
});

describe('a line that asks for what cannot be is refused, and says what to change', () => {
  const nats = '--from nats://u:s3cret@h';
  test.each([
    ['--type a', /--from or POSTHORN_INGEST_FROM$/],
    ['--from http://h --type a', /http:\/\/ is unknown; give nats:\/\//],
    ['--from nats://u:s3cret@h?x=1 --stream S --type a', /is no address of a broker/],
    ['--from nats://u:s3%cret@h --stream S --type a', /a % that stands for nothing/],
    ['--from nats://h/S --type a', /--stream$/],
    ['--from amqp://a,b --queue q --type a', /amqp takes one$/],
    ['--from sqs://127.0.0.1:9/q --type a', /sqs:\/\/eu-central-1\/orders/],
    [`${nats} --type a`, /^say which stream with --stream$/],
    [`${nats} --stream S --topic t --type a`, /^--topic is not for nats:\/\/$/],
    [`${nats} --stream S`, /--type, --type-from and --envelope$/],
    [`${nats} --stream S --type a --type-from subject`, /--type, --type-from and --envelope$/],
    [`${nats} --stream S --type a..b`, /^--type: "a..b" is no event type/],
    [`${nats} --stream S --type-from body`, /^--type-from: "body" is no place/],
    [`${nats} --stream S --type a --group-from key`, /^--group-from: key is of Kafka/],
    [`${nats} --stream S --type a --id-from subject`, /^--id-from: "subject" is no place/],
    [`${nats} --stream S --envelope posthorn --group-from subject`, /^--group-from: /],
    [
      `${nats} --stream S --type a --on-invalid drop`,
      /^--on-invalid: "drop" is unknown; give stop, dead-letter, skip$/,
    ],
    [`${nats} --stream S --type a --on-invalid skip --dead-letter d`, /^--dead-letter goes with/],
    [`${nats} --stream S --type a --batch 0`, /^--batch: .* from 1 to 1000$/],
    [`${nats} --stream S --type a --max-wait 1`, /^--max-wait: /],
    [`${nats} --stream S --type a --tls-cert x`, /^--tls-cert and --tls-key go together$/],
    [`${nats} --stream S --type a --tls-ca /no/such`, /^--tls-ca: \/no\/such cannot be read \(ENOENT\)/],
    ['--from kafka://h --topic t --type a --dead-letter t', /^--dead-letter: give another place/],
    ['--from kafka://h --topic t --type a --sasl md5', /^--sasl: "MD5" is unknown; give plain, scram/],
    ['--from sqs://r/q --type a --dead-letter d', /redrive policy/],
    ['--from sqs://r/q --type-from subject', /messages of SQS have no subject$/],
  ])('%s', (line, says) => {
    expect(() => planOf(`posthorn ingest ${line}`)).toThrow(says);
    try {
      planOf(`posthorn ingest ${line}`);
    } catch (error) {
      expect((error as Error).message).not.toMatch(/s3%?cret/);
    }
  });
});

describe('the command', () => {
  let posthorn: FakeServer;
  beforeAll(async () => {
    posthorn = await startFakeServer();
    posthorn.answer = () => ({ status: 200, body: {} });
  });
  afterAll(() => posthorn.close());

  it('shows examples for every broker in its help', async () => {
    const { code, stdout } = await runCommand(['ingest', '--help'], { cwd: tmpdir() });
    expect(code).toBe(0);
    for (const broker of ['nats', 'kafka', 'amqp', 'sqs'])
      expect(stdout).toContain(`posthorn ingest --from ${broker}://`);
  });

  it.each([
    ['amqplib', 'amqp://127.0.0.1:1 --queue q'],
    ['@nats-io/transport-node', 'nats://127.0.0.1:1 --stream S'],
    ['@nats-io/jetstream', 'nats://127.0.0.1:1 --stream S'],
    ['@platformatic/kafka', 'kafka://127.0.0.1:1 --topic t'],
    ['@aws-sdk/client-sqs', 'sqs://eu-central-1/q'],
  ])('says how to install %s where it is missing', async (name, from) => {
    // As Node says it of a package that is not there.
    const hook = `import { registerHooks } from 'node:module';
      registerHooks({ resolve(specifier, context, next) {
        if (specifier !== ${JSON.stringify(name)}) return next(specifier, context);
        const error = new Error("Cannot find package '" + specifier + "' imported from here");
        throw Object.assign(error, { code: 'ERR_MODULE_NOT_FOUND' });
      } });`;
    const env = {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}`,
      POSTHORN_URL: posthorn.url,
    };
    const { code, stderr } = await startIngest(['--type', 'a', '--from', ...from.split(' ')], env).ended;
    expect(stderr).toBe(`posthorn: the package ${name} is not installed; npm install ${name}\n`);
    expect(code).toBe(1);
  });

  it('takes the address from the environment, and shows neither password nor key to who lists processes', async () => {
    // Nobody answers: it waits there for its time-out, and can be looked at.
    const silent = await startFakeServer();
    const asked = new Promise<void>((resolve) => {
      silent.answer = () => {
        resolve();
        return { status: 500, body: '{}', headers: { 'content-length': '100' } };
      };
    });
    const argv = [
      '--from',
      'amqp://app:s3cret@127.0.0.1:1',
      '--queue',
      'q',
      '--type',
      'a',
      '--api-key',
      'key-of-nobody-1',
    ];
    const one = startIngest(argv, { POSTHORN_URL: silent.url });
    await asked;
    const shown = process.platform === 'linux' ? readFileSync(`/proc/${one.pid}/cmdline`, 'utf8') : 'posthorn ingest';
    expect(shown).toContain('posthorn ingest');
    expect(shown).not.toMatch(/s3cret|key-of-nobody/);
    await one.end('SIGKILL');
    await silent.close();

    const env = { POSTHORN_INGEST_FROM: `amqp://app:s3cret@127.0.0.1:${await freePort()}`, POSTHORN_URL: posthorn.url };
    const { code, stdout, stderr } = await startIngest(['--queue', 'q', '--type', 'a'], env).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^posthorn: RabbitMQ at 127\.0\.0\.1:\d+ cannot be reached/);
    expect(stdout + stderr).not.toContain('s3cret');
  });
});
