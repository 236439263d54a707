import { join } from 'node:path';
import { ESLint } from 'eslint';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const rules = ['no-restricted-imports', 'no-restricted-globals', 'no-restricted-properties', 'no-restricted-syntax'];

/** The messages the house's network rules give for `text` as the file at `path`; the other rules are left out. */
async function messagesFor(path: string, text: string): Promise<string[]> {
  const config = await new ESLint({ cwd: root }).calculateConfigForFile(path);
  const network = Object.fromEntries(rules.map((rule) => [rule, config.rules[rule] ?? 'off']));
  const globals = { fetch: 'readonly', globalThis: 'readonly', process: 'readonly' } as const;
  const eslint = new ESLint({
    cwd: root,
    overrideConfigFile: true,
    overrideConfig: { rules: network, languageOptions: { globals } },
  });
  const [result] = await eslint.lintText(text, { filePath: 'sample.js' });
  return (result?.messages ?? []).map(({ message }) => message);
}

describe('the ban on network access outside the transport', () => {
  test.each([
    `import { request } from 'undici'; request();`,
    `import http from 'node:http'; http.get();`,
    `import https from 'https'; https.get();`,
    `import { connect } from 'node:net'; connect();`,
    `import { connect } from 'node:tls'; connect();`,
    `import { lookup } from 'node:dns/promises'; lookup();`,
    `await import('node:http');`,
    `process.getBuiltinModule('node:net');`,
    `await fetch('http://127.0.0.1');`,
    `await globalThis.fetch('http://127.0.0.1');`,
  ])('refuses %s', async (text) => {
    expect(await messagesFor('src/delivery/deliver.ts', text)).toEqual([expect.stringContaining('src/transport')]);
    expect(await messagesFor('src/transport/sender.ts', text)).toEqual([]);
  });

  test('lets the server listen and the command line call, and neither do the other', async () => {
    const listen = `import { createServer } from 'node:http'; createServer();`;
    const call = `await fetch('http://127.0.0.1:3001/v1/events');`;
    expect(await messagesFor('src/api/server.ts', listen)).toEqual([]);
    expect(await messagesFor('src/api/server.ts', call)).toHaveLength(1);
    expect(await messagesFor('src/cli/main.ts', call)).toEqual([]);
    expect(await messagesFor('src/cli/main.ts', listen)).toHaveLength(1);
  });

  test('lets anyone read an address as text', async () => {
    expect(await messagesFor('src/config.ts', `import { isIP } from 'node:net'; isIP('::1');`)).toEqual([]);
  });
});
