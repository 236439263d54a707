import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeFailure } from '../../src/cli/failure.ts';

async function listenFailure(port: number, host: string): Promise<Error> {
  const server = createServer();
  const [error] = (await once(server.listen(port, host), 'error').catch((cause: Error) => [cause])) as [Error];
  return error;
}

describe('a failure at the start is one line that says what to change', () => {
  test('where the port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(describeFailure(await listenFailure(port, '127.0.0.1'))).toBe(
      `port ${port} on 127.0.0.1 is in use; stop what listens there, or choose another with --port`,
    );
    other.close();
  });

  test('where the address is not of this machine', async () => {
    expect(describeFailure(await listenFailure(0, '192.0.2.1'))).toBe(
      '192.0.2.1 is no address of this machine; choose another with --host',
    );
  });

  test('where the data directory is a file, or not writable', () => {
    const folder = mkdtempSync(join(tmpdir(), 'posthorn-failure-'));
    const file = join(folder, 'file');
    writeFileSync(file, '');
    let error: unknown;
    try {
      mkdirSync(join(file, 'data'), { recursive: true });
    } catch (caught) {
      error = caught;
    }
    expect(describeFailure(error)).toMatch(/file\/data is not a directory; choose another with --data-dir$/);
    rmSync(folder, { recursive: true });
    const denied = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/data', syscall: 'mkdir' });
    expect(describeFailure(denied)).toBe(
      '/data is not writable; give it to this user, or choose another directory with --data-dir',
    );
  });

  test('where a message has several lines', () => {
    expect(describeFailure(new Error('first\n  second\r\nthird'))).toBe('first second third');
  });
});
