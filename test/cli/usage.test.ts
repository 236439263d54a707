import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { settings } from '../../src/config/settings.ts';
import { version } from '../../src/version.ts';
import { ended, runCommand, startScript } from './run-command.ts';
import type { Ended } from './run-command.ts';

const folder = mkdtempSync(join(tmpdir(), 'posthorn-usage-'));
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: readonly string[]): Promise<Ended> => runCommand(argv, { cwd: folder });

const commands = [
  ['dev'],
  ['serve'],
  ['migrate'],
  ['keys', 'create'],
  ['events', 'send'],
  ['deliveries', 'list'],
  ['deliveries', 'redeliver'],
  ['webhooks', 'list'],
  ['webhooks', 'create'],
  ['webhooks', 'delete'],
  ['import'],
  ['ingest'],
  ['move'],
];

describe.concurrent('help', () => {
  test.each(commands.map((argv) => [argv.join(' '), argv] as const))(
    'of `posthorn %s` shows examples',
    async (name, argv) => {
      const { code, stdout, stderr } = await run([...argv, '--help']);
      expect(code).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).toMatch(new RegExp(`^Usage: posthorn ${name} `));
      expect(stdout).toMatch(new RegExp(`\nExamples:\n(.*\n)*.*posthorn ${name}`));
      if (name !== 'serve') expect(stdout).toContain('--json');
    },
  );

  test.each(['keys', 'events', 'deliveries', 'webhooks'])('of the group `posthorn %s` shows examples', async (name) => {
    const { code, stdout } = await run([name, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`\nExamples:\n(.*\n)*  posthorn ${name} `));
  });

  test.each(['keys create', 'migrate', 'serve', 'dev'])('of `posthorn %s` has --config apart', async (name) => {
    expect((await run([...name.split(' '), '--help'])).stdout).toMatch(/\nConfiguration:\n {2}--config <file> /);
  });

  test('of dev and serve lists every setting with its variable and default', async () => {
    for (const mode of ['dev', 'serve'] as const) {
      const { stdout } = await run([mode, '--help']);
      const text = stdout.replaceAll(/\s+/g, ' ');
      for (const setting of settings) {
        const fallback = setting.default[mode] === '' ? '' : `, default ${setting.default[mode]}`;
        expect(text).toContain(` ${setting.flag} `);
        expect(text).toContain(`(${setting.name}${fallback})`);
      }
    }
  });

  test.each([['--help'], ['help'], ['-h']])('is shown by %s with exit code 0', async (argument) => {
    const { code, stdout } = await run([argument]);
    expect(code).toBe(0);
    for (const name of ['dev', 'serve', 'migrate', 'keys', 'events', 'deliveries']) {
      expect(stdout).toMatch(new RegExp(`\n  ${name} `));
    }
  });

  test('goes to standard error with exit code 2 where no command is given', async () => {
    const { code, stdout, stderr } = await run([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: posthorn');
  });
});

test('--version prints the version alone', async () => {
  expect(await run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test('the command line also starts through a link and through the launcher', async () => {
  const link = join(folder, 'linked.ts');
  symlinkSync(join(import.meta.dirname, '../../src/cli/main.ts'), link);
  symlinkSync(join(import.meta.dirname, '../../package.json'), join(folder, 'package.json'));
  expect((await ended(startScript(link, ['--version'], { cwd: folder }))).stdout).toBe(`${version}\n`);
  expect((await ended(startScript('bin/posthorn.js', ['events', 'frob'], { cwd: folder }))).code).toBe(2);
});

describe.concurrent('a command written wrongly ends with exit code 2 and says what to change', () => {
  test.each([
    [['frob'], /^posthorn: unknown command 'frob'/],
    [['event'], /Did you mean events\?/],
    [['dev', '--prot', '1'], /^posthorn: unknown option '--prot'\n\(Did you mean --port\?\)/],
    [['dev', '--port'], /option '--port <port>' argument missing/],
    [['dev', 'extra'], /too many arguments/],
    [['events', 'send'], /missing required argument 'type'/],
    [['events', 'send', 'x', '--data', '{'], /^posthorn: --data: not valid JSON/],
    [['events', 'send', 'x', '--data', '{"a":1,"a":2}'], /^posthorn: --data: .*twice/],
    [
      ['events', 'send', 'x', '--data', '@/no/such/file'],
      /^posthorn: --data: \/no\/such\/file cannot be read \(ENOENT\)/,
    ],
    [
      ['events', 'send', 'x', '--occurred-at', 'yesterday'],
      /^posthorn: --occurred-at: "yesterday" is no time; give 2h/,
    ],
    [['events', 'send', 'x', '--url', 'localhost:3001'], /^posthorn: --url: "localhost:3001" is no address/],
    [['events', 'send', 'x', '--url', 'http://me:pw@127.0.0.1'], /^posthorn: --url: give the key with --api-key/],
    [['events', 'send', 'x', '--url', 'https://hooks.example.com'], /^posthorn: no API key for hooks\.example\.com/],
    [['events', 'send', 'x', '--api-key', 'two words'], /^posthorn: --api-key: /],
    [['deliveries', 'list', '--status', 'lost'], /^posthorn: --status: "lost" is unknown; give pending/],
    [['deliveries', 'list', '--limit', '0'], /^posthorn: --limit: "0" does not fit; give a number from 1 to 200/],
    [['deliveries', 'list', '--from', '2026-02-30T25:00:00Z'], /^posthorn: --from: /],
    [['deliveries', 'redeliver'], /^posthorn: give deliveries, or a filter with --status/],
    [['deliveries', 'redeliver', '--type', 'x'], /a filter with --status/],
    [['deliveries', 'redeliver', 'whd_1', '--status', 'held'], /^posthorn: give deliveries or a filter, not both/],
    [['deliveries', 'redeliver', '--status', 'held'], /^posthorn: add --yes to send all that match, or --dry-run/],
    [['deliveries', 'redeliver', '--status', 'held', '--yes', '--rate', '0'], /^posthorn: --rate: /],
    [['webhooks', 'create', 'https://example.com'], /required option '--events <types>'/],
    [['keys', 'create', '--role', 'king'], /^posthorn: --role: "king" is unknown; give viewer, member/],
    [['keys', 'create', '--role', 'operator', '--tenant', 'acme'], /^posthorn: an operator’s key is for every tenant/],
    [['keys', 'create', '--tenant', 'a b'], /^posthorn: --tenant: /],
    [['keys', 'create', '--scope', 'webhooks'], /^posthorn: --scope: "webhooks" is unknown; give events:read, /],
    [['keys', 'create', '--prefix', 'sk_'], /^posthorn: --prefix: "sk_" is unknown; give ph_live_, gx_live_/],
    [
      ['keys', 'create', '--role', 'owner', '--member', 'mem_1'],
      /^posthorn: a personal key has the role of its member/,
    ],
    [['keys', 'create', '--expires', '2020-01-01'], /^posthorn: --expires: that time has gone by/],
    [
      ['keys', 'create', '--api-key', 'k', '--data-dir', 'd'],
      /^posthorn: --data-dir is for making the key in the store itself/,
    ],
  ])('%j', async (argv, says) => {
    const { code, stdout, stderr } = await run(argv);
    expect(stderr).toMatch(says);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

test.concurrent.each([
  [['frob'], 'posthorn'],
  [['webhooks', 'frob'], 'posthorn webhooks'],
  [['events', 'send'], 'posthorn events send'],
  [['dev', '--prot', '1'], 'posthorn dev'],
])('%j names the help of `%s`', async (argv, name) => {
  expect((await run(argv)).stderr.trimEnd().split('\n').at(-1)).toBe(`See \`${name} --help\`.`);
});

describe.concurrent('a setting that does not fit ends with exit code 1 and one line', () => {
  test.each([
    [['dev', '--port', 'abc'], {}, /^posthorn: --port: "abc" does not fit/],
    [['dev', '--host', '0.0.0.0'], {}, /^posthorn: --host: "0\.0\.0\.0" can be reached by others/],
    [['serve'], { POSTHORN_TIMEOUT: '10' }, /^posthorn: POSTHORN_TIMEOUT: "10" is not a duration/],
    [
      ['serve'],
      { POSTHORN_DATABASE_URL: 'postgres://x' },
      /^posthorn: POSTHORN_DATABASE_URL: names no database; write its name behind the host/,
    ],
    [['serve'], { POSTHORN_DATADIR: 'x' }, /^posthorn: POSTHORN_DATADIR: .*did you mean POSTHORN_DATA_DIR\?/],
    [['migrate'], { POSTHORN_CONFIG: '/no/such/file' }, /^posthorn: configuration file: there is no file/],
    [['dev', '--config', '/no/such/file'], {}, /^posthorn: configuration file: there is no file/],
  ])('%j with %j', async (argv, env, says) => {
    const { code, stdout, stderr } = await runCommand(argv, { env, cwd: folder });
    expect(stderr).toMatch(says);
    expect(stderr.trimEnd()).not.toContain('\n');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  test('posthorn.config.json in the working directory is read', async () => {
    const cwd = mkdtempSync(join(folder, 'cwd-'));
    writeFileSync(join(cwd, 'posthorn.config.json'), '{"concurrency":0}');
    const { code, stderr } = await runCommand(['serve'], { cwd });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'posthorn: concurrency in posthorn.config.json: "0" does not fit; give a whole number from 1 to 1000\n',
    });
  });
});
