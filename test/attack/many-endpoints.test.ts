import { afterEach, describe, expect, it } from 'vitest';
import { dataDir } from '../e2e/server.ts';
import { startProcess, type PosthornProcess } from '../e2e/process.ts';
import { startReceiver } from '../e2e/receiver.ts';

const COUNT = 10_000;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe('ten thousand endpoints of one tenant', () => {
  it(
    'get every event, once but for what was on the wire, though the process is killed again and again',
    { timeout: 120_000 },
    async () => {
      const data = dataDir();
      const receiver = await startReceiver();
      cleanups.push(
        () => receiver.close(),
        () => {
          data.remove();
        },
      );
      let running: PosthornProcess | null = null;
      cleanups.push(() => running?.end('SIGKILL'));
      const start = async (): Promise<PosthornProcess> => (running = await startProcess(data.path));

      let posthorn = await start();
      const uuid = (i: number): string =>
        `${((i * 2_654_435_761) >>> 0).toString(16).padStart(8, '0')}-0000-4000-8000-${i.toString(16).padStart(12, '0')}`;
      for (let from = 0; from < COUNT; from += 500) {
        const webhooks = Array.from({ length: 500 }, (_, i) => ({
          id: uuid(from + i),
          url: receiver.url(`/${from + i}`),
          events: ['*'],
        }));
        const { body } = await posthorn.client.call<{ created: number }>('POST', '/v1/webhooks/import', { webhooks });
        expect(body.created).toBe(500);
      }

      let before = 0;
      for (const kills of [[1_500, 4_000, 8_500], [300]]) {
        const { deliveries } = await posthorn.client.event('a.b', { kills });
        expect(deliveries).toBe(COUNT);
        for (const kill of kills) {
          await receiver.waitForCount(before + kill);
          await posthorn.end('SIGKILL');
          posthorn = await start();
        }
        await posthorn.client.until(
          '/v1/deliveries?status=pending&limit=1',
          ({ deliveries: some }) => some.length === 0,
        );
        await receiver.waitForCount(before + COUNT);
        await posthorn.client.until(
          '/v1/deliveries?status=sending&limit=1',
          ({ deliveries: some }) => some.length === 0,
        );
        const reached = new Map<string, number>();
        for (const { path } of receiver.requests.slice(before)) reached.set(path, (reached.get(path) ?? 0) + 1);
        expect(reached.size).toBe(COUNT);
        const again = [...reached.values()].filter((times) => times > 1);
        // At most what was on the wire at a kill, and a commit of outcomes: 1,024 slots and a batch of 2,000 rows.
        expect(again.length).toBeLessThanOrEqual(kills.length * 3_024);
        expect(Math.max(...reached.values())).toBeLessThanOrEqual(1 + kills.length);
        before = receiver.requests.length;
      }
    },
  );
});
