import { describe, expect } from 'vitest';
import type { EventType } from '../../src/model/tenant.ts';
import { newId } from '../../src/model/id.ts';
import { makeKey, makeMember, makePlan, start } from './make.ts';
import type { StoreIt } from './scene.ts';

/** The part of the conformance suite about records that people edit and read. */
export function describeRecords(it: StoreIt): void {
  describe('keeps the catalogue, tenants, keys and plans', () => {
    it('event types by name, the last put counting', async ({ store }) => {
      const { eventTypes } = store;
      const type: EventType = {
        name: 'order.created',
        description: null,
        schema: { type: 'object' },
        examples: [{ total: 1 }],
        isArchived: false,
        createdAt: start,
        updatedAt: start,
      };
      await eventTypes.put(type);
      await eventTypes.put({ ...type, name: 'a.first', schema: null, examples: [] });
      const after = { ...type, description: 'An order', isArchived: true, updatedAt: start + 1 };
      await eventTypes.put({ ...after, createdAt: start + 1 });
      expect(await eventTypes.all()).toEqual([{ ...type, name: 'a.first', schema: null, examples: [] }, after]);
      await eventTypes.remove('a.first');
      expect(await eventTypes.all()).toEqual([after]);
    });

    it('tenants, the first creation counting', async ({ store }) => {
      const { tenants, plans } = store;
      for (const name of ['pro', 'free']) await plans.put(makePlan({ name }));
      const first = { id: 'a', name: 'A', wireFormat: 'grantex', plan: 'pro', createdAt: start };
      const second = { id: 'b', name: null, wireFormat: null, plan: null, createdAt: start };
      expect(await tenants.create(second)).toBe('done');
      expect(await tenants.create(first)).toBe('done');
      expect(await tenants.create({ ...first, name: 'Again', plan: null, createdAt: start + 1 })).toBe('present');
      expect(await tenants.update('b', { plan: 'free' })).toBe('done');
      expect(await tenants.update('b', { name: 'B', wireFormat: { body: 'payload' } })).toBe('done');
      expect(await tenants.update('b', {})).toBe('done');
      const after = { ...second, name: 'B', wireFormat: { body: 'payload' }, plan: 'free' };
      expect(await tenants.all()).toEqual([first, after]);
      expect(await tenants.get('b')).toEqual(after);
      expect(await tenants.get('c')).toBeNull();
    });

    it('tenants whose plan exists, as long as they have it', async ({ store }) => {
      const { tenants, plans } = store;
      await plans.put(makePlan({ name: 'pro' }));
      const tenant = { id: 'a', name: null, wireFormat: null, plan: 'pro', createdAt: start };
      expect(await tenants.create({ ...tenant, plan: 'none' })).toBe('no_plan');
      expect(await tenants.get('a')).toBeNull();
      expect(await tenants.create(tenant)).toBe('done');
      expect(await tenants.update('a', { name: 'A', plan: 'none' })).toBe('no_plan');
      expect(await tenants.get('a')).toEqual(tenant);
      expect(await plans.remove('pro')).toBe(false);
      expect(await plans.all()).toHaveLength(1);
      await tenants.update('a', { plan: null });
      // Whatever comes first, no tenant is left with a plan that is not there.
      const [given, isRemoved] = await Promise.all([tenants.update('a', { plan: 'pro' }), plans.remove('pro')]);
      expect(given === 'done').toBe(!isRemoved);
      expect((await tenants.get('a'))!.plan).toBe(isRemoved ? null : 'pro');
    });

    it('keys by hash, with their uses and their first revocation', async ({ store }) => {
      const { apiKeys } = store;
      const key = makeKey({ expiresAt: start + 9, memberId: newId(start), scopes: ['webhooks:read', 'events:write'] });
      const operator = makeKey({ tenantId: null, role: 'operator', name: null });
      await apiKeys.create(key);
      await apiKeys.create(operator);
      await expect(apiKeys.create({ ...key, id: newId(start) })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      await apiKeys.touch([]);
      await apiKeys.touch([
        { id: key.id, lastUsedAt: start + 1 },
        { id: operator.id, lastUsedAt: start + 2 },
      ]);
      await apiKeys.revoke(key.id, start + 3);
      await apiKeys.revoke(key.id, start + 4);
      expect(await apiKeys.all()).toEqual([
        { ...key, lastUsedAt: start + 1, revokedAt: start + 3 },
        { ...operator, lastUsedAt: start + 2 },
      ]);
    });

    it('plans by name, one of them the default', async ({ store }) => {
      const { plans } = store;
      const pro = makePlan({ isDefault: true });
      const none = { endpointLimit: null, eventsPerDay: null, retentionDays: null, features: [] };
      const free = makePlan({ name: 'free', ...none });
      await plans.put(pro);
      await plans.put(free);
      expect(await plans.all()).toEqual([free, pro]);
      const after = { ...free, endpointLimit: 0, isDefault: true, updatedAt: start + 1 };
      await plans.put({ ...after, createdAt: start + 1 });
      expect(await plans.all()).toEqual([after, { ...pro, isDefault: false }]);
      await plans.put(after);
      expect(await plans.remove('pro')).toBe(true);
      expect(await plans.remove('unknown')).toBe(true);
      expect(await plans.all()).toEqual([after]);
    });
  });

  describe('keeps people', () => {
    it('by tenant, each email once in it', async ({ store }) => {
      const { members } = store;
      const ada = makeMember({ email: 'ada@example.org' });
      const [bob, nameless] = [makeMember({ name: 'Bob' }), makeMember({ name: null, role: 'owner' })];
      const twin = { ...ada, id: newId(start) };
      expect(await Promise.all([ada, bob, nameless].map((member) => members.create(member)))).toEqual([
        true,
        true,
        true,
      ]);
      expect(await members.create(twin)).toBe(false);
      const other = { ...ada, id: newId(start), tenantId: 'other' };
      expect(await members.create(other)).toBe(true);
      const after = { ...bob, role: 'admin' as const, email: 'bob@example.org', updatedAt: start + 1 };
      expect(await members.update(after, start)).toBe('done');
      expect(await members.update({ ...nameless, tenantId: 'other', name: 'Nobody' }, start)).toBe('stale');
      expect(await members.all()).toEqual([ada, after, nameless, other]);
      const twice = { ...after, email: ada.email };
      await expect(members.update(twice, start + 1)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      expect(await members.update({ ...after, name: 'Late' }, start)).toBe('stale');
      expect(await members.get('acme', after.id)).toEqual(after);
      expect(await members.get('other', after.id)).toBeNull();
    });

    it('with one owner at least, once there is one', async ({ store }) => {
      const { members } = store;
      const owners = [makeMember({ role: 'owner' }), makeMember({ role: 'owner' })];
      const elsewhere = makeMember({ role: 'owner', tenantId: 'other' });
      for (const member of [...owners, elsewhere]) await members.create(member);
      const demoted = owners.map((owner) => ({ ...owner, role: 'admin' as const, updatedAt: start + 1 }));
      const outcomes = await Promise.all(demoted.map((member) => members.update(member, start)));
      expect(outcomes.toSorted()).toEqual(['done', 'last_owner']);
      const last = owners[outcomes.indexOf('last_owner')]!;
      expect(await members.remove('acme', last.id, start)).toBe('last_owner');
      expect(await members.update({ ...last, name: 'The last', updatedAt: start + 2 }, start)).toBe('done');
      expect(await members.remove('acme', owners[outcomes.indexOf('done')]!.id, start)).toBe('done');
      expect(await members.all()).toHaveLength(2);
    });

    it('with their sessions, until these end', async ({ store }) => {
      const { sessions } = store;
      const session = { hash: 's1', tenantId: 'acme', memberId: newId(start), createdAt: start, expiresAt: start + 9 };
      const longer = { ...session, hash: 's2', expiresAt: start + 99 };
      await sessions.create(session);
      await sessions.create(longer);
      expect(await sessions.all(start)).toEqual([session, longer]);
      expect(await sessions.all(start + 9)).toEqual([longer]);
      const later = { ...session, hash: 's3', createdAt: start + 9, expiresAt: start + 50 };
      await sessions.create(later);
      expect(await sessions.all(start)).toEqual([later, longer]);
      await sessions.remove('s2');
      await sessions.remove('unknown');
      expect(await sessions.all(start)).toEqual([later]);
    });

    it('and with them, once removed, neither sessions nor keys', async ({ store }) => {
      const { members, sessions, apiKeys } = store;
      const [ada, bob] = [makeMember({ email: 'ada@example.org' }), makeMember()];
      const keys = new Map([
        ['adas', makeKey({ memberId: ada.id })],
        ['revoked before', makeKey({ memberId: ada.id, revokedAt: start })],
        ['bobs', makeKey({ memberId: bob.id })],
        ['of an application', makeKey()],
        ['of another tenant', makeKey({ tenantId: 'other', memberId: ada.id })],
      ]);
      for (const member of [ada, bob]) {
        await members.create(member);
        const session = { hash: member.id, memberId: member.id, createdAt: start, expiresAt: start + 9 };
        await sessions.create({ ...session, tenantId: 'acme' });
      }
      for (const key of keys.values()) await apiKeys.create(key);
      await members.remove('other', ada.id, start + 4);
      expect(await members.all()).toEqual([ada, bob]);
      await members.remove('acme', ada.id, start + 5);
      expect(await members.all()).toEqual([bob]);
      expect((await sessions.all(start)).map(({ memberId }) => memberId)).toEqual([bob.id]);
      const revoked = new Map((await apiKeys.all()).map(({ id, revokedAt }) => [id, revokedAt]));
      expect([...keys].map(([name, { id }]) => [name, revoked.get(id)])).toEqual([
        ['adas', start + 5],
        ['revoked before', start],
        ['bobs', null],
        ['of an application', null],
        ['of another tenant', start + 4],
      ]);
      expect(await members.create({ ...makeMember(), email: ada.email })).toBe(true);
    });
  });
}
