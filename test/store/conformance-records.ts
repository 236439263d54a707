import { describe, expect, it } from 'vitest';
import type { ApiKey, EventType } from '../../src/model/tenant.ts';
import { newId } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { makeEndpoint, start } from './make.ts';

/** The part of the conformance suite about records that people edit and read. */
export function describeRecords(current: () => Store): void {
  describe('keeps endpoints', () => {
    it('as they were given, secrets newest first', async () => {
      const { endpoints } = current();
      const older = { id: newId(start), value: 'older', createdAt: start, expiresAt: Date.now() + 60_000 };
      const newer = { id: newId(start), value: 'newer', createdAt: start, expiresAt: null };
      const full = makeEndpoint({ wireFormat: { body: 'payload' }, secrets: [newer, older] });
      const bare = makeEndpoint({
        tenantId: 'other',
        description: null,
        isActive: false,
        disabledReason: 'by_user',
        headers: null,
        retryScheduleMs: null,
        timeoutMs: null,
        concurrency: null,
        metadata: null,
        secrets: [],
      });
      await endpoints.create({ ...full, secrets: [older, newer] });
      await endpoints.create(bare);
      expect(await endpoints.get('acme', full.id)).toEqual({ ...full, deletedAt: null });
      expect(await endpoints.get('acme', bare.id)).toBeNull();
      expect(await endpoints.all()).toEqual([full, bare]);
    });

    it('without secrets that have expired', async () => {
      const { endpoints } = current();
      const expired = { id: newId(start), value: 'gone', createdAt: start, expiresAt: Date.now() - 1 };
      const endpoint = makeEndpoint();
      await endpoints.create({ ...endpoint, secrets: [...endpoint.secrets, expired] });
      expect((await endpoints.get('acme', endpoint.id))?.secrets).toEqual(endpoint.secrets);
      expect((await endpoints.all())[0]?.secrets).toEqual(endpoint.secrets);
    });

    it('as the last update left them, secrets replaced', async () => {
      const { endpoints } = current();
      const endpoint = makeEndpoint();
      await endpoints.create(endpoint);
      const secrets = [{ id: newId(start), value: 'another', createdAt: start, expiresAt: null }];
      const after = {
        ...endpoint,
        url: 'https://example.org/other',
        isActive: false,
        disabledReason: 'gone' as const,
        secrets,
        updatedAt: start + 1,
      };
      await endpoints.update(after);
      expect(await endpoints.get('acme', endpoint.id)).toEqual({ ...after, deletedAt: null });
    });

    it('for their history once they are removed, without secrets, and brings them back for nobody', async () => {
      const { endpoints } = current();
      const endpoint = makeEndpoint();
      await endpoints.create(endpoint);
      await endpoints.remove('other', endpoint.id, start);
      expect(await endpoints.get('acme', endpoint.id)).not.toBeNull();
      await endpoints.remove('acme', endpoint.id, start + 5);
      await endpoints.update({ ...endpoint, url: 'https://example.org/late' });
      expect(await endpoints.get('acme', endpoint.id)).toBeNull();
      expect(await endpoints.all()).toEqual([]);
      expect(await endpoints.get('acme', endpoint.id, { deleted: true })).toMatchObject({
        url: endpoint.url,
        secrets: [],
        deletedAt: start + 5,
      });
    });

    it('once: the second of the same id is told so, and its neighbours are stored', async () => {
      const { endpoints } = current();
      const [endpoint, other] = [makeEndpoint(), makeEndpoint()];
      const results = await Promise.allSettled([
        endpoints.create(endpoint),
        endpoints.create(endpoint),
        endpoints.create(other),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(results[1]).toMatchObject({ reason: { code: 'ALREADY_EXISTS' } });
      expect(await endpoints.all()).toEqual([endpoint, other]);
    });
  });

  describe('keeps the catalogue, tenants and keys', () => {
    it('event types by name, the last put counting', async () => {
      const { eventTypes } = current();
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

    it('tenants, the first creation counting', async () => {
      const { tenants } = current();
      await tenants.create({ id: 'b', name: null, wireFormat: null, createdAt: start });
      await tenants.create({ id: 'a', name: 'A', wireFormat: 'grantex', createdAt: start });
      await tenants.create({ id: 'a', name: 'Again', wireFormat: null, createdAt: start + 1 });
      await tenants.update({ id: 'b', name: 'B', wireFormat: { body: 'payload' }, createdAt: start + 9 });
      expect(await tenants.all()).toEqual([
        { id: 'a', name: 'A', wireFormat: 'grantex', createdAt: start },
        { id: 'b', name: 'B', wireFormat: { body: 'payload' }, createdAt: start },
      ]);
    });

    it('keys by hash, with their uses and their first revocation', async () => {
      const { apiKeys } = current();
      const key: ApiKey & { hash: string } = {
        id: newId(start),
        tenantId: 'acme',
        role: 'admin',
        name: 'ci',
        hint: 'ph_abc',
        hash: 'h1',
        createdAt: start,
        lastUsedAt: null,
        expiresAt: start + 9,
        revokedAt: null,
      };
      const operator = {
        ...key,
        id: newId(start),
        tenantId: null,
        role: 'operator' as const,
        name: null,
        hash: 'h2',
        expiresAt: null,
      };
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
  });
}
