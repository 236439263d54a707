import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startReceiver, type Receiver } from '../../../test/e2e/receiver.ts';
import { dataDir, KEY, startServer, type Running } from '../../../test/e2e/server.ts';
import {
  Posthorn,
  PosthornError,
  verifyWebhook,
  verifyWebhookAsync,
  verifyWebhookSignature,
  Webhook,
} from '../src/index.ts';
import type { FormatName } from '../src/index.ts';

const folder = dataDir();
let server: Running;
let receiver: Receiver;
let tenants = 0;

beforeAll(async () => {
  [server, receiver] = await Promise.all([startServer(folder.path), startReceiver()]);
});
afterAll(async () => {
  await Promise.all([server.stop(), receiver.close()]);
  folder.remove();
});

/** Calls as they went out: `POST /v1/events`. */
const called = new Set<string>();
const recording: typeof fetch = (url, init) => {
  called.add(`${init!.method} ${new URL(url).pathname}`);
  return fetch(url, init);
};

/** A client for a tenant of its own. */
async function client(): Promise<Posthorn> {
  const posthorn = new Posthorn({ baseUrl: server.base, apiKey: KEY, tenant: `sdk-${++tenants}`, fetch: recording });
  await posthorn.webhooks.list();
  return posthorn;
}

describe('a webhook', () => {
  it('is made, found, changed and deleted', async () => {
    const { webhooks } = await client();
    const made = await webhooks.create({ url: receiver.url('/a'), events: ['order.*'] });
    expect(made).toMatchObject({ url: receiver.url('/a'), events: ['order.*'], isActive: true });
    expect(made.secret).toMatch(/^whsec_/);
    const { webhooks: all } = await webhooks.list();
    expect(all).toHaveLength(1);
    expect(all[0]).not.toHaveProperty('secret');
    expect(await webhooks.update(made.id, { description: 'mine' })).toMatchObject({ description: 'mine' });
    expect(await webhooks.disable(made.id)).toMatchObject({ isActive: false });
    expect(await webhooks.enable(made.id)).toMatchObject({ isActive: true });
    expect((await webhooks.rotateSecret(made.id, { gracePeriod: '1h' })).secret).not.toBe(made.secret);
    expect(await webhooks.publicKeys(made.id)).toEqual({ publicKeys: [] });
    expect(await webhooks.stats(made.id)).toMatchObject({ hours: 24 });
    expect(await webhooks.delete(made.id)).toBeUndefined();
    await expect(webhooks.get(made.id)).rejects.toMatchObject({ code: 'NOT_FOUND', status: 404 });
  });

  it('is made once, however often the same call is repeated', async () => {
    const { webhooks } = await client();
    const create = () => webhooks.create({ url: receiver.url(), events: ['*'] }, { idempotencyKey: 'once' });
    const [first, second] = [await create(), await create()];
    expect(second).toEqual(first);
    expect((await webhooks.list()).webhooks).toHaveLength(1);
  });

  it('is found on any page', async () => {
    const { webhooks } = await client();
    for (let i = 0; i < 5; i++) await webhooks.create({ url: receiver.url(`/${i}`), events: ['*'] });
    const urls: string[] = [];
    for await (const webhook of webhooks.list({ limit: 2 })) urls.push(new URL(webhook.url).pathname);
    expect(urls).toEqual(['/4', '/3', '/2', '/1', '/0']);
    const { nextCursor } = await webhooks.list({ limit: 2 }).page();
    expect((await webhooks.list({ limit: 2 }).page(nextCursor!)).webhooks[0]!.url).toBe(receiver.url('/2'));
  });

  it('is tested', async () => {
    const { webhooks } = await client();
    const { id, secret } = await webhooks.create({ url: receiver.url('/test'), events: ['*'] });
    expect(await webhooks.test(id, { type: 'order.paid', data: { n: 1 } })).toMatchObject({
      succeeded: true,
      statusCode: 200,
    });
    const { body, headers } = await receiver.waitFor(({ path }) => path === '/test');
    expect(verifyWebhook({ payload: body, headers, secret })).toMatchObject({ ok: true, event: { data: { n: 1 } } });
  });

  it('is imported, with its id and secret', async () => {
    const { webhooks } = await client();
    const webhook = {
      id: 'our-own-1',
      url: receiver.url(),
      events: ['*'],
      secret: 'whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5u',
    };
    const result = await webhooks.import({ webhooks: [webhook, { url: 'no', events: [] }] });
    expect(result).toMatchObject({
      created: 1,
      invalid: 1,
      results: [{ status: 'created', id: 'our-own-1' }, { status: 'invalid' }],
    });
    expect(await webhooks.get('our-own-1')).toMatchObject({ id: 'our-own-1' });
  });

  it('says what is wrong with it', async () => {
    const { webhooks } = await client();
    const error: unknown = await webhooks.create({ url: 'nowhere', events: [] }).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(PosthornError);
    expect(error).toMatchObject({
      code: 'BAD_REQUEST',
      status: 400,
      requestId: expect.stringMatching(/^req_/) as string,
    });
    expect((error as PosthornError).fields.map(({ field }) => field)).toContain('events');
  });
});

