import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, hasPostgres, startPostgres, type PostgresServer } from '../postgres/server.ts';

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const section = /^## More than one machine\n(.*?)^## /ms.exec(readme)![1]!;
/** What each terminal is given, in the order of the page. */
const [database, first, second, receiving, using] = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(
  ([, text]) => text!,
);

describe.skipIf(!hasPostgres(18))('"More than one machine" in the README, as it is written', () => {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-two-nodes-'));
  const terminals = new Set<ChildProcessWithoutNullStreams>();
  let server: PostgresServer;
  let ports: { [written: string]: number };

  beforeAll(async () => {
    server = await startPostgres();
    ports = { 3001: await freePort(), 3002: await freePort(), 9000: await freePort() };
  });
  afterAll(async () => {
    for (const child of terminals) await interrupt(child);
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  /** The commands with this test's database and ports, and without npm between. */
  function here(text: string): string {
    const posthorn = `'${process.execPath}' '${join(root, 'bin/posthorn.js')}'`;
    return Object.entries(ports)
      .reduce((done, [written, port]) => done.replaceAll(written, String(port)), text)
      .replaceAll('postgres://postgres@127.0.0.1:5433/postgres', server.url())
      .replaceAll('npm run posthorn --', posthorn)
      .replace(
        'node examples/receiver.mjs',
        `'${process.execPath}' '${join(root, 'examples/receiver.mjs')}' ${ports[9000]}`,
      );
  }

  /** One terminal; `words`: what it says when it is ready. */
  async function open(text: string, words: string): Promise<ChildProcessWithoutNullStreams> {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('POSTHORN_')));
    // The last command takes the shell's place, so that it gets the signals.
    const script = here(text).replace(/\n(?=[^\n]*\n$)/, '\nexec ');
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script.startsWith("'") ? `exec ${script}` : script], {
      cwd: folder,
      env: { ...env, NO_COLOR: '1' },
    });
    terminals.add(child);
    child.once('exit', () => terminals.delete(child));
    await says(child, words);
    return child;
  }

  function says(child: ChildProcessWithoutNullStreams, words: string): Promise<void> {
    return new Promise((resolve, reject) => {
      let said = '';
      const look = (chunk: Buffer): void => {
        said += chunk.toString();
        if (said.includes(words)) resolve();
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.once('exit', (code) => {
        reject(new Error(`ended with ${code}: ${said}`));
      });
    });
  }

  async function interrupt(child: ChildProcessWithoutNullStreams): Promise<void> {
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    await exited;
  }

  async function run(text: string): Promise<string> {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', here(text)], { cwd: folder });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    expect(code, said).toBe(0);
    return said;
  }

  it(
    'gives two nodes on one database, of which one goes on when the other is ended',
    { timeout: 120_000 },
    async () => {
      expect(database).toBe('npm run postgres\n'); // which test/tooling/postgres.test.ts starts
      const one = await open(first!, 'posthorn.started');
      await open(second!, 'posthorn.started');
      const receiver = await open(receiving!, 'Waiting for webhooks');
      const arrived = says(receiver, '"total":1050');
      expect(await run(using!)).toMatch(/accepted, goes to 1 endpoint\.\n.*order\.paid/s);
      await arrived;

      await interrupt(one);
      const again = says(receiver, '"total":7');
      const send = `events send order.paid --data '{"total":7}' --url http://127.0.0.1:3002\n`;
      await run(`export POSTHORN_API_KEY=operator-key-for-trying-this-out-0001\nnpm run posthorn -- ${send}`);
      await again;
    },
  );
});
