import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { ended, startScript } from './run-command.ts';

let child: ChildProcessWithoutNullStreams;
afterEach(() => void child.kill('SIGKILL'));

function start(port: number): void {
  child = startScript('examples/receiver.mjs', [String(port)], { cwd: import.meta.dirname });
}

describe('the example receiver', () => {
  test('says in one line that its port is taken, and ends with 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    start(port);
    expect(await ended(child)).toEqual({
      code: 1,
      stdout: '',
      stderr: `Port ${port} is in use; give another: node examples/receiver.mjs 9001\n`,
    });
    other.close();
  });

  test('tells a request without webhook-id by its method and path', async () => {
    start(0);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const url = /http:\S+/.exec((await lines.next()).value as string)![0];
    await fetch(`${url}/health?deep=1`);
    expect((await lines.next()).value).toMatch(/^\S+Z GET \/hook\/health\?deep=1 not verified: no secret given$/);
    await fetch(url, { method: 'POST', headers: { 'webhook-id': 'evt_1' }, body: '{}' });
    await lines.next();
    expect((await lines.next()).value).toMatch(/^\S+Z evt_1 not verified/);
  });
});
