import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { moveToPostgres } from '../../src/move/move.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { startProcess, type PosthornProcess } from '../e2e/process.ts';
import { startReceiver, type Receiver, type Received } from '../e2e/receiver.ts';
import { dataDir } from '../e2e/server.ts';
import { hasPostgres, startPostgres, type PostgresServer } from '../postgres/server.ts';
import { fillStore, OK_EVENTS, type Filled } from './filled-store.ts';

/** What every `order.*` event came to: the bulk, the lost, the held and the gone one. */
const ORDERS = OK_EVENTS + 3;

describe.skipIf(!hasPostgres(18))('a server on a database that a store was moved to', () => {
  const store = dataDir();
  let receiver: Receiver;
  let server: PostgresServer;
  let filled: Filled;
  let posthorn: PosthornProcess;
  let acme: Record<string, string>;
  /** Requests that came before the move. */
  let before: number;

  const since = (path: string): Received[] =>
    receiver.requests.slice(before).filter((request) => request.path === path);
  const idsOf = (requests: readonly Received[]): string[] =>
    requests.map(({ headers }) => String(headers['webhook-id']));

  beforeAll(async () => {
    [receiver, server] = await Promise.all([startReceiver(), startPostgres()]);
    filled = await fillStore(store.path, receiver);
    acme = { authorization: `Bearer ${filled.ownerKey}` };
    before = receiver.requests.length;
    for (const path of ['/down', '/stuck']) receiver.answer(path, 200);
    const keyRing = createKeyRing([readFileSync(join(store.path, 'master.key'), 'utf8').trim()]);
    await moveToPostgres({ dataDir: store.path, url: server.url(), schema: 'posthorn', keyRing });
    posthorn = await startProcess(store.path, ['--database-url', server.url()]);
  }, 90_000);
  afterAll(async () => {
    await posthorn?.end('SIGTERM');
    await server?.stop();
    await receiver?.close();
    store.remove();
  });

  it('delivers what was pending or on the wire, each exactly once, and nothing that was delivered', async () => {
    await receiver.waitFor((request) => since('/stuck').includes(request));
    await receiver.waitFor((request) => since('/late').includes(request));
    await receiver.waitFor(() => since('/down').length >= ORDERS);
    for (const status of ['pending', 'sending']) {
      await settled(`/v1/deliveries?status=${status}&limit=1`);
    }
    expect(since('/down')).toHaveLength(ORDERS);
    expect(new Set(idsOf(since('/down'))).size).toBe(ORDERS);
    expect([since('/stuck').length, since('/late').length]).toEqual([1, 1]);
    for (const path of ['/ok', '/dead', '/gone', '/held']) expect(since(path), path).toEqual([]);
    const [row] = await server.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM posthorn.deliveries WHERE id = ANY ('{${[...filled.statuses.keys()].join()}}')`,
    );
    expect(row!.count).toBe(filled.statuses.size);
  });

  it('signs with both secrets of a rotation, as before', async () => {
    const { body } = await posthorn.client.call('POST', '/v1/events', { type: 'order.next', data: 1 }, acme);
    const request = await receiver.waitFor(({ path, headers }) => path === '/ok' && headers['webhook-id'] === body.id);
    for (const secret of filled.secrets) {
      const verified = new Webhook(secret).verify(request.body, request.headers as Record<string, string>);
      expect(verified).toMatchObject({ type: 'order.next', data: 1 });
    }
  });

  it('knows keys, sessions, endpoints and events by what they were called', async () => {
    const { client } = posthorn;
    const endpoint = await client.call('GET', `/v1/webhooks/${filled.okId}`, undefined, acme);
    expect(endpoint).toMatchObject({ status: 200, body: { url: receiver.url('/ok'), isActive: true } });
    const whoami = await fetch(`${client.base}/v1/whoami`, {
      headers: { cookie: `posthorn_session=${filled.sessionToken}` },
    });
    expect(await whoami.json()).toMatchObject({ tenantId: 'acme', role: 'admin' });
    const { headers, body, id } = filled.repeat;
    expect(await client.call('POST', '/v1/events', body, headers)).toMatchObject({ status: 202, body: { id } });
    const { status } = await client.call('POST', '/v1/events', { ...body, data: [2] }, headers);
    expect(status).toBe(409);
  });

  it('sends what was held once its endpoint is enabled', async () => {
    await posthorn.client.call('POST', `/v1/webhooks/${filled.heldId}/enable`, {}, acme);
    await receiver.waitFor((request) => since('/held').includes(request));
    await settled('/v1/deliveries?status=held&limit=1');
    expect(since('/held')).toHaveLength(1);
  });

  /** Waits until the tenant's list is empty. */
  async function settled(path: string): Promise<void> {
    await expect
      .poll(async () => (await posthorn.client.call('GET', path, undefined, acme)).body.deliveries, { timeout: 15_000 })
      .toEqual([]);
  }
});
