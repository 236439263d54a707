import type { Command } from 'commander';
import { isTenantId, roles } from '../model/tenant.ts';
import type { Role } from '../model/tenant.ts';
import { callApi } from './client.ts';
import type { Connection } from './client.ts';
import { connectionOf } from './connection.ts';
import { usage } from './failure.ts';
import { formatMoment, parseMoment } from './moment.ts';
import { configOf, withSettings } from './setting-options.ts';
import { plain, print, printJson, styled } from './terminal.ts';

interface CreateOptions extends Readonly<Record<string, unknown>> {
  role: string;
  tenant?: string;
  name?: string;
  expires?: string;
  url?: string;
  apiKey?: string;
  dataDir?: string;
  json?: boolean;
}

/** A key that is to be made. */
export interface KeyRequest {
  role: Role;
  /** Null for an operator's. */
  tenantId: string | null;
  name: string | null;
  /** Epoch ms; null = never. */
  expiresAt: number | null;
}

/** A key just made; the only time its text is known. */
export interface MadeKey {
  id: string;
  key: string;
}

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
      'Makes an API key and shows it, this once: in the store of a stopped server, which is how the first key of a ' +
        'new installation is made, or with --url or --api-key through a running one.',
    )
    .option('--role <role>', `what it may do: ${roles.join(', ')}`, 'owner')
    .option('--tenant <id>', 'tenant it acts for (default: default; none for an operator)')
    .option('--name <name>', 'what it is for, to tell it from others')
    .option('--expires <time>', 'when it ends: 90d, or 2027-01-01T00:00:00Z (default: never)')
    .optionsGroup('Connection:')
    .option('--url <url>', 'address of a running server (POSTHORN_URL, default http://127.0.0.1:3001 with --api-key)')
    .option('--api-key <key>', 'key of an owner or operator there (POSTHORN_API_KEY)')
    .optionsGroup('Output:')
    .option('--json', 'print the answer as JSON');
  withSettings(create, 'serve', ['dataDir', 'masterKey', 'masterKeyFile'])
    .addHelpText(
      'after',
      `
Examples:
  posthorn keys create --role operator --name bootstrap --data-dir /var/lib/posthorn
  posthorn keys create --role member --tenant acme --name ci --expires 90d
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
    const config = await configOf('serve', options);
    const { createKeyInStore } = await import('./create-key-in-store.ts');
    made = await createKeyInStore(config, request, options.dataDir);
    place = config.dataDir;
  }
  const expiresAt = request.expiresAt === null ? null : new Date(request.expiresAt).toISOString();
  if (options.json) {
    printJson({ ...made, role: request.role, tenant: request.tenantId, name: request.name, expiresAt });
    return;
  }
  const whose = request.tenantId === null ? 'any tenant' : `tenant ${request.tenantId}`;
  print(`Key      ${styled('bold', plain(made.key))}`);
  print(`Id       ${plain(made.id)}`);
  print(`Role     ${request.role} of ${whose}`);
  print(`Expires  ${expiresAt === null ? 'never' : formatMoment(expiresAt)}`);
  print(`Made in  ${place}`);
  print(styled('dim', 'The key is not shown again.'));
}

function readRequest({ role, tenant, name, expires }: CreateOptions): KeyRequest {
  const found = roles.find((known) => known === role);
  if (found === undefined)
    throw usage(`--role: ${JSON.stringify(role.slice(0, 40))} is unknown; give ${roles.join(', ')}`);
  if (found === 'operator' && tenant !== undefined)
    throw usage('an operator’s key is for every tenant; leave out --tenant');
  const tenantId = found === 'operator' ? null : (tenant ?? 'default');
  if (tenantId !== null && !isTenantId(tenantId)) {
    throw usage('--tenant: give 1 to 128 letters, digits and . _ : - that begin with a letter or digit');
  }
  const now = Date.now();
  const expiresAt = expires === undefined ? null : parseMoment(expires, '--expires', 1, now);
  if (expiresAt !== null && expiresAt <= now) throw usage('--expires: that time has gone by; give one to come');
  return { role: found, tenantId, name: name ?? null, expiresAt };
}

/** The server to ask, where one is named or a key for it is given; null = use the store. Throws usage failures. */
function findServer(options: CreateOptions, { tenantId }: KeyRequest): Connection | null {
  const { url, apiKey, dataDir } = options;
  const given = [url, apiKey, process.env.POSTHORN_URL, process.env.POSTHORN_API_KEY];
  if (!given.some((value) => value !== undefined && value !== '')) return null;
  if (dataDir !== undefined) {
    throw usage(
      '--data-dir is for the store of a stopped server; leave it out, or --url and --api-key with their variables',
    );
  }
  return connectionOf({ url, apiKey, ...(tenantId === null ? {} : { tenant: tenantId }) });
}

async function createKeyThere(connection: Connection, request: KeyRequest): Promise<MadeKey> {
  const { role, name, expiresAt } = request;
  const body = JSON.stringify({
    role,
    ...(name === null ? {} : { name }),
    ...(expiresAt === null ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
  });
  const answer = await callApi<MadeKey>(connection, 'POST', '/v1/api-keys', { body });
  return { id: answer.body.id, key: answer.body.key };
}