const formats: FormatName[] = ['standard', 'standard-ed25519', 'grantex', 'grantiva', 'gravv', 'lexigram'];
describe.each(formats)('an event delivered in the format %s', (format) => {
  it('arrives, and is verified with the secret that was shown', async () => {
    const { webhooks, events } = await client();
    const path = `/${format}`;
    const { secret, publicKey, id } = await webhooks.create({
      url: receiver.url(path),
      events: ['order.paid'],
      wireFormat: format,
    });
    await events.send({ type: 'order.paid', data: { total: '49.90', name: 'Zoë' }, id: `o-${format}` });
    const { body, headers } = await receiver.waitFor((request) => request.path === path);
    const isAsymmetric = format === 'standard-ed25519';
    if (isAsymmetric) {
      const { publicKeys } = await new Posthorn({ baseUrl: server.base }).webhooks.publicKeys(id);
      expect(publicKeys.map(({ key }) => key)).toEqual([publicKey]);
    }
    const key = isAsymmetric ? publicKey! : secret;
    const data = { total: '49.90', name: 'Zoë' };
    for (const result of [
      verifyWebhook({ payload: body, headers, secret: key, format }),
      await verifyWebhookAsync({ payload: body, headers, secret: key, format }),
      new Webhook(key, { format }).verify(Buffer.from(body), headers),
    ]) {
      expect(result).toMatchObject({ ok: true, event: { data } });
    }
    const event = verifyWebhook({ payload: body, headers, secret: key, format });
    if (event.ok && format !== 'gravv' && format !== 'grantiva') expect(event.event.id).toBe(`o-${format}`);
    if (event.ok) expect(event.event.type).toBe('order.paid');
    expect(verifyWebhook({ payload: body.replace('49.90', '0.01'), headers, secret: key, format }).ok).toBe(false);
    if (format === 'grantex') {
      expect(verifyWebhookSignature(body, headers['x-grantex-signature'] as string, key)).toBe(true);
    }
  });
});

describe('events', () => {
  it('are sent, once for each id and key, alone and in batches, and found again', async () => {
    const { events, webhooks } = await client();
    await webhooks.create({ url: receiver.url('/events'), events: ['*'] });
    const first = await events.send(
      { type: 'order.paid', data: { n: 1 }, occurredAt: new Date() },
      { idempotencyKey: 'k' },
    );
    expect(first.deliveries).toBe(1);
    const { events: sent } = await events.sendBatch([1, 2, 3].map((n) => ({ type: 'order.sent', data: { n } })));
    expect(sent).toHaveLength(3);
    const types: string[] = [];
    for await (const event of events.list({ limit: 3 })) types.push(event.type);
    expect(types).toEqual(['order.sent', 'order.sent', 'order.sent', 'order.paid']);
    expect(await events.get(first.id)).toMatchObject({ data: { n: 1 }, deliveries: [{ eventId: first.id }] });
    expect(await events.replay(first.id)).toEqual({ deliveries: 1 });
    await expect(events.send({ type: 'order.paid', data: { n: 2 } }, { idempotencyKey: 'k' })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
    });
  });
});

