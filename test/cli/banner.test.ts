import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { renderBanner } from '../../src/cli/banner.ts';
import { loadConfig } from '../../src/config.ts';

const walk = (port: number): string[] => [
  `curl -X POST http://localhost:${port}/v1/webhooks -H "Authorization: Bearer dev-api-key-local" -H "Content-Type: application/json" \\
     -d '{"url":"http://127.0.0.1:9000/hook","events":["grant.created","grant.revoked"]}'`,
  `curl -X POST http://localhost:${port}/v1/events -H "Authorization: Bearer dev-api-key-local" -H "Content-Type: application/json" \\
     -d '{"type":"grant.created","data":{"grantId":"grnt_01","agentId":"ag_01","principalId":"user-123","scopes":["calendar:read"],"expiresAt":"2026-12-26T12:00:00Z"}}'`,
];

function banner(env: Record<string, string>, address: string, dataIsNew = false): string {
  return renderBanner(loadConfig({ mode: 'dev', flags: {}, env, file: null }), address, dataIsNew);
}

describe('the banner of posthorn dev', () => {
  test('shows address, key, data and the two commands to paste, without colour where nobody looks', () => {
    const text = banner({}, 'http://127.0.0.1:3456', true);
    expect(text).toContain('Address   http://127.0.0.1:3456\n');
    expect(text).toContain('API key   dev-api-key-local\n');
    expect(text).toContain('Data      ./.posthorn (new)\n');
    for (const command of walk(3456)) expect(text).toContain(`\n${command}\n`);
    expect(text).toMatch(/\nCtrl-C ends it\.$/);
    // eslint-disable-next-line no-control-regex -- no escape sequence may be there
    expect(text).not.toMatch(/\u001b/);
  });

  test('names an address that localhost may not lead to, and data elsewhere in full', () => {
    const text = banner({ POSTHORN_HOST: '::1', POSTHORN_DATA_DIR: '/var/lib/posthorn' }, 'http://[::1]:3001');
    expect(text).toContain('curl -X POST http://[::1]:3001/v1/webhooks');
    expect(text).toContain(`Data      ${join('/', 'var', 'lib', 'posthorn')}\n`);
  });

  test('does not show a key that somebody chose', () => {
    const text = banner({ POSTHORN_OPERATOR_KEY: 'my-own-secret-operator-key' }, 'http://127.0.0.1:3001');
    expect(text).not.toContain('my-own-secret-operator-key');
    expect(text).toContain('Bearer $POSTHORN_OPERATOR_KEY"');
  });
});
