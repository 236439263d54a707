import { defaultRetry, formatDuration } from '../model/retry.ts';
import { parseDatabaseUrl, parseSchema } from './database-url.ts';
import {
  byteSize,
  duration,
  oneOf,
  parseBoolean,
  parseCidrs,
  parseDisableAfter,
  parseHost,
  parseMasterKeys,
  parseOperatorKey,
  parseOptionalPath,
  parsePath,
  parsePorts,
  parseRole,
  parseSchedule,
  parseWireFormat,
  readMasterKeyFile,
  wholeNumber,
} from './values.ts';

/** `dev` trusts everybody on this machine and nobody else; `serve` is production. */
export type Mode = 'dev' | 'serve';

interface Definition<Value> {
  group: 'Server' | 'Keys' | 'Destinations' | 'Delivery' | 'Storage';
  /** What it does and when to change it; Markdown, one line. */
  meaning: string;
  /** How a value is written, for people: `port`, `true|false`. */
  values: string;
  /** The text that stands where nothing is given; `''` = not set. */
  default: string | Record<Mode, string>;
  /** True where the value must never be shown. */
  secret?: boolean;
  /** Reads a value's text. Throws an Error that says what is wrong and what to write, without the setting's name. */
  parse(text: string, mode: Mode): Value;
}

/** One setting: what the environment variable, the flag, the key in the file, the reference page and `--help` are made from. */
export interface Setting extends Definition<unknown> {
  /** Key in the configuration file: `dataDir`. */
  key: SettingKey;
  /** Environment variable: `POSTHORN_DATA_DIR`. */
  name: string;
  /** `--data-dir`. */
  flag: string;
  default: Record<Mode, string>;
  secret: boolean;
}

function define<Value>(definition: Definition<Value>): Definition<Value> {
  return definition;
}

