import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, createPosthorn, lexigram, type Posthorn, type PosthornOptions } from '../../src/index.ts';
import { prepare } from '../../src/library/options.ts';
import { startReceiver, type Receiver } from '../e2e/receiver.ts';
import { codeOf, eventually, startLibrary, valueOf } from './posthorn.ts';

let receiver: Receiver;
let folder: string;
const running: Posthorn[] = [];
beforeEach(async () => {
  receiver = await startReceiver();
  folder = mkdtempSync(join(tmpdir(), 'posthorn-library-'));
});
afterEach(async () => {
  for (const posthorn of running.splice(0)) await posthorn.stop();
  await receiver.close();
  rmSync(folder, { recursive: true, force: true });
});

async function start(options: PosthornOptions = {}): Promise<Posthorn> {
  const posthorn = await startLibrary(options);
  running.push(posthorn);
  return posthorn;
}

describe('options', () => {
  it('lexigram() brings that library’s defaults', () => {
    const { config, graceMs, cleanUp } = prepare({ ...lexigram(), store: 'memory' });
    cleanUp();
    expect(config).toMatchObject({
      retryScheduleMs: [1_000, 2_000, 4_000, 8_000],
      timeoutMs: 30_000,
      disableAfter: { failures: 50, withinMs: 86_400_000 },
      retentionDays: 30,
      allowHttp: true,
      allowLoopback: false,
      allowCidrs: [],
    });
    expect(graceMs).toBe(86_400_000);
  });

  it('databaseUrl takes the place of the data directory, and what is wrong with it is said without showing it', () => {
    const databaseUrl = 'postgres://me:hunter2@db/x';
    const { config } = prepare({ databaseUrl, databaseSchema: 'hooks', databasePoolSize: 4, leaseMs: 5_000 });
    expect(config).toMatchObject({ databaseUrl, databaseSchema: 'hooks', databasePoolSize: 4, leaseMs: 5_000 });
    expect(prepare({}).config).toMatchObject({ databaseUrl: null, databaseTimeoutMs: 10_000, payloadRetentionDays: 0 });
    expect(() => prepare({ databaseUrl: 'mysql://me:hunter2@db/x' })).toThrow(
      /^--database-url: is not the URL of a PostgreSQL database; (?!.*hunter2)/,
    );
    expect(() => prepare({ databaseUrl, store: 'memory' })).toThrow(/^databaseUrl: goes with store "sql"/);
    expect(() => prepare({ databaseUrl, leaseMs: 10 })).toThrow(/^leaseMs: is 10; give a whole number from 2000/);
  });

  it('a backoff grows by its factor up to its cap', () => {
    const { config, cleanUp } = prepare({ store: 'memory', retry: { attempts: 9, maxDelayMs: 60_000 } });
    cleanUp();
    expect(config.retryScheduleMs).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((s) => s * 1_000));
  });

  it.each(['sha384', 'sha512'] as const)('algorithm %s and header names are what is sent', async (algorithm) => {
    const headers = { signature: 'X-Sig', eventType: 'X-Type', eventId: 'X-Id', timestamp: 'X-Time' };
    const posthorn = await start({ wireFormat: lexigram({ algorithm, headers }).wireFormat! });
    const { secret } = valueOf(await posthorn.subscriptions.create({ url: receiver.url() }));
    valueOf(await posthorn.publish('a.b', { n: 1 }));
    const [request] = await receiver.waitForCount(1);
    const sent = createHmac(algorithm, secret).update(request!.body).digest('hex');
    expect(request!.headers).toMatchObject({ 'x-sig': `${algorithm}=${sent}`, 'x-type': 'a.b' });
    expect(Object.keys(request!.headers)).toEqual(expect.arrayContaining(['x-id', 'x-time']));
    expect(posthorn.verify({ payload: request!.body, signature: request!.headers['x-sig'] as string, secret }).ok).toBe(
      true,
    );
  });

  it('disableAfter deactivates what only fails, and holds its events', async () => {
    const posthorn = await start({ disableAfter: { failures: 4, withinMs: 60_000 } });
    receiver.answer('/hook', 500);
    const { id } = valueOf(await posthorn.subscriptions.create({ url: receiver.url() }));
    for (let i = 0; i < 3; i++) valueOf(await posthorn.publish('a.b', { i }));
    await eventually(
      async () => valueOf(await posthorn.subscriptions.get(id)),
      ({ active }) => !active,
    );
    valueOf(await posthorn.publish('a.b', { held: true }));
    receiver.answer('/hook', 200);
    valueOf(await posthorn.subscriptions.activate(id));
    await receiver.waitFor(({ body }) => body === '{"held":true}');
  });

  it('sql keeps what it has over a restart, memory nothing', async () => {
    const kept = join(folder, 'data');
    const first = await start({ store: 'sql', dataDir: kept });
    const { id, secret } = valueOf(await first.subscriptions.create({ url: receiver.url() }));
    await first.stop();
    const again = await start({ store: 'sql', dataDir: kept });
    expect(valueOf(await again.subscriptions.get(id)).secret).toBe(secret);

    const before = readdirSync(tmpdir());
    const { config, cleanUp } = prepare({ store: 'memory' });
    expect(before).not.toContain(config.dataDir);

    cleanUp();
    expect(existsSync(config.dataDir)).toBe(false);
  });

  it('an event dispatched before a stop is sent after the next start', async () => {
    const dataDir = join(folder, 'restart');
    receiver.answer('/hook', 503);
    const first = await start({ store: 'sql', dataDir, retry: [300] });
    valueOf(await first.subscriptions.create({ url: receiver.url() }));
    valueOf(await first.publish('a.b', { survives: true }));
    await receiver.waitForCount(1);
    await first.stop();
    receiver.answer('/hook', 200);
    await start({ store: 'sql', dataDir });
    await receiver.waitForCount(2);
  });

  it('timeoutMs, retentionDays, concurrency, masterKey, operatorKey and drainMs arrive where they belong', () => {
    const masterKey = 'm'.repeat(32);
    const operatorKey = 'o'.repeat(32);
    const { config, cleanUp } = prepare({
      ...{ store: 'memory', timeoutMs: 1_234, retentionDays: 7, concurrency: 3 },
      ...{ masterKey, operatorKey, drainMs: 5, allowPorts: [8080], wireFormat: 'gravv' },
    });
    cleanUp();
    expect(config).toMatchObject({ timeoutMs: 1_234, retentionDays: 7, concurrency: 3, masterKeys: [masterKey] });
    expect(config).toMatchObject({ operatorKey, drainMs: 5, allowPorts: [8080], wireFormat: 'gravv' });
  });

  it.each([
    [{ timeoutMs: 5 }, 'timeoutMs: is 5; give a whole number from 100 to 60000'],
    [{ graceMs: -1 }, 'graceMs'],
    [{ retry: { attempts: 0 } }, 'retry.attempts'],
    [{ retry: [1, Number.NaN] }, 'retry[1]'],
    [{ store: 'redis' }, 'store: is redis; give sql or memory'],
    [{ store: 'memory', dataDir: 'x' }, 'dataDir'],
    [{ disableAfter: { failures: 0, withinMs: 60_000 } }, 'disableAfter.failures'],
    [{ wireFormat: 'nope' }, 'is not a wire format'],
    [{ masterKey: 'short' }, 'has 5 characters'],
    [{ timeout: 5 }, 'timeout: there is no such option'],
  ])('%j is refused at once', (options, message) => {
    expect(() => createPosthorn(options as PosthornOptions)).toThrow(ConfigError);
    expect(() => createPosthorn(options as PosthornOptions)).toThrow(message);
  });

  it('start and stop can be repeated, and stop comes without a start', async () => {
    const never = createPosthorn({ store: 'memory' });
    await never.stop();
    await never.stop();
    const posthorn = await start();
    expect(posthorn.start()).toBe(posthorn.start());
  });

  it('with another process on the same data the start says so', async () => {
    const dataDir = join(folder, 'locked');
    await start({ store: 'sql', dataDir });
    const second = createPosthorn({ store: 'sql', dataDir });
    await expect(second.start()).rejects.toThrow(/in use|another/i);
    await second.stop();
  });

  it('codes of the engine come as kebab-case', async () => {
    const posthorn = await start({ catalogue: 'closed' });
    expect(codeOf(await posthorn.publish('a.b', 1))).toBe('unknown-event-type');
  });
});
