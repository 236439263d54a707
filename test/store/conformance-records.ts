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
      const { tenants } = store;
      const first = { id: 'a', name: 'A', wireFormat: 'grantex', plan: 'pro', createdAt: start };
      const second = { id: 'b', name: null, wireFormat: null, plan: null, createdAt: start };
      await tenants.create(second);
      await tenants.create(first);
      await tenants.create({ ...first, name: 'Again', plan: null, createdAt: start + 1 });
      const after = { ...second, name: 'B', wireFormat: { body: 'payload' }, plan: 'free' };
      await tenants.update({ ...after, createdAt: start + 9 });
      expect(await tenants.all()).toEqual([first, after]);
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
      await plans.remove('pro');
      await plans.remove('unknown');
      expect(await plans.all()).toEqual([after]);
    });
  });

  describe('keeps people', () => {
    it('by tenant, each email once in it', async ({ store }) => {
      const { members } = store;
      const ada = makeMember({ email: 'ada@example.org' });
      const [bob, nameless] = [makeMember({ name: 'Bob' }), makeMember({ name: null, role: 'owner' })];
      const twin = { ...ada, id: newId(start) };
      const results = await Promise.all([ada, bob, nameless, twin].map((member) => members.create(member)));
      expect(results).toEqual([true, true, true, false]);
      const other = { ...ada, id: newId(start), tenantId: 'other' };
      expect(await members.create(other)).toBe(true);
      const after = { ...bob, role: 'admin' as const, email: 'bob@example.org', updatedAt: start + 1 };
      await members.update(after);
      await members.update({ ...nameless, tenantId: 'other', name: 'Nobody' });
      expect(await members.all()).toEqual([ada, after, nameless, other]);
      await expect(members.update({ ...after, email: ada.email })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
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
