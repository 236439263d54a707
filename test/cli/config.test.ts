import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, loadConfig, settings } from '../../src/config.ts';
import type { Config, Mode, SettingKey } from '../../src/config.ts';
import { presetNames } from '../../src/wire/wire.ts';

const folder = mkdtempSync(join(tmpdir(), 'posthorn-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const longKey = 'k'.repeat(32);
const otherKey = 'o'.repeat(40);
const keyFile = join(folder, 'keys');
const emptyFile = join(folder, 'empty');
const formatFile = join(folder, 'format.json');
const customFormat = {
  body: { type: '{event.type}', data: '{event.data}' },
  signatures: [{ header: 'X-Sign', algorithm: 'hmac-sha256', encoding: 'hex', signed: '{body}' }],
};
beforeAll(() => {
  writeFileSync(keyFile, `${longKey}\n${otherKey}\n`);
  writeFileSync(emptyFile, '\n');
  writeFileSync(formatFile, JSON.stringify(customFormat));
});

/** For each setting: texts that are read, and texts that are refused with what the one line must say. */
const cases: Record<
  SettingKey,
  { good: [text: string, part: Partial<Config>][]; bad: [text: string, says: RegExp][] }
> = {
  host: {
    good: [
      ['0.0.0.0', { host: '0.0.0.0' }],
      ['[::]', { host: '::' }],
      ['posthorn.internal', { host: 'posthorn.internal' }],
    ],
    bad: [
      ['256.1.1.1', /is not an address; give one to listen on/],
      ['http://x', /is not an address/],
    ],
  },
  port: {
    good: [
      ['0', { port: 0 }],
      ['65535', { port: 65535 }],
    ],
    bad: [
      ['65536', /"65536" does not fit; give a whole number from 0 to 65535/],
      ['-1', /whole number/],
      ['3001.5', /whole number/],
      ['abc', /whole number/],
    ],
  },
  maxBody: {
    good: [
      ['1MiB', { maxBodyBytes: 1_048_576 }],
      ['2048B', { maxBodyBytes: 2048 }],
    ],
    bad: [
      ['256KB', /"256KB" is not a size; give a number with B, KiB or MiB/],
      ['1B', /does not fit.*from 1KiB to 64MiB/],
    ],
  },
  logLevel: {
    good: [
      ['debug', { logLevel: 'debug' }],
      ['silent', { logLevel: 'silent' }],
    ],
    bad: [['verbose', /"verbose" is unknown; give one of silent, error, warn, info, debug/]],
  },
  drain: {
    good: [
      ['0s', { drainMs: 0 }],
      ['1m', { drainMs: 60_000 }],
    ],
    bad: [
      ['15', /"15" is not a duration; give a number with ms, s, m, h or d, from 0ms to 10m/],
      ['1h', /does not fit/],
    ],
  },
  dataDir: {
    good: [
      ['/var/lib/posthorn', { dataDir: '/var/lib/posthorn' }],
      ['here', { dataDir: resolve('here') }],
    ],
    bad: [['a\0b', /holds a zero byte/]],
  },
  databaseUrl: {
    good: [
      ['', { databaseUrl: null }],
      ['postgres://me:hunter2@db/x', { databaseUrl: 'postgres://me:hunter2@db/x' }],
      ['postgresql://me:p%23%2F@[::1]:6432/x', { databaseUrl: 'postgresql://me:p%23%2F@[::1]:6432/x' }],
      ['postgres://me@/x?host=/run/postgresql', { databaseUrl: 'postgres://me@localhost/x?host=/run/postgresql' }],
      ['postgres:///x', { databaseUrl: 'postgres:///x' }],
      ['postgres://db/x?sslmode=verify-full', { databaseUrl: 'postgres://db/x?sslmode=verify-full' }],
      ['postgres://db/x?sslmode=require', { databaseUrl: 'postgres://db/x?sslmode=require&uselibpqcompat=true' }],
    ],
    bad: [
      ['mysql://me:hunter2@db/x', /is not the URL of a PostgreSQL database; give one such as postgres:/],
      ['db.internal', /is not the URL of a PostgreSQL database/],
      ['postgres://me:hunter2@db', /names no database; write its name behind the host/],
      ['postgres://me:hunter2@db/', /names no database/],
      ['postgres://me:hunter2#1@db/x', /holds a #; write it %23/],
      ['postgres://me:hunter2%@db/x', /holds a % that begins no code; write it %25/],
      ['postgres://me:hunter2 @db/x', /holds a space; write it %20/],
      ['postgres://me:hunter2@db:x/x', /is not a valid URL; .* with : \/ \? # @ in the password written %3A/],
      ['postgres://me:hunter2/@db/x', /is not a valid URL/],
      [
        'postgres://me:hunter2@one:5432,two:5432/x',
        /names several hosts; give one name that always leads to the primary/,
      ],
      ['postgres://me:hunter2@db/x?schema=app', /names a schema; leave that out and set POSTHORN_DATABASE_SCHEMA/],
      [
        'postgres://me:hunter2@db/x?pool_max=3',
        /has the parameter pool_max, which Posthorn does not take; leave it out/,
      ],
      [
        'postgres://me:hunter2@db/x?sslmode=prefer',
        /an sslmode that is unknown here; give one of disable, no-verify, require/,
      ],
      [
        'postgres://me:hunter2@db/x?sslmode=verify-ca',
        /without a certificate to check against; add sslrootcert=<file>/,
      ],
      [
        `postgres://me:hunter2@db/x?sslrootcert=${join(folder, 'none')}`,
        /has an sslrootcert that does not work: there is no file/,
      ],
    ],
  },
  databaseSchema: {
    good: [['hooks_2', { databaseSchema: 'hooks_2' }]],
    bad: [
      ['My-Schema', /is not a name that fits; give at most 41 small letters, digits and _/],
      ['x'.repeat(42), /is not a name that fits/],
      ['pg_hooks', /is a name of PostgreSQL's own/],
    ],
  },
  databasePoolSize: { good: [['50', { databasePoolSize: 50 }]], bad: [['1', /whole number from 2 to 200/]] },
  databaseTimeout: { good: [['1m', { databaseTimeoutMs: 60_000 }]], bad: [['100ms', /a duration from 500ms to 10m/]] },
  outboxFile: { good: [['./app.db', { outboxFile: resolve('app.db') }]], bad: [['a\0b', /zero byte; give a path/]] },
  lease: { good: [['5s', { leaseMs: 5_000 }]], bad: [['1s', /a duration from 2s to 10m/]] },
  role: {
    good: [
      ['api,deliver', { role: { api: true, deliver: true } }],
      ['deliver, api', { role: { api: true, deliver: true } }],
    ],
    bad: [
      ['worker', /"worker" is unknown; give one of api, deliver/],
      [',', /names nothing to do; give api, deliver, or api,deliver/],
      ['api', /an embedded store has one process, which does everything; leave it out, or set POSTHORN_DATABASE_URL/],
    ],
  },
  retentionDays: {
    good: [
      ['0', { retentionDays: 0 }],
      ['365', { retentionDays: 365 }],
    ],
    bad: [
      ['30d', /whole number/],
      ['forever', /whole number/],
    ],
  },
  payloadRetentionDays: { good: [['7', { payloadRetentionDays: 7 }]], bad: [['7d', /whole number/]] },
  operatorKey: {
    good: [[longKey, { operatorKey: longKey }]],
    bad: [
      ['x'.repeat(31), /has 31 characters; give 32 to 512/],
      [`${longKey} ä`, /give visible ASCII/],
    ],
  },
  masterKey: {
    good: [
      [longKey, { masterKeys: [longKey] }],
      [`${otherKey}, ${longKey}`, { masterKeys: [otherKey, longKey] }],
    ],
    bad: [
      ['short', /has 5 characters; give at least 32/],
      [`${longKey},short`, /its key 2 has 5 characters/],
      [`${longKey},${longKey}`, /names a key twice/],
    ],
  },
  masterKeyFile: {
    good: [[keyFile, { masterKeys: [longKey, otherKey] }]],
    bad: [
      [join(folder, 'none'), /there is no file .*; create it or correct the path/],
      [folder, /cannot be read \(EISDIR\)/],
      [emptyFile, /holds no key/],
    ],
  },
  allowHttp: { good: [['true', { allowHttp: true }]], bad: [['yes', /neither true nor false; give one of the two/]] },
  allowLoopback: { good: [['true', { allowLoopback: true }]], bad: [['1', /neither true nor false/]] },
  allowCidrs: {
    good: [['10.1.0.0/16, fd00:1::/32', { allowCidrs: ['10.1.0.0/16', 'fd00:1::/32'] }]],
    bad: [['10.1.0.0/33', /"10.1.0.0\/33" is not a network; write it like/]],
  },
  allowPorts: {
    good: [
      ['9000,9001', { allowPorts: [9000, 9001], allowAnyPort: false }],
      ['any', { allowPorts: [], allowAnyPort: true }],
    ],
    bad: [
      ['0', /"0" is not a port/],
      ['80,http', /"http" is not a port; give numbers from 1 to 65535/],
    ],
  },
  wireFormat: {
    good: [
      ['grantex', { wireFormat: 'grantex' }],
      [JSON.stringify(customFormat), { wireFormat: customFormat }],
      [formatFile, { wireFormat: customFormat }],
    ],
    bad: [
      ['grantx', /"grantx" is not a wire format; use one of standard, standard-ed25519, grantex/],
      ['{"body":', /is not valid JSON/],
      ['{"signatures":[]}', /body/],
      [join(folder, 'none.json'), /there is no file/],
    ],
  },
  retrySchedule: {
    good: [
      ['1s, 2m', { retryScheduleMs: [1000, 120_000] }],
      ['none', { retryScheduleMs: [] }],
    ],
    bad: [
      ['5s,soon', /"soon" is not a duration/],
      ['31d', /does not fit/],
      [Array(101).fill('1s').join(','), /at most 100/],
    ],
  },
  timeout: {
    good: [
      ['500ms', { timeoutMs: 500 }],
      ['60s', { timeoutMs: 60_000 }],
    ],
    bad: [
      ['10', /is not a duration/],
      ['2m', /"2m" does not fit; give a duration from 100ms to 1m/],
    ],
  },
  concurrency: { good: [['1', { concurrency: 1 }]], bad: [['0', /whole number from 1 to 1000/]] },
  rateLimit: {
    good: [
      ['0', { rateLimit: 0 }],
      ['600', { rateLimit: 600 }],
    ],
    bad: [['100/s', /whole number from 0/]],
  },
  signup: { good: [['open', { signup: 'open' }]], bad: [['yes', /give one of open, closed/]] },
  disableAfter: {
    good: [
      ['never', { disableAfter: null }],
      ['50/24h', { disableAfter: { failures: 50, withinMs: 86_400_000 } }],
    ],
    bad: [
      ['50', /"50" does not fit; give failures and a time, such as 50\/24h, or never/],
      ['0/1h', /"0" does not fit; give a whole number from 1/],
      ['5/soon', /"soon" is not a duration/],
      ['5/1h/2h', /does not fit/],
    ],
  },
  catalogue: { good: [['closed', { catalogue: 'closed' }]], bad: [['shut', /give one of open, closed/]] },
  createTenants: { good: [['true', { createTenants: true }]], bad: [['on', /neither true nor false/]] },
};

function load(env: Record<string, string>, mode: Mode = 'serve'): Config {
  return loadConfig({ mode, flags: {}, env, file: null });
}

function problemOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

describe.each(settings.map((setting) => ({ setting, title: setting.name })))('$title', ({ setting }) => {
  const { good, bad } = cases[setting.key];

  test('is read from the environment', () => {
    for (const [text, part] of good) expect(load({ [setting.name]: text })).toMatchObject(part);
  });

  test('is read from a flag and from the file', () => {
    for (const [text, part] of good) {
      const file = join(folder, 'posthorn.config.json');
      writeFileSync(file, JSON.stringify({ [setting.key]: text }));
      expect(loadConfig({ mode: 'serve', flags: { [setting.key]: text }, env: {}, file: null })).toMatchObject(part);
      expect(loadConfig({ mode: 'serve', flags: {}, env: {}, file })).toMatchObject(part);
    }
  });

  test('is refused in one line that names it and the remedy where it does not fit', () => {
    for (const [text, says] of bad) {
      const problem = problemOf(() => load({ [setting.name]: text }));
      expect(problem).toMatch(says);
      expect(problem.startsWith(`${setting.name}: `)).toBe(true);
      expect(problem).not.toMatch(/[\r\n]/);
      if (setting.secret) expect(problem).not.toContain(text);
      expect(problem).not.toContain('hunter2');
      expect(problemOf(() => loadConfig({ mode: 'serve', flags: { [setting.key]: text }, env: {}, file: null }))).toBe(
        problem.replace(setting.name, setting.flag),
      );
    }
  });

  test('has a default that is itself a good value, in both modes', () => {
    for (const mode of ['dev', 'serve'] as const) {
      const text = setting.default[mode];
      expect(() => setting.parse(text, mode)).not.toThrow();
      if (text !== '') expect(load({ [setting.name]: text }, mode)).toEqual(load({}, mode));
    }
  });
});

describe('the modes', () => {
  test('development trusts everybody on this machine', () => {
    expect(load({}, 'dev')).toMatchObject({
      host: '127.0.0.1',
      port: 3001,
      operatorKey: 'dev-api-key-local',
      allowHttp: true,
      allowLoopback: true,
      allowAnyPort: true,
      createTenants: true,
      signup: 'open',
      rateLimit: 60_000,
      disableAfter: null,
      wireFormat: 'standard',
    });
  });

  test('production opens nothing by itself', () => {
    expect(load({})).toMatchObject({
      operatorKey: null,
      allowHttp: false,
      allowLoopback: false,
      allowCidrs: [],
      allowPorts: [],
      allowAnyPort: false,
      createTenants: false,
      signup: 'closed',
      rateLimit: 6_000,
      disableAfter: null,
      masterKeys: [],
      logLevel: 'info',
    });
  });

  test.each(['0.0.0.0', '::', '192.168.1.5', 'example.com', '128.0.0.1'])(
    'development does not listen on %s',
    (host) => {
      expect(problemOf(() => load({ POSTHORN_HOST: host }, 'dev'))).toMatch(/run `posthorn serve`/);
    },
  );

  test.each(['127.0.0.1', '127.8.9.1', '::1', '[::1]', 'localhost'])('development listens on %s', (host) => {
    expect(load({ POSTHORN_HOST: host }, 'dev').host).toBe(host.replace(/[[\]]/g, ''));
  });

  test('an operator key of 16 characters does in development and not in production', () => {
    const env = { POSTHORN_OPERATOR_KEY: 'a'.repeat(16) };
    expect(load(env, 'dev').operatorKey).toBe('a'.repeat(16));
    expect(problemOf(() => load(env))).toMatch(/has 16 characters/);
  });
});

test('a node of a cluster may have one role alone', () => {
  const env = { POSTHORN_DATABASE_URL: 'postgres://db/posthorn' };
  expect(load({ ...env, POSTHORN_ROLE: 'api' }).role).toEqual({ api: true, deliver: false });
  expect(load({ ...env, POSTHORN_ROLE: 'deliver' }).role).toEqual({ api: false, deliver: true });
});

describe('where a setting comes from', () => {
  const file = join(folder, 'order.json');

  test('a flag stands before the variable, the variable before the file, the file before the default', () => {
    writeFileSync(file, JSON.stringify({ port: 1, concurrency: 1, timeout: '1s' }));
    const env = { POSTHORN_PORT: '2', POSTHORN_CONCURRENCY: '2' };
    const { port, concurrency, timeoutMs, maxBodyBytes } = loadConfig({
      mode: 'serve',
      flags: { port: '3' },
      env,
      file,
    });
    expect({ port, concurrency, timeoutMs, maxBodyBytes }).toEqual({
      port: 3,
      concurrency: 2,
      timeoutMs: 1000,
      maxBodyBytes: 262_144,
    });
  });

  test('the file takes numbers, booleans, lists and objects as JSON has them', () => {
    writeFileSync(
      file,
      JSON.stringify({
        port: 0,
        allowHttp: true,
        allowPorts: [80, 9000],
        retrySchedule: ['1s', '2s'],
        wireFormat: customFormat,
      }),
    );
    expect(loadConfig({ mode: 'serve', flags: {}, env: {}, file })).toMatchObject({
      port: 0,
      allowHttp: true,
      allowPorts: [80, 9000],
      retryScheduleMs: [1000, 2000],
      wireFormat: customFormat,
    });
  });

  test('POSTHORN_CONFIG names the file, and a file that is named must be there', () => {
    writeFileSync(file, JSON.stringify({ port: 4444 }));
    expect(loadConfig({ mode: 'serve', flags: {}, env: { POSTHORN_CONFIG: file } }).port).toBe(4444);
    const missing = { POSTHORN_CONFIG: join(folder, 'nowhere.json') };
    expect(problemOf(() => loadConfig({ mode: 'serve', flags: {}, env: missing }))).toMatch(/there is no file/);
  });

  test.each([
    ['{"port":3001', /is not valid JSON/],
    ['[]', /holds no JSON object/],
    ['{"port":null}', /null is no value; leave the line out/],
    ['{"port":{"a":1}}', /port in .*order\.json: .*whole number/],
    ['{"prot":1}', /prot in .*order\.json: there is no such setting; did you mean port in/],
    ['{"data\\ndir":1}', /there is no such setting/],
  ])('a file with %s is refused in one line', (text, says) => {
    writeFileSync(file, text);
    const problem = problemOf(() => loadConfig({ mode: 'serve', flags: {}, env: {}, file }));
    expect(problem).toMatch(says);
    expect(problem).not.toMatch(/[\r\n]/);
  });

  test('an unknown variable or flag is an error that suggests the nearest name', () => {
    expect(problemOf(() => load({ POSTHORN_PROT: '1' }))).toBe(
      'POSTHORN_PROT: there is no such setting; did you mean POSTHORN_PORT?',
    );
    expect(problemOf(() => load({ POSTHORN_SOMETHING_ELSE_ALTOGETHER: '1' }))).toMatch(/remove it, or see/);
    expect(problemOf(() => loadConfig({ mode: 'dev', flags: { prot: '1' }, env: {}, file: null }))).toMatch(/--prot: /);
  });

  test('an empty variable counts as not set, and those of the command line are known', () => {
    const env = { POSTHORN_PORT: '', POSTHORN_DATABASE_URL: '', POSTHORN_URL: 'http://x', POSTHORN_API_KEY: 'k' };
    expect(load(env)).toEqual(load({}));
  });

  test('variables that Kubernetes adds for a service called posthorn are passed over', () => {
    const env = {
      POSTHORN_SERVICE_HOST: '10.0.0.1',
      POSTHORN_SERVICE_PORT_HTTP: '3001',
      POSTHORN_PORT: 'tcp://10.0.0.1:3001',
      POSTHORN_PORT_3001_TCP_ADDR: '10.0.0.1',
    };
    expect(load(env)).toEqual(load({}));
  });

  test('a master key and a master key file together are refused', () => {
    const env = { POSTHORN_MASTER_KEY: longKey, POSTHORN_MASTER_KEY_FILE: keyFile };
    expect(problemOf(() => load(env))).toBe(
      'POSTHORN_MASTER_KEY and POSTHORN_MASTER_KEY_FILE are both set; keep one of them',
    );
  });
});

test('the setting for the wire format names every preset', () => {
  const { meaning } = settings.find(({ key }) => key === 'wireFormat')!;
  for (const preset of presetNames) expect(meaning).toContain(`\`${preset}\``);
});