describe('deliveries', () => {
  it('are listed, looked at, and sent again, also as dead letters', async () => {
    const { events, webhooks, deliveries, deadLetters } = await client();
    receiver.answer('/broken', 500);
    const { id } = await webhooks.create({ url: receiver.url('/broken'), events: ['*'], retrySchedule: [] });
    for (let n = 0; n < 3; n++) await events.send({ type: 'order.paid', data: { n } });
    await receiver.waitForCount(3, '/broken');
    const dead = () => deadLetters.list({ acknowledged: false, webhookId: id });
    await expect.poll(async () => (await dead()).deadLetters.length, { timeout: 10_000 }).toBe(3);

    const { deliveries: page, total } = await webhooks.deliveries(id, { page: 1, pageSize: 2, status: 'failed' });
    expect([page.length, total, page[0]!.status]).toEqual([2, 3, 'failed']);
    const seen: string[] = [];
    for await (const delivery of webhooks.deliveries(id, { pageSize: 2 })) seen.push(delivery.id);
    expect(new Set(seen).size).toBe(3);

    const detail = await deliveries.get(seen[0]!);
    expect(detail).toMatchObject({ status: 'dead_letter', attemptLog: [{ number: 1, statusCode: 500 }] });
    expect((await deadLetters.acknowledge(seen[0]!)).acknowledgedAt).not.toBeNull();
    expect((await dead()).deadLetters).toHaveLength(2);
    expect(await deliveries.redeliverMany({ status: 'dead_letter', dryRun: true })).toMatchObject({ deliveries: 3 });
    receiver.answer('/broken', 204);
    await deadLetters.retry(seen[1]!);
    await deliveries.redeliver(seen[0]!);
    expect(await webhooks.replay(id)).toEqual({ deliveries: 1 });
    await receiver.waitForCount(6, '/broken');
    const delivered = () => deliveries.list({ status: ['delivered'], webhookId: id });
    await expect.poll(async () => (await delivered()).deliveries.length, { timeout: 10_000 }).toBe(3);
  });
});

