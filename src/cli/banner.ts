import { relative } from 'node:path';
import type { Config } from '../config.ts';
import { isLoopback } from '../config/values.ts';
import { settings } from '../config/settings.ts';
import { version } from '../version.ts';
import { storeName } from './store-name.ts';
import { styled } from './terminal.ts';

const devKey = settings.find(({ key }) => key === 'operatorKey')!.default.dev;

/**
 * What `posthorn dev` shows when it is ready: address, key, data, and two commands to paste.
 * @param address the server's own, `http://127.0.0.1:3001`
 * @param dataIsNew the data directory was made just now
 */
export function renderBanner(config: Config, address: string, dataIsNew: boolean): string {
  // A key that somebody chose is theirs to show; the shell puts it in where they set it.
  const isOurs = config.operatorKey === devKey;
  const key = isOurs ? devKey : '$POSTHORN_OPERATOR_KEY';
  const url = new URL(address);
  const host =
    isLoopback(config.host) && config.host !== '127.0.0.1' && config.host !== 'localhost'
      ? url.host
      : `localhost:${url.port}`;
  const isNew = dataIsNew ? styled('dim', ' (new)') : '';
  const facts = [
    ['Address', styled('bold', address)],
    ['API key', isOurs ? styled('bold', devKey) : 'the one you set (POSTHORN_OPERATOR_KEY)'],
    ['Data', config.databaseUrl === null ? shortPath(config.dataDir) + isNew : storeName(config)],
  ];
  return [
    '',
    `${styled('bold', `Posthorn ${version}`)} ${styled('dim', 'for development: trusts everybody on this machine')}`,
    '',
    ...facts.map(([name, value]) => `  ${styled('dim', name!.padEnd(9))} ${value}`),
    '',
    styled('dim', '# Register an endpoint'),
    curl(
      `http://${host}/v1/webhooks`,
      key,
      '{"url":"http://127.0.0.1:9000/hook","events":["grant.created","grant.revoked"]}',
    ),
    '',
    styled('dim', '# Send it an event'),
    curl(
      `http://${host}/v1/events`,
      key,
      '{"type":"grant.created","data":{"grantId":"grnt_01","agentId":"ag_01","principalId":"user-123","scopes":["calendar:read"],"expiresAt":"2026-12-26T12:00:00Z"}}',
    ),
    '',
    styled('dim', 'Ctrl-C ends it.'),
  ].join('\n');
}

function curl(url: string, key: string, body: string): string {
  return (
    `curl -X POST ${url} -H "Authorization: Bearer ${key}" -H "Content-Type: application/json" \\\n` +
    `     -d '${body}'`
  );
}

/** A path under the working directory as people would type it. */
function shortPath(path: string): string {
  const inside = relative(process.cwd(), path);
  return inside === '' || inside.startsWith('..') ? path : `./${inside}`;
}