const table = {
  host: define({
    group: 'Server',
    meaning: 'Address to listen on. `posthorn dev` takes none but this machine’s own.',
    values: 'address',
    default: '127.0.0.1',
    parse: parseHost,
  }),
  port: define({
    group: 'Server',
    meaning: 'Port to listen on; 0 takes any free one.',
    values: 'port',
    default: '3001',
    parse: wholeNumber(0, 65535),
  }),
  maxBody: define({
    group: 'Server',
    meaning: 'Largest request body that is accepted, and so the largest event.',
    values: 'size',
    default: '256KiB',
    parse: byteSize(1024, 64 * 1024 ** 2),
  }),
  rateLimit: define({
    group: 'Server',
    meaning:
      'Requests a minute that one key may make, sending events apart; 0 sets no limit. Nodes on one database count together.',
    values: 'number',
    default: { dev: '60000', serve: '6000' },
    parse: wholeNumber(0, 1_000_000_000),
  }),
  logLevel: define({
    group: 'Server',
    meaning:
      'How much is logged: `silent`, `error`, `warn`, `info` (failed attempts, changes of state) or `debug` (every event, attempt and request). `serve` writes JSON lines to standard output, `dev` plain ones to standard error.',
    values: 'level',
    default: 'info',
    parse: oneOf(['silent', 'error', 'warn', 'info', 'debug']),
  }),
  role: define({
    group: 'Server',
    meaning:
      'With PostgreSQL: what this node does. `api` takes requests, `deliver` sends; one alone needs another node that does the rest.',
    values: 'api,deliver|api|deliver',
    default: 'api,deliver',
    parse: parseRole,
  }),
  drain: define({
    group: 'Server',
    meaning: 'How long a stop waits for deliveries on the wire. What is not done by then is sent after the next start.',
    values: 'duration',
    default: '15s',
    parse: duration(0, 600_000),
  }),
  dataDir: define({
    group: 'Storage',
    meaning: 'Directory of the embedded store; created where it is missing.',
    values: 'path',
    default: './.posthorn',
    parse: parsePath,
  }),
  databaseUrl: define({
    group: 'Storage',
    meaning:
      'Keeps everything in this PostgreSQL (14 or later) instead of the embedded store, and makes a cluster of all who ' +
      'name the same one: `postgres://user:password@host:5432/database`. `?sslmode=verify-full` encrypts and checks whose ' +
      'server it is; [postgres.md](postgres.md) has the rest. ' +
      'Other people see flags in the list of processes: prefer the variable.',
    values: 'url',
    default: '',
    secret: true,
    parse: parseDatabaseUrl,
  }),
  databaseSchema: define({
    group: 'Storage',
    meaning: 'With PostgreSQL: the schema that holds all tables. It must be Posthorn’s own.',
    values: 'name',
    default: 'posthorn',
    parse: parseSchema,
  }),
  databasePoolSize: define({
    group: 'Storage',
    meaning: 'With PostgreSQL: connections that each process holds at most; one more listens.',
    values: 'number',
    default: '10',
    parse: wholeNumber(2, 200),
  }),
  databaseTimeout: define({
    group: 'Storage',
    meaning: 'With PostgreSQL: longest that one statement may take; what takes longer fails and is tried again.',
    values: 'duration',
    default: '10s',
    parse: duration(500, 600_000),
  }),
  outboxFile: define({
    group: 'Storage',
    meaning:
      'SQLite database of an application on this machine whose table `posthorn_outbox` events are taken from; see ' +
      '[outbox.md](outbox.md). With PostgreSQL nothing needs to be set: every node takes from the table there.',
    values: 'path',
    default: '',
    parse: parseOptionalPath,
  }),
  retentionDays: define({
    group: 'Storage',
    meaning:
      'Days for which events, deliveries and attempts are kept; 0 keeps them for ever. With PostgreSQL they go day by day, ' +
      'up to a day later.',
    values: 'days',
    default: '30',
    parse: wholeNumber(0, 36_500),
  }),
  payloadRetentionDays: define({
    group: 'Storage',
    meaning:
      'Days after which the data of events is forgotten while their history stays; 0 keeps it as long as the events. ' +
      'What has lost its data cannot be delivered again.',
    values: 'days',
    default: '0',
    parse: wholeNumber(0, 36_500),
  }),
  operatorKey: define({
    group: 'Keys',
    meaning:
      'API key with every right, for the first steps and for automation; at least 32 characters in `serve`. ' +
      'Other people see flags in the list of processes: prefer the variable.',
    values: 'key',
    default: { dev: 'dev-api-key-local', serve: '' },
    secret: true,
    parse: parseOperatorKey,
  }),
  signup: define({
    group: 'Keys',
    meaning: '`open` lets anybody make themselves a tenant with `POST /v1/signup`; `closed` refuses.',
    values: 'open|closed',
    default: { dev: 'open', serve: 'closed' },
    parse: oneOf(['open', 'closed']),
  }),
  masterKey: define({
    group: 'Keys',
    meaning:
      'Seals the signing secrets in the store: at least 32 characters. To change it, put the new key in front ' +
      'and keep the old one behind a comma. Without one, a key file is made beside the data, ' +
      'except that `serve` on PostgreSQL needs one: every node the same.',
    values: 'keys',
    default: '',
    secret: true,
    parse: parseMasterKeys,
  }),
  masterKeyFile: define({
    group: 'Keys',
    meaning: 'File with the master keys instead, one per line, newest first.',
    values: 'path',
    default: '',
    parse: readMasterKeyFile,
  }),
  allowHttp: define({
    group: 'Destinations',
    meaning: 'Lets endpoints have `http://` URLs, and port 80.',
    values: 'true|false',
    default: { dev: 'true', serve: 'false' },
    parse: parseBoolean,
  }),
  allowLoopback: define({
    group: 'Destinations',
    meaning: 'Lets endpoints be on this machine (127.0.0.0/8, ::1, localhost).',
    values: 'true|false',
    default: { dev: 'true', serve: 'false' },
    parse: parseBoolean,
  }),
  allowCidrs: define({
    group: 'Destinations',
    meaning:
      'Private networks that endpoints may be in, such as `10.1.0.0/16,fd00:1::/32`. ' +
      'With any, host names of the inside are allowed too.',
    values: 'networks',
    default: '',
    parse: parseCidrs,
  }),
  allowPorts: define({
    group: 'Destinations',
    meaning: 'Ports that endpoints may have besides 443 and 8443.',
    values: 'ports|any',
    default: { dev: 'any', serve: '' },
    parse: parsePorts,
  }),
  wireFormat: define({
    group: 'Delivery',
    meaning:
      'Wire format where neither endpoint nor tenant chose one: a preset (`standard`, `standard-ed25519`, `grantex`, `grantiva`, ' +
      '`gravv`, `lexigram`), a JSON file, or the JSON itself.',
    values: 'format',
    default: 'standard',
    parse: parseWireFormat,
  }),
  retrySchedule: define({
    group: 'Delivery',
    meaning: 'Waits between attempts, each ± 20 %; after the last one a delivery is a dead letter. `none` tries once.',
    values: 'durations|none',
    default: defaultRetry.scheduleMs.map(formatDuration).join(','),
    parse: parseSchedule,
  }),
  timeout: define({
    group: 'Delivery',
    meaning: 'Longest that one attempt may take, from the name look-up to the last byte of the response.',
    values: 'duration',
    default: '10s',
    parse: duration(100, 60_000),
  }),
  concurrency: define({
    group: 'Delivery',
    meaning: 'Attempts under way at once to one endpoint.',
    values: 'number',
    default: '64',
    parse: wholeNumber(1, 1000),
  }),
  disableAfter: define({
    group: 'Delivery',
    meaning:
      'Disables an endpoint after so many failed attempts in a row within a time, such as `50/24h`; what comes then is ' +
      'held until somebody enables it. `never` goes on.',
    values: 'never|failures/duration',
    default: 'never',
    parse: parseDisableAfter,
  }),
  lease: define({
    group: 'Delivery',
    meaning:
      'With PostgreSQL: how long a node that fell silent keeps what it was sending, before other nodes take it over. ' +
      'Shorter is sooner, and bears less of a stall of the database.',
    values: 'duration',
    default: '30s',
    parse: duration(2_000, 600_000),
  }),
  catalogue: define({
    group: 'Delivery',
    meaning: '`closed` refuses events whose type is not in the catalogue; `open` takes any.',
    values: 'open|closed',
    default: 'open',
    parse: oneOf(['open', 'closed']),
  }),
  createTenants: define({
    group: 'Delivery',
    meaning: 'Creates a tenant the first time an operator’s key names it.',
    values: 'true|false',
    default: { dev: 'true', serve: 'false' },
    parse: parseBoolean,
  }),
};

export type SettingKey = keyof typeof table;

/** What the settings are once read. */
export type SettingValues = { [Key in SettingKey]: ReturnType<(typeof table)[Key]['parse']> };

/** The one table of settings, in the order of the reference page. */
export const settings: readonly Setting[] = (Object.keys(table) as SettingKey[]).map((key) => {
  const definition: Definition<unknown> = table[key];
  const given = definition.default;
  return {
    ...definition,
    key,
    name: `POSTHORN_${key.replaceAll(/[A-Z]/g, '_$&').toUpperCase()}`,
    flag: `--${key.replaceAll(/[A-Z]/g, '-$&').toLowerCase()}`,
    default: typeof given === 'string' ? { dev: given, serve: given } : given,
    secret: definition.secret ?? false,
  };
});
