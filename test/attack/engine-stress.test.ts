import { describe, expect, it } from 'vitest';
import { startProcess, type PosthornProcess } from '../e2e/process.ts';
import { startReceiver } from '../e2e/receiver.ts';
import { dataDir } from '../e2e/server.ts';
import { seeded } from './engine-rig.ts';

// Short where every change is tested; POSTHORN_TEST_STRESS_CYCLES=60 and another seed for the longer run.
const CYCLES = Number(process.env.POSTHORN_TEST_STRESS_CYCLES ?? 4);
const SEED = Number(process.env.POSTHORN_TEST_SEED ?? 20_261_121);
const OPS = 25;
const FLAGS = ['--log-level', 'silent', '--retry-schedule', '50ms,100ms,100ms', '--timeout', '2s'];

interface Hook {
  id: string;
  path: string;
  isDeleted: boolean;
}
interface Row {
  id: string;
  webhookId: string;
  status: string;
  reason: string | null;
}

describe('random use, with kills', () => {
  it(
    `leaves every accepted event with every endpoint that was there, or with a reason (seed ${SEED})`,
    { timeout: 60_000 + CYCLES * 10_000 },
    async () => {
      const random = seeded(SEED);
      const below = (count: number): number => Math.floor(random() * count);
      const data = dataDir();
      const receiver = await startReceiver();
      let isHealthy = false;
      const taken = new Set<string>();
      const answerFor = (path: string): void => {
        receiver.answer(path, ({ headers }, response) => {
          const roll = isHealthy ? 1 : random();
          if (roll < 0.15) response.writeHead(500).end();
          else if (roll < 0.17) response.writeHead(429, { 'retry-after': '1' }).end();
          else if (roll < 0.175) response.writeHead(410).end();
          else if (roll < 0.2) response.destroy();
          else {
            taken.add(`${path} ${String(headers['webhook-id'])}`);
            setTimeout(() => response.writeHead(200).end(), roll < 0.5 ? 20 : 0);
          }
        });
      };
      const hooks: Hook[] = [];
      const accepted = new Map<string, Hook[]>();
      let posthorn: PosthornProcess = await startProcess(data.path, FLAGS);
      let made = 0;
      let published = 0;

      const addHook = async (): Promise<void> => {
        const path = `/h${made++}`;
        answerFor(path);
        const { id } = await posthorn.client.webhook(receiver.url(path), ['*'], { concurrency: 1 + below(32) });
        hooks.push({ id, path, isDeleted: false });
      };
      /** A publish whose answer is lost is repeated with the same id until there is one, as a good publisher does. */
      const publish = async (): Promise<void> => {
        const id = `e-${published++}`;
        const expected = hooks.filter(({ isDeleted }) => !isDeleted);
        for (let tries = 0; ; tries++) {
          try {
            await posthorn.client.event('order.paid', { id }, { id });
            break;
          } catch (error) {
            if (tries > 200) throw error;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
        }
        accepted.set(id, expected);
      };
      const operate = async (): Promise<void> => {
        const live = hooks.filter(({ isDeleted }) => !isDeleted);
        const hook = live[below(live.length)];
        const { client } = posthorn;
        const path = `/v1/webhooks/${hook?.id}`;
        const roll = below(10);
        if (!hook || (roll === 0 && live.length < 8)) return addHook();
        if (roll === 1 && live.length > 3) {
          hook.isDeleted = true;
          await client.call('DELETE', path);
        } else if (roll === 2) await client.call('POST', `${path}/disable`);
        else if (roll <= 4) await client.call('POST', `${path}/enable`);
        else if (roll === 5) await client.call('POST', `${path}/rotate-secret`, { gracePeriod: '1s' });
        else if (roll === 6) await client.call('PATCH', path, { concurrency: 1 + below(64) });
        else if (roll === 7) await client.call('POST', '/v1/deliveries/redeliver', { ratePerSecond: 500 });
        else if (roll === 8) await client.call('POST', `${path}/replay`);
        else await client.call('POST', `/v1/events/e-${below(Math.max(1, published))}/replay`);
      };

      for (let i = 0; i < 5; i++) await addHook();
      for (let cycle = 0; cycle < CYCLES; cycle++) {
        let isOn = true;
        const load = Array.from({ length: 4 }, async () => {
          while (isOn) await publish();
        });
        for (let i = 0; i < OPS; i++) {
          await operate();
          await new Promise((resolve) => setTimeout(resolve, below(10)));
        }
        // The load goes on while the process dies and comes back.
        await posthorn.end(cycle % 3 === 2 ? 'SIGTERM' : 'SIGKILL');
        posthorn = await startProcess(data.path, FLAGS);
        isOn = false;
        await Promise.all(load);
      }

      isHealthy = true;
      const { client } = posthorn;
      for (const { id, isDeleted } of hooks) if (!isDeleted) await client.call('POST', `/v1/webhooks/${id}/enable`);
      for (const status of ['pending', 'sending', 'held'])
        await client.until(`/v1/deliveries?status=${status}&limit=1`, (body) => body.deliveries.length === 0);

      const rows = new Map<string, Row[]>();
      for (let cursor: string | null = ''; cursor !== null;) {
        const page: { deliveries: (Row & { eventId: string })[]; nextCursor?: string | null } = (
          await client.call('GET', `/v1/deliveries?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)
        ).body;
        for (const row of page.deliveries) rows.set(row.eventId, [...(rows.get(row.eventId) ?? []), row]);
        cursor = page.nextCursor ?? null;
      }
      const wrong: string[] = [];
      for (const [id, expected] of accepted) {
        const mine = rows.get(id) ?? [];
        if (new Set(mine.map(({ webhookId }) => webhookId)).size !== mine.length) wrong.push(`${id}: a webhook twice`);
        for (const hook of expected) {
          const row = mine.find(({ webhookId }) => webhookId === hook.id);
          if (!row) {
            // A delete that was under way may have come first.
            if (!hook.isDeleted) wrong.push(`${id}: nothing for ${hook.path}`);
          } else if (row.status === 'delivered') {
            if (!taken.has(`${hook.path} ${id}`)) wrong.push(`${id}: ${hook.path} never answered`);
          } else if (row.reason === null) wrong.push(`${id}: ${hook.path} is ${row.status} for no reason`);
        }
      }
      expect(accepted.size).toBeGreaterThan(CYCLES * 20);
      expect(wrong.slice(0, 20)).toEqual([]);
      expect(await posthorn.end('SIGTERM')).toEqual({ code: 0, signal: null });
      await receiver.close();
      data.remove();
    },
  );
});
