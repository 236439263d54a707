import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

const signUp = (body: object, at = api) => at.call('POST', '/v1/signup', { key: null, body });

describe('signing up', () => {
  it('makes a tenant with its owner and a key that works at once', async () => {
    const { status, body } = await signUp({ name: 'Ada', email: 'ada@example.com', plan: 'ignored' });
    expect(status).toBe(201);
    expect(body).toEqual({
      developerId: expect.stringMatching(/^dev_[0-9A-Z]{26}$/),
      apiKey: expect.stringMatching(/^gx_live_[0-9A-Za-z]{49}$/),
      name: 'Ada',
      email: 'ada@example.com',
      mode: 'live',
      createdAt: expect.any(String),
    });
    const { apiKey: key, developerId } = body as unknown as { apiKey: string; developerId: string };
    const whoami = await api.call('GET', '/v1/whoami', { key });
    expect(whoami.body).toMatchObject({ role: 'owner', tenantId: developerId });
    const members = await api.call('GET', '/v1/members', { key });
    expect(members.body.members).toMatchObject([{ name: 'Ada', email: 'ada@example.com', role: 'owner' }]);
    const hook = { url: 'http://127.0.0.1:9/', events: ['grant.created'] };
    expect((await api.call('POST', '/v1/webhooks', { key, body: hook })).body.wireFormat).toBe('grantex');
  });

  it('gives a test key for the sandbox, and takes no email', async () => {
    const { body } = await signUp({ name: 'Bob', mode: 'sandbox' });
    expect(body).toMatchObject({ mode: 'sandbox', email: null, apiKey: expect.stringMatching(/^gx_test_/) });
  });

  it.each([
    [{}, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'x'.repeat(129) }, 'name'],
    [{ name: 7 }, 'name'],
    [{ name: 'a', email: 'not one' }, 'email'],
    [{ name: 'a', email: `a@${'x.'.repeat(200)}com` }, 'email'],
    [{ name: 'a', mode: 'both' }, 'mode'],
  ])('is refused as %j', async (body, field) => {
    expect(await signUp(body)).toMatchObject({ status: 400, body: { errors: [{ field }] } });
  });

  it('is refused where it is closed', async () => {
    const closed = await startApi({ signup: 'closed' });
    expect(await signUp({ name: 'Ada' }, closed)).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
    expect((await closed.call('GET', '/v1/tenants')).body.tenants).toHaveLength(1);
    await closed.stop();
  });

  it('is done at most ten times a minute from one address', async () => {
    const busy = await startApi();
    const answers = await Promise.all(Array.from({ length: 25 }, () => signUp({ name: 'Ada' }, busy)));
    const made = answers.filter(({ status }) => status === 201).length;
    // A new minute may have begun meanwhile.
    expect([10, 20]).toContain(made);
    for (const { status, headers } of answers.filter((answer) => answer.status !== 201)) {
      expect([status, Number(headers.get('retry-after')) > 0]).toEqual([429, true]);
    }
    await busy.stop();
  });
});