describe('for operators', () => {
  it('the catalogue', async () => {
    const { eventTypes } = await client();
    expect(await eventTypes.create({ name: 'sdk.made' })).toMatchObject({ name: 'sdk.made' });
    await eventTypes.put('sdk.made', { description: 'Made.', examples: [{ n: 1 }] });
    expect(await eventTypes.get('sdk.made')).toMatchObject({ description: 'Made.' });
    const names: string[] = [];
    for await (const { name } of eventTypes.list({ limit: 1 })) names.push(name);
    expect(names).toContain('sdk.made');
    await eventTypes.delete('sdk.made');
  });

  it('tenants, their plans and what they use', async () => {
    const { plans, tenants: all, ...rest } = await client();
    const operator = new Posthorn({ baseUrl: server.base, apiKey: KEY, fetch: recording });
    expect(await plans.put('small', { endpointLimit: 1 })).toMatchObject({ name: 'small', endpointLimit: 1 });
    expect(await plans.get('small')).toMatchObject({ endpointLimit: 1 });
    const names: string[] = [];
    for await (const { name } of plans.list()) names.push(name);
    expect(names).toContain('small');
    await all.create({ id: 'sdk-acme', plan: 'small' });
    expect(await all.update('sdk-acme', { name: 'Acme' })).toMatchObject({ name: 'Acme', plan: 'small' });
    expect(await all.get('sdk-acme')).toMatchObject({ id: 'sdk-acme' });
    const ids: string[] = [];
    for await (const { id } of all.list({ limit: 2 })) ids.push(id);
    expect(ids).toContain('sdk-acme');

    const webhook = { url: receiver.url(), events: ['*'] };
    await operator.webhooks.create(webhook, { tenant: 'sdk-acme' });
    await expect(operator.webhooks.create(webhook, { tenant: 'sdk-acme' })).rejects.toMatchObject({
      code: 'PLAN_LIMIT_EXCEEDED',
      status: 402,
    });
    expect(await operator.usage({ tenant: 'sdk-acme' })).toMatchObject({
      plan: 'small',
      endpoints: { used: 1, limit: 1 },
    });
    expect(await rest.webhooks.list()).toMatchObject({ webhooks: [] });
    await all.update('sdk-acme', { plan: null });
    await plans.delete('small');
  });

  it('members, keys and sessions', async () => {
    const { members, apiKeys, sessions } = await client();
    const owner = await members.create({ role: 'owner', name: 'Ada', email: 'ada@example.com' });
    expect(await members.update(owner.id, { name: 'Ada L.' })).toMatchObject({ name: 'Ada L.' });
    expect(await members.get(owner.id)).toMatchObject({ email: 'ada@example.com' });
    const ids: string[] = [];
    for await (const { id } of members.list()) ids.push(id);
    expect(ids).toEqual([owner.id]);

    const made = await apiKeys.create({ role: 'viewer', name: 'ci' });
    const viewer = new Posthorn({ baseUrl: server.base, apiKey: made.key, fetch: recording });
    expect(await viewer.whoami()).toMatchObject({ role: 'viewer', keyId: made.id });
    await expect(viewer.webhooks.create({ url: receiver.url(), events: ['*'] })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    const keys: string[] = [];
    for await (const { id } of apiKeys.list()) keys.push(id);
    expect(keys).toEqual([made.id]);
    await apiKeys.revoke(made.id);
    await expect(viewer.whoami()).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 });

    const session = await sessions.create({ memberId: owner.id });
    const browser = new Posthorn({
      baseUrl: server.base,
      headers: { cookie: `posthorn_session=${session.token}` },
      fetch: recording,
    });
    expect(await browser.whoami()).toMatchObject({ memberId: owner.id });
    await browser.sessions.end();
    await expect(browser.whoami()).rejects.toMatchObject({ code: 'UNAUTHORIZED' });

    const second = await members.create({ role: 'viewer' });
    await members.delete(second.id);
    await expect(members.delete(owner.id)).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });
});

it('without a key: sign-up, and whether the server is well', async () => {
  const anybody = new Posthorn({ baseUrl: server.base, fetch: recording });
  expect(await anybody.health()).toMatchObject({ status: 'ok' });
  expect(await anybody.readiness()).toEqual({ status: 'ready' });
  const { apiKey, developerId } = await anybody.signup({ name: 'Ada' });
  const posthorn = new Posthorn({ baseUrl: server.base, apiKey, fetch: recording });
  expect(await posthorn.whoami()).toMatchObject({ tenantId: developerId, role: 'owner' });
});

it('every operation of the API that is not for browsers was called by the tests above', () => {
  const source = readFileSync(new URL('../src/types.ts', import.meta.url), 'utf8');
  const operations = [...source.matchAll(/^ {2}'([A-Z]+ \S+)': \{$/gm)].map(([, call]) => call!);
  expect(operations.length).toBeGreaterThan(50);
  const patterns = operations.map((call) => ({
    call,
    pattern: new RegExp(`^${call.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
  }));
  const missed = patterns
    .filter(({ pattern }) => ![...called].some((call) => pattern.test(call)))
    .map(({ call }) => call);
  expect(missed).toEqual(['GET /openapi.json', 'GET /errors']);
});
