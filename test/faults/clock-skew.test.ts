import { Webhook } from 'standardwebhooks';
import { describe, expect } from 'vitest';
import { copiesOf, historyOf, whenAllEnded } from './history.ts';
import { LEASE_MS } from './node.ts';
import { DATABASE, makeIt } from './scene.ts';

const it = makeIt();
const TWO_HOURS_MS = 7_200_000;
const RETRY_MS = 1_500;
/** Each wait is ± 20 %. */
const JITTER = 0.2;
const EVENTS = 60;

describe('nodes whose clocks are two hours fast and two hours slow', () => {
  it(
    'share the work, retry when it is time, sign with the right time, and keep their leases',
    { timeout: 120_000 },
    async ({ server, receiver, node, load }) => {
      const shifted = (shiftMs: number) =>
        node({
          preload: [new URL('shifted-clock.mjs', import.meta.url)],
          env: { CLOCK_SHIFT_MS: String(shiftMs) },
          settings: { RETRY_SCHEDULE: `${RETRY_MS}ms,${RETRY_MS}ms` },
        });
      const fast = await shifted(TWO_HOURS_MS);
      // The first copy of each event fails: every one of them is retried.
      const seen = new Set<string>();
      receiver.answer('/hook', ({ headers }, response) => {
        const id = String(headers['webhook-id']);
        response.writeHead(seen.has(id) ? 200 : 500).end();
        seen.add(id);
      });
      const { secret } = await fast.client.webhook(receiver.url(), ['order.created']);
      const slow = await shifted(-TWO_HOURS_MS);
      const sending = load({ clients: () => [fast.client, slow.client], type: 'order.created', lanes: 2, pauseMs: 40 });
      await sending.more(EVENTS);
      await sending.stop();
      await whenAllEnded(server, DATABASE);
      // And for longer than a lease with nothing to do.
      await new Promise((resolve) => setTimeout(resolve, LEASE_MS + 1_000));
      await fast.client.event('order.created', {}, { id: 'late' });
      await slow.client.event('order.created', {}, { id: 'later' });
      await whenAllEnded(server, DATABASE);

      const sizes = new Set(copiesOf(receiver.requests).values());
      expect(sizes).toEqual(new Set([2]));
      for (const row of await historyOf(server, DATABASE)) {
        expect(row, row.ownId).toMatchObject({ status: 'delivered', attemptCount: 2, codes: [500, 200] });
      }
      const webhook = new Webhook(secret);
      for (const { headers, body, at } of receiver.requests) {
        webhook.verify(body, headers as Record<string, string>); // refuses timestamps that are five minutes off
        expect(Math.abs(Number(headers['webhook-timestamp']) * 1000 - at)).toBeLessThan(3_000);
      }
      for (const id of copiesOf(receiver.requests).keys()) {
        const [first, second] = receiver.requests.filter(({ headers }) => headers['webhook-id'] === id);
        expect(second!.at - first!.at, id).toBeGreaterThan(RETRY_MS * (1 - JITTER) - 100);
        expect(second!.at - first!.at, id).toBeLessThan(RETRY_MS * (1 + JITTER) + 1_500);
      }
      // Both kept the first number they were given: no lease was lost.
      expect(
        await server.query('SELECT number FROM posthorn.nodes WHERE ended_at IS NULL ORDER BY number', DATABASE),
      ).toEqual([{ number: '1' }, { number: '2' }]);
      // What people see is dated right too.
      const { body } = await slow.client.call('GET', '/v1/deliveries?limit=1');
      const [{ createdAt }] = body.deliveries as [{ createdAt: string }];
      expect(Math.abs(Date.parse(createdAt) - Date.now())).toBeLessThan(60_000);
    },
  );
});
