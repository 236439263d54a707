import type { Command } from 'commander';
import { isLoopback } from '../config/values.ts';
import { settings } from '../config/settings.ts';
import type { Connection } from './client.ts';
import { usage } from './failure.ts';

export interface ConnectionOptions {
  url?: string;
  apiKey?: string;
  tenant?: string;
  json?: boolean;
}

/** The options of every command that talks to a running server. */
export function withConnection(command: Command): Command {
  return command
    .optionsGroup('Connection:')
    .option('--url <url>', 'address of the server (POSTHORN_URL, default http://127.0.0.1:3001)')
    .option('--api-key <key>', 'API key (POSTHORN_API_KEY, default that of `posthorn dev` on this machine)')
    .option('--tenant <id>', 'tenant to act for, with an operator’s key')
    .optionsGroup('Output:')
    .option('--json', 'print the answer as JSON');
}

/** Where to connect, from options, then the environment, then the defaults of `posthorn dev`. Throws usage failures. */
export function connectionOf(options: ConnectionOptions): Connection {
  const given = options.url ?? (process.env.POSTHORN_URL || undefined) ?? 'http://127.0.0.1:3001';
  const source = options.url === undefined ? 'POSTHORN_URL' : '--url';
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw usage(`${source}: ${JSON.stringify(given.slice(0, 80))} is no address; give one like http://127.0.0.1:3001`);
  }
  if (url.username !== '' || url.password !== '') throw usage(`${source}: give the key with --api-key, not in the URL`);

  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const apiKey =
    options.apiKey ?? (process.env.POSTHORN_API_KEY || undefined) ?? (isLoopback(host) ? devKey : undefined);
  if (apiKey === undefined) throw usage(`no API key for ${url.host}; give one with --api-key or POSTHORN_API_KEY`);
  if (!/^[\x21-\x7e]{1,512}$/.test(apiKey)) {
    const keySource = options.apiKey === undefined ? 'POSTHORN_API_KEY' : '--api-key';
    throw usage(`${keySource}: an API key is 16 to 512 visible ASCII characters without spaces`);
  }
  const tenant = options.tenant ?? null;
  if (tenant !== null && !/^[\x21-\x7e]+$/.test(tenant)) throw usage('--tenant: a tenant’s id is visible ASCII');
  return { url: url.origin + url.pathname.replace(/\/+$/, ''), apiKey, tenant };
}

const devKey = settings.find(({ key }) => key === 'operatorKey')!.default.dev;
