import type { Command } from 'commander';
import { keyPrefixes } from '../api/key-text.ts';
import type { KeyPrefix } from '../api/key-text.ts';
import { scopes } from '../model/scope.ts';
import type { Scope } from '../model/scope.ts';
import { isTenantId, roles } from '../model/tenant.ts';
import type { Role } from '../model/tenant.ts';
import { callApi } from './client.ts';
import type { Connection } from './client.ts';
import { connectionOf } from './connection.ts';
import { usage } from './failure.ts';
import type { SettingKey } from '../config/settings.ts';
import { formatMoment, parseMoment } from './moment.ts';
import { configOf, withSettings } from './setting-options.ts';
import { storeName } from './store-name.ts';
import { plain, print, printJson, styled } from './terminal.ts';

interface CreateOptions extends Readonly<Record<string, unknown>> {
  role?: string;
  tenant?: string;
  member?: string;
  scope?: readonly string[];
  prefix?: string;
  name?: string;
  expires?: string;
  url?: string;
  apiKey?: string;
  dataDir?: string;
  databaseUrl?: string;
  databaseSchema?: string;
  json?: boolean;
}

/** A key that is to be made. */
export interface KeyRequest {
  /** Null for a personal key, whose role is that of its member. */
  role: Role | null;
  /** Null for an operator's. */
  tenantId: string | null;
  /** `mem_…`; null for an application key. */
  memberId: string | null;
  /** What it may of what its role may; null = all of it. */
  scopes: readonly Scope[] | null;
  /** Null = the usual one. */
  prefix: KeyPrefix | null;
  name: string | null;
  /** Epoch ms; null = never. */
  expiresAt: number | null;
}

/** A key just made; the only time its text is known. */
export interface MadeKey {
  id: string;
  key: string;
}

const storeSettings: readonly SettingKey[] = [
  ...(['dataDir', 'databaseUrl', 'databaseSchema', 'masterKey', 'masterKeyFile'] as const),
];

export function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .summary('make API keys')
    .description('API keys: who may do what.')
    .addHelpText(
      'after',
      `
Examples:
  posthorn keys create --role operator --name bootstrap
  posthorn keys create --role member --tenant acme --url https://hooks.example.com --api-key "$OPERATOR_KEY"`,
    );
  const create = keys
    .command('create')
    .summary('make an API key')
    .description(
      'Makes an API key and shows it, this once: in the database, or the embedded store of a stopped server, which is ' +
        'how the first key of a new installation is made; or with --url or --api-key through a running server.',
    )
    .option('--role <role>', `what it may do: ${roles.join(', ')} (default: owner; with --member that of the member)`)
    .option('--tenant <id>', 'tenant it acts for (default: default; none for an operator)')
    .option('--member <id>', 'member it speaks for (mem_…): a personal key')
    .option('--scope <scope>', `narrows it; give it more than once for several: ${scopes.join(', ')}`, collect)
    .option('--prefix <prefix>', `how it begins: ${keyPrefixes.join(', ')} (default: ph_live_, with --member gpat_)`)
    .option('--name <name>', 'what it is for, to tell it from others')
    .option('--expires <time>', 'when it ends: 90d, or 2027-01-01T00:00:00Z (default: never)')
    .optionsGroup('Connection:')
    .option('--url <url>', 'address of a running server (POSTHORN_URL, default http://127.0.0.1:3001 with --api-key)')
    .option('--api-key <key>', 'key of an owner or operator there (POSTHORN_API_KEY)')
    .optionsGroup('Output:')
    .option('--json', 'print the answer as JSON');
  withSettings(create, 'serve', storeSettings)
    .addHelpText(
      'after',
      `
Examples:
  posthorn keys create --role operator --name bootstrap --data-dir /var/lib/posthorn
  posthorn keys create --role member --tenant acme --name ci --expires 90d
  posthorn keys create --role member --scope events:write --prefix gx_live_
  posthorn keys create --tenant acme --url https://hooks.example.com --api-key "$OPERATOR_KEY" --json`,
    )
    .action(createKey);
}

