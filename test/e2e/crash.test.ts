import { afterAll, describe, expect, it } from 'vitest';
import { startProcess } from './process.ts';
import { startReceiver } from './receiver.ts';
import { dataDir } from './server.ts';

// 20 cycles where every change is tested; POSTHORN_TEST_KILLS=200 for the longer run.
const CYCLES = Number(process.env.POSTHORN_TEST_KILLS ?? 20);
const EVENTS = 1000;

describe('kill -9', () => {
  const data = dataDir();
  afterAll(data.remove);

  it(
    `in the middle of a thousand events, ${CYCLES} times at random moments, loses no event that was accepted and doubles few`,
    { timeout: 60_000 + CYCLES * 10_000 },
    async () => {
      const receiver = await startReceiver();
      const arrivals = new Map<string, number>();
      receiver.answer('/hook', ({ headers }, response) => {
        const id = String(headers['webhook-id']);
        arrivals.set(id, (arrivals.get(id) ?? 0) + 1);
        response.writeHead(200).end();
      });
      const accepted = new Set<string>();
      let posthorn = await startProcess(data.path, ['--log-level', 'silent']);
      await posthorn.client.webhook(receiver.url(), ['grant.created']);

      for (let cycle = 0; cycle < CYCLES; cycle++) {
        let sent = 0;
        let isAlive = true;
        const { client } = posthorn;
        const lanes = Array.from({ length: 16 }, async () => {
          while (isAlive && sent < EVENTS) {
            const n = sent++;
            try {
              const { id } = await client.event('grant.created', { cycle, n }, { id: `c${cycle}-${n}` });
              accepted.add(id);
            } catch {
              return; // it was killed: nothing was promised
            }
          }
        });
        await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 400));
        await posthorn.end('SIGKILL');
        isAlive = false;
        await Promise.all(lanes);
        posthorn = await startProcess(data.path, ['--log-level', 'silent']);
      }

      const { client } = posthorn;
      await client.until('/v1/deliveries?status=pending&limit=1', (body) => body.deliveries.length === 0);
      await client.until('/v1/deliveries?status=sending&limit=1', (body) => body.deliveries.length === 0);
      const lost = [...accepted].filter((id) => !arrivals.has(id));
      expect(accepted.size).toBeGreaterThan(CYCLES * 10);
      expect(lost).toEqual([]);
      // At most one more copy for each kill that met it on the wire; 64 deliveries of one endpoint can be there at once.
      for (const [id, count] of arrivals) {
        const killsSince = CYCLES - Number(/^c(\d+)/.exec(id)![1]);
        expect(count, id).toBeLessThanOrEqual(1 + killsSince);
      }
      const extra = [...arrivals.values()].reduce((sum, count) => sum + count - 1, 0);
      expect(extra).toBeLessThanOrEqual(CYCLES * 64);
      await posthorn.end('SIGTERM');
      await receiver.close();
    },
  );
});

describe('SIGTERM', () => {
  it(
    'finishes what is on the wire, sends no copy twice over a restart, and ends with 0',
    { timeout: 60_000 },
    async () => {
      const data = dataDir();
      const receiver = await startReceiver();
      receiver.answer('/hook', (_, response) => {
        setTimeout(() => response.writeHead(200).end(), 50);
      });
      let posthorn = await startProcess(data.path, ['--concurrency', '8']);
      await posthorn.client.webhook(receiver.url(), ['slow']);
      const ids = await Promise.all(
        Array.from({ length: 200 }, async (_, n) => (await posthorn.client.event('slow', { n })).id),
      );
      await receiver.waitForCount(20);
      expect(await posthorn.end('SIGTERM')).toEqual({ code: 0, signal: null });
      posthorn = await startProcess(data.path);
      await receiver.waitForCount(200);
      await posthorn.client.until('/v1/deliveries?status=sending', (body) => body.deliveries.length === 0);
      const arrived = receiver.requests.map(({ headers }) => headers['webhook-id']);
      expect(arrived).toHaveLength(200);
      expect(new Set(arrived)).toEqual(new Set(ids));
      await posthorn.end('SIGTERM');
      await receiver.close();
      data.remove();
    },
  );
});
