import { expect, it } from 'vitest';
import { dataDir, startServer } from '../e2e/server.ts';
import { startReceiver } from '../e2e/receiver.ts';

/** Uses a server with these settings. */
async function run(
  settings: Record<string, string>,
  use: (server: Awaited<ReturnType<typeof startServer>>) => Promise<void>,
): Promise<void> {
  const folder = dataDir();
  const server = await startServer(folder.path, settings);
  try {
    await use(server);
  } finally {
    await server.stop();
    folder.remove();
  }
}

it('POSTHORN_SIGNUP opens and closes the sign-up', async () => {
  for (const [signup, status] of [
    ['open', 201],
    ['closed', 403],
  ] as const) {
    await run({ signup }, async (server) => {
      const response = await fetch(`${server.base}/v1/signup`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"name":"Ada"}',
      });
      expect([signup, response.status]).toEqual([signup, status]);
    });
  }
});

it('POSTHORN_RATE_LIMIT is the number of requests a minute, and 0 sets none', async () => {
  await run({ rateLimit: '2' }, async (server) => {
    const headers = (await server.call('GET', '/v1/webhooks')).headers;
    expect([headers.get('x-ratelimit-limit'), headers.get('x-ratelimit-remaining')]).toEqual(['2', '1']);
  });
  await run({ rateLimit: '0' }, async (server) => {
    expect((await server.call('GET', '/v1/webhooks')).headers.get('x-ratelimit-limit')).toBeNull();
  });
});

it('POSTHORN_DISABLE_AFTER disables an endpoint that fails so often', async () => {
  const receiver = await startReceiver();
  receiver.answer('/broken', 500);
  for (const [disableAfter, reason] of [
    ['3/1h', 'failing'],
    ['never', null],
  ] as const) {
    await run({ disableAfter, retrySchedule: '1ms,1ms,1ms' }, async (server) => {
      const hook = await server.webhook(receiver.url('/broken'), ['a']);
      const event = await server.event('a', 1);
      if (reason === null) {
        await server.until(`/v1/events/${event.id}`, ({ deliveries: [delivery] }) => delivery.status === 'dead_letter');
      }
      const { body } = await server.call('GET', `/v1/webhooks/${hook.id}`);
      if (reason === null) expect(body).toMatchObject({ isActive: true, disabledReason: null });
      else await server.until(`/v1/webhooks/${hook.id}`, (shown) => shown.disabledReason === 'failing');
    });
  }
  await receiver.close();
});