async function createKey(options: CreateOptions): Promise<void> {
  const request = readRequest(options);
  const connection = findServer(options, request);
  let made: MadeKey;
  let place: string;
  if (connection !== null) {
    made = await createKeyThere(connection, request);
    place = connection.url;
  } else {
    const config = await configOf('serve', options, storeSettings);
    const { createKeyInStore } = await import('./create-key-in-store.ts');
    made = await createKeyInStore(config, request, options);
    place = storeName(config);
  }
  const expiresAt = request.expiresAt === null ? null : new Date(request.expiresAt).toISOString();
  if (options.json) {
    const { role, tenantId: tenant, memberId: member, scopes: narrowed, name } = request;
    printJson({ ...made, role, tenant, member, scopes: narrowed, name, expiresAt });
    return;
  }
  const whose = request.tenantId === null ? 'any tenant' : `tenant ${request.tenantId}`;
  print(`Key      ${styled('bold', plain(made.key))}`);
  print(`Id       ${plain(made.id)}`);
  print(`Role     ${request.role ?? `that of ${plain(request.memberId ?? '')}`} of ${whose}`);
  if (request.scopes !== null) print(`Scopes   ${request.scopes.join(', ')}`);
  print(`Expires  ${expiresAt === null ? 'never' : formatMoment(expiresAt)}`);
  print(`Made in  ${place}`);
  print(styled('dim', 'The key is not shown again.'));
}

/** Gathers an option that may be given more than once. */
function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** Takes a word of a list, or throws a usage failure that names the list. */
function oneOf<const Word extends string>(option: string, words: readonly Word[], given: string): Word {
  const found = words.find((word) => word === given);
  if (found !== undefined) return found;
  throw usage(`${option}: ${JSON.stringify(given.slice(0, 40))} is unknown; give ${words.join(', ')}`);
}

function readRequest({ role, tenant, member, scope, prefix, name, expires }: CreateOptions): KeyRequest {
  const found = role === undefined ? null : oneOf('--role', roles, role);
  if (found !== null && member !== undefined)
    throw usage('a personal key has the role of its member; leave out --role');
  if (found === 'operator' && tenant !== undefined)
    throw usage('an operator’s key is for every tenant; leave out --tenant');
  const tenantId = found === 'operator' ? null : (tenant ?? 'default');
  if (tenantId !== null && !isTenantId(tenantId)) {
    throw usage('--tenant: give 1 to 128 letters, digits and . _ : - that begin with a letter or digit');
  }
  const now = Date.now();
  const expiresAt = expires === undefined ? null : parseMoment(expires, '--expires', 1, now);
  if (expiresAt !== null && expiresAt <= now) throw usage('--expires: that time has gone by; give one to come');
  return {
    role: member === undefined ? (found ?? 'owner') : null,
    tenantId,
    memberId: member ?? null,
    scopes: scope?.map((one) => oneOf('--scope', scopes, one)) ?? null,
    prefix: prefix === undefined ? null : oneOf('--prefix', keyPrefixes, prefix),
    name: name ?? null,
    expiresAt,
  };
}

/** The server to ask, where one is named or a key for it is given; null = use the store. Throws usage failures. */
function findServer(options: CreateOptions, { tenantId }: KeyRequest): Connection | null {
  const { url, apiKey, dataDir, databaseUrl } = options;
  const given = [url, apiKey, process.env.POSTHORN_URL, process.env.POSTHORN_API_KEY];
  if (!given.some((value) => value !== undefined && value !== '')) return null;
  if (dataDir !== undefined || databaseUrl !== undefined) {
    const flag = dataDir === undefined ? '--database-url' : '--data-dir';
    throw usage(
      `${flag} is for making the key in the store itself; leave it out, or --url and --api-key with their variables`,
    );
  }
  return connectionOf({ url, apiKey, ...(tenantId === null ? {} : { tenant: tenantId }) });
}

async function createKeyThere(connection: Connection, request: KeyRequest): Promise<MadeKey> {
  const { role, memberId, scopes: narrowed, prefix, name, expiresAt } = request;
  const given = { role, memberId, scopes: narrowed, prefix, name };
  const body = JSON.stringify({
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null)),
    ...(expiresAt === null ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
  });
  const answer = await callApi<MadeKey>(connection, 'POST', '/v1/api-keys', { body });
  return { id: answer.body.id, key: answer.body.key };
}
