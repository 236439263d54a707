import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ApiFailure, describeFailure } from '../../src/cli/failure.ts';
import { explainStoreFailure } from '../../src/cli/store-failure.ts';
import { errorTable, PosthornError } from '../../src/errors.ts';

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

describe('an error of the API says what to do once', () => {
  const said = (status: number, problem: object): string =>
    new ApiFailure(status, { ...problem, requestId: 'req_1' }).message;
  const { title, remedy } = errorTable.TOO_MANY_REQUESTS;

  test('where its message is the title and the remedy', () => {
    const { message } = new PosthornError('TOO_MANY_REQUESTS');
    expect(said(429, { code: 'TOO_MANY_REQUESTS', message })).toBe(`${title}. ${remedy} (req_1)`);
  });

  test('where its message is the title alone', () => {
    expect(said(429, { code: 'TOO_MANY_REQUESTS', message: `${title}.` })).toBe(`${title}. ${remedy} (req_1)`);
  });

  test('where its message says more than the title', () => {
    expect(said(404, { code: 'NOT_FOUND', message: 'There is no webhook "wh_1" here.' })).toBe(
      'There is no webhook "wh_1" here. (req_1)',
    );
  });

  test('where the key is refused: with the option, not with the header', () => {
    const message = 'The API key is mistyped. Send "Authorization: Bearer <key>" with a key that is valid.';
    expect(said(401, { code: 'UNAUTHORIZED', message })).toBe(
      'The API key is mistyped. Give a valid one with --api-key or POSTHORN_API_KEY. (req_1)',
    );
  });
});

describe('a store that lacks migrations', () => {
  const lacking = (number: number): PosthornError =>
    new PosthornError(
      'STORE_UNAVAILABLE',
      `The store in /data needs ${number} migration(s) first: run \`posthorn migrate\`.`,
    );

  test('is told with their number and the directory that was given', () => {
    expect(describeFailure(explainStoreFailure(lacking(1), {}))).toBe(
      'The store in /data needs 1 migration: run `posthorn migrate` with the same settings first.',
    );
    expect(describeFailure(explainStoreFailure(lacking(2), { dataDir: "/it's here" }))).toBe(
      "The store in /data needs 2 migrations: run `posthorn migrate --data-dir '/it'\\''s here'` with the same settings first.",
    );
  });

  test('is not what other errors are taken for', () => {
    const other = new PosthornError('STORE_UNAVAILABLE');
    expect(explainStoreFailure(other, { dataDir: '/data' })).toBe(other);
  });
});
