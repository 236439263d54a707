import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type Api } from './server.ts';

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.stop());

/** A tenant of its own, with an application key of its owner. */
async function tenant(id: string) {
  await api.call('POST', '/v1/tenants', { body: { id } });
  const key = await api.newKey({ role: 'owner', tenantId: id });
  const add = (role: string, more: object = {}) => api.call('POST', '/v1/members', { key, body: { role, ...more } });
  const personal = async (memberId: string) =>
    (await api.call('POST', '/v1/api-keys', { key, body: { memberId } })).body.key;
  return { key, add, personal };
}

describe('members', () => {
  it('are added, shown, listed newest first in pages, changed and removed', async () => {
    const { key, add } = await tenant('crud');
    const ada = await add('owner', { name: 'Ada', email: 'ada@example.com' });
    expect(ada.status).toBe(201);
    expect(ada.body).toMatchObject({
      id: expect.stringMatching(/^mem_[0-9A-Z]{26}$/),
      name: 'Ada',
      email: 'ada@example.com',
      role: 'owner',
    });
    const bob = await add('viewer');
    expect(bob.body).toMatchObject({ name: null, email: null, role: 'viewer' });
    const first = await api.call('GET', '/v1/members?limit=1', { key });
    const rest = await api.call('GET', `/v1/members?limit=1&cursor=${first.body.nextCursor}`, { key });
    expect([...first.body.members, ...rest.body.members]).toEqual([bob.body, ada.body]);
    expect(rest.body.nextCursor).toBeNull();
    const path = `/v1/members/${bob.body.id}`;
    const changed = await api.call('PATCH', path, { key, body: { role: 'admin', email: 'bob@example.com' } });
    expect(changed.body).toMatchObject({ role: 'admin', email: 'bob@example.com', name: null });
    expect((await api.call('GET', path, { key })).body).toEqual(changed.body);
    const gone = await api.call('DELETE', path, { key });
    expect([gone.status, gone.text]).toEqual([204, '']);
    for (const method of ['GET', 'DELETE']) expect((await api.call(method, path, { key })).status).toBe(404);
  });

  it('have an email that no other of the tenant has, also not in other letters or by two at once', async () => {
    const { key, add } = await tenant('emails');
    const both = await Promise.all([
      add('viewer', { email: 'one@example.com' }),
      add('viewer', { email: 'One@example.com' }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
    const two = await add('viewer', { email: 'two@example.com' });
    const patch = { key, body: { email: 'ONE@example.com' } };
    expect(await api.call('PATCH', `/v1/members/${two.body.id}`, patch)).toMatchObject({
      status: 409,
      body: { code: 'ALREADY_EXISTS' },
    });
    // Their own they may write anew.
    const own = { key, body: { email: 'TWO@example.com' } };
    expect((await api.call('PATCH', `/v1/members/${two.body.id}`, own)).status).toBe(200);
    const elsewhere = await tenant('emails-elsewhere');
    expect((await elsewhere.add('viewer', { email: 'one@example.com' })).status).toBe(201);
  });

  it('always have an owner among them: the last one is neither demoted nor removed, also not two at once', async () => {
    const { key, add } = await tenant('owners');
    const ids = [(await add('owner')).body.id, (await add('owner')).body.id];
    await add('admin');
    const demotions = await Promise.all(
      ids.map((id) => api.call('PATCH', `/v1/members/${id}`, { key, body: { role: 'viewer' } })),
    );
    expect(demotions.map(({ status }) => status).sort()).toEqual([200, 409]);
    const last = ids[demotions.findIndex(({ status }) => status === 409)]!;
    expect(await api.call('DELETE', `/v1/members/${last}`, { key })).toMatchObject({
      status: 409,
      body: { code: 'INVALID_STATE' },
    });
    // Neither by an operator.
    const removal = await api.call('DELETE', `/v1/members/${last}`, { headers: { 'posthorn-tenant': 'owners' } });
    expect(removal.status).toBe(409);
    expect((await api.call('PATCH', `/v1/members/${last}`, { key, body: { name: 'Last' } })).status).toBe(200);
  });

  it.each([
    [{}, 'role: is missing'],
    [{ role: 'operator' }, 'role: must be one of "viewer"'],
    [{ role: 'viewer', email: 'nobody' }, 'email: must be an email address'],
    [{ role: 'viewer', email: 'a b@example.com' }, 'email: must be an email address'],
    [{ role: 'viewer', email: `${'x'.repeat(250)}@example.com` }, 'email: must have at most 254'],
    [{ role: 'viewer', name: '' }, 'name: must have 1 to 128'],
    [{ role: 'viewer', name: 'x'.repeat(129) }, 'name: must have 1 to 128'],
    [{ role: 'viewer', name: 'a\nb' }, 'name: must have 1 to 128'],
    [{ role: 'viewer', tenantId: 'globex' }, 'tenantId: is not known'],
  ])('are refused as %j', async (body, message) => {
    const answer = await api.call('POST', '/v1/members', { body });
    expect([answer.status, answer.body.message]).toEqual([400, expect.stringContaining(message)]);
  });
});

describe('a personal key', () => {
  it('may what its member may, from the next request on', async () => {
    const { key, add, personal } = await tenant('personal');
    await add('owner');
    const { body: member } = await add('viewer');
    const own = await personal(member.id);
    expect(own).toMatch(/^gpat_/);
    const send = async () => (await api.call('POST', '/v1/events', { key: own, body: { type: 'a', data: 1 } })).status;
    const setRole = (role: string) => api.call('PATCH', `/v1/members/${member.id}`, { key, body: { role } });
    expect(await send()).toBe(403);
    await setRole('member');
    expect(await send()).toBe(202);
    await setRole('viewer');
    expect(await send()).toBe(403);
    const whoami = await api.call('GET', '/v1/whoami', { key: own });
    expect(whoami.body).toMatchObject({ memberId: member.id, role: 'viewer', tenantId: 'personal', scopes: null });
  });

  it('ends with its member', async () => {
    const { key, add, personal } = await tenant('leaving');
    await add('owner');
    const { body: member } = await add('admin');
    const own = await personal(member.id);
    expect((await api.call('GET', '/v1/webhooks', { key: own })).status).toBe(200);
    await api.call('DELETE', `/v1/members/${member.id}`, { key });
    expect((await api.call('GET', '/v1/webhooks', { key: own })).status).toBe(401);
    const { body } = await api.call('GET', '/v1/api-keys', { key });
    expect(body.apiKeys.find(({ memberId }) => memberId === member.id)).toMatchObject({
      role: null,
      revokedAt: expect.any(String),
    });
  });

  it('is made with the role of its member, not with one that is given, and for members of the tenant alone', async () => {
    const { key, add } = await tenant('making');
    const { body: member } = await add('owner');
    const make = (body: object) => api.call('POST', '/v1/api-keys', { key, body });
    expect((await make({ memberId: member.id, role: 'viewer' })).body.message).toContain('role: is that of the member');
    expect((await make({ memberId: 'mem_nobody' })).body.message).toContain('memberId: is no member');
    const other = await tenant('making-elsewhere');
    const { body: stranger } = await other.add('owner');
    expect((await make({ memberId: stranger.id })).status).toBe(400);
    expect((await make({ memberId: member.id })).body).toMatchObject({ role: 'owner', memberId: member.id });
  });
});
