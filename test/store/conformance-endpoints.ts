import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import { makeEndpoint, start } from './make.ts';
import type { StoreIt } from './scene.ts';

/** The part of the conformance suite about endpoints: what is kept of them, and when one is not made. */
export function describeEndpoints(it: StoreIt): void {
  describe('keeps endpoints', () => {
    it('as they were given, secrets newest first', async ({ store }) => {
      const { endpoints } = store;
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

    it('without secrets that have expired', async ({ store }) => {
      const { endpoints } = store;
      const expired = { id: newId(start), value: 'gone', createdAt: start, expiresAt: Date.now() - 1 };
      const endpoint = makeEndpoint();
      await endpoints.create({ ...endpoint, secrets: [...endpoint.secrets, expired] });
      expect((await endpoints.get('acme', endpoint.id))?.secrets).toEqual(endpoint.secrets);
      expect((await endpoints.all())[0]?.secrets).toEqual(endpoint.secrets);
    });

    it('as the last update left them, secrets replaced', async ({ store }) => {
      const { endpoints } = store;
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
      expect(await endpoints.update(after, start)).toBe(true);
      expect(await endpoints.get('acme', endpoint.id)).toEqual({ ...after, deletedAt: null });
    });

    it('and changed by one of two who saw the same, whoever is quicker', async ({ store }) => {
      const { endpoints } = store;
      const endpoint = makeEndpoint();
      await endpoints.create(endpoint);
      const versions = ['one', 'two'].map((description, i) => ({
        ...endpoint,
        description,
        secrets: [{ ...endpoint.secrets[0]!, id: newId(start), value: description }],
        updatedAt: start + 1 + i,
      }));
      const done = await Promise.all(versions.map((version) => endpoints.update(version, start)));
      expect(done.filter(Boolean)).toHaveLength(1);
      const winner = versions[done.indexOf(true)]!;
      expect(await endpoints.get('acme', endpoint.id)).toEqual({ ...winner, deletedAt: null });
      expect(await endpoints.update({ ...winner, updatedAt: start + 9 }, start)).toBe(false);
      expect(await endpoints.update({ ...winner, updatedAt: start + 9 }, winner.updatedAt)).toBe(true);
      expect(await endpoints.update({ ...winner, id: newId(start) }, start)).toBe(false);
    });

    it('for their history once they are removed, without secrets, and brings them back for nobody', async ({
      store,
    }) => {
      const { endpoints } = store;
      const endpoint = makeEndpoint();
      await endpoints.create(endpoint);
      await endpoints.remove('other', endpoint.id, start);
      expect(await endpoints.get('acme', endpoint.id)).not.toBeNull();
      await endpoints.remove('acme', endpoint.id, start + 5);
      expect(await endpoints.update({ ...endpoint, url: 'https://example.org/late' }, start)).toBe(false);
      expect(await endpoints.update({ ...endpoint, url: 'https://example.org/late' }, start + 5)).toBe(false);
      expect(await endpoints.get('acme', endpoint.id)).toBeNull();
      expect(await endpoints.all()).toEqual([]);
      expect(await endpoints.get('acme', endpoint.id, { deleted: true })).toMatchObject({
        url: endpoint.url,
        secrets: [],
        deletedAt: start + 5,
      });
    });

    it('with an id of their own, which a deleted one gives up', async ({ store }) => {
      const { endpoints } = store;
      const endpoint = makeEndpoint({ ownId: 'hook-1' });
      expect(await endpoints.create(endpoint)).toEqual({ kind: 'created' });
      expect(await endpoints.create(makeEndpoint({ ownId: 'hook-1' }))).toEqual({ kind: 'taken' });
      expect(await endpoints.create(makeEndpoint({ ownId: 'hook-2' }))).toEqual({ kind: 'created' });
      expect(await endpoints.create(makeEndpoint({ ownId: 'hook-1', tenantId: 'other' }))).toEqual({ kind: 'created' });
      expect((await endpoints.get('acme', endpoint.id))?.ownId).toBe('hook-1');
      await endpoints.remove('acme', endpoint.id, start);
      expect(await endpoints.create(makeEndpoint({ ownId: 'hook-1' }))).toEqual({ kind: 'created' });
      expect((await endpoints.get('acme', endpoint.id, { deleted: true }))?.ownId).toBe('hook-1');
    });

    it('once: an id is taken for every tenant, also by a deleted one, and nothing of it changes', async ({ store }) => {
      const { endpoints } = store;
      const [endpoint, other] = [makeEndpoint(), makeEndpoint()];
      const again = { ...makeEndpoint(), id: endpoint.id, tenantId: 'other', url: 'https://example.org/mine' };
      expect(await endpoints.create(endpoint)).toEqual({ kind: 'created' });
      expect(
        await Promise.all([
          endpoints.create({ ...again, tenantId: 'acme' }),
          endpoints.create(again),
          endpoints.create(other),
        ]),
      ).toEqual([{ kind: 'taken' }, { kind: 'taken' }, { kind: 'created' }]);
      const twins = ['acme', 'other'].map((tenantId) => ({ ...makeEndpoint({ tenantId }), id: newId(start) }));
      const kinds = await Promise.all(twins.map((twin) => endpoints.create({ ...twin, id: twins[0]!.id })));
      expect(kinds.map(({ kind }) => kind).sort()).toEqual(['created', 'taken']);
      const [twin] = (await endpoints.all()).filter(({ id }) => id === twins[0]!.id);
      await endpoints.remove(twin!.tenantId, twin!.id, start);
      expect(await endpoints.all()).toEqual([endpoint, other]);
      await endpoints.remove('acme', endpoint.id, start);
      expect(await endpoints.create(again)).toEqual({ kind: 'taken' });
      expect(await endpoints.all()).toEqual([other]);
    });

    it('up to a limit, however many come at once, the deleted ones not counted', async ({ store }) => {
      const { endpoints } = store;
      const create = async (tenantId = 'acme', limit: number | null = 5) =>
        (await endpoints.create(makeEndpoint({ tenantId }), { limit })).kind;
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => create()));
      expect(outcomes.filter((kind) => kind === 'created')).toHaveLength(5);
      expect(outcomes.filter((kind) => kind === 'limited')).toHaveLength(15);
      expect(await endpoints.all()).toHaveLength(5);
      expect(await create('other')).toBe('created');
      expect(await create('other', 0)).toBe('limited');
      const [first] = await endpoints.all();
      await endpoints.remove('acme', first!.id, start);
      expect([await create(), await create(), await create('acme', null)]).toEqual(['created', 'limited', 'created']);
    });

    it('once for one idempotency key, also for twenty at once and where there is no room for another', async ({
      store,
    }) => {
      const { endpoints } = store;
      const create = (key: string, fingerprint: string, tenantId = 'acme') =>
        endpoints.create(makeEndpoint({ tenantId }), { limit: 1, dedupe: { key, fingerprint } });
      const outcomes = await Promise.all(Array.from({ length: 20 }, () => create('k', 'f')));
      const [endpoint] = await endpoints.all();
      const repeated = { kind: 'repeated', endpointId: endpoint!.id, sameBody: true };
      expect(outcomes.filter(({ kind }) => kind === 'created')).toHaveLength(1);
      expect(outcomes.filter(({ kind }) => kind !== 'created')).toEqual(Array.from({ length: 19 }, () => repeated));
      expect(await endpoints.all()).toHaveLength(1);
      expect(await create('k', 'g')).toEqual({ ...repeated, sameBody: false });
      expect(await create('l', 'f')).toEqual({ kind: 'limited' });
      expect(await create('k', 'f', 'other')).toEqual({ kind: 'created' });
      await endpoints.remove('acme', endpoint!.id, start);
      expect(await create('k', 'f')).toEqual(repeated);
      expect(await create('l', 'f')).toEqual({ kind: 'created' });
    });

    it('without keeping the key of one it did not store', async ({ store }) => {
      const { endpoints } = store;
      const dedupe = { key: 'k', fingerprint: 'f' };
      const endpoint = makeEndpoint();
      await endpoints.create(endpoint);
      expect(await endpoints.create({ ...makeEndpoint(), id: endpoint.id }, { dedupe })).toEqual({ kind: 'taken' });
      expect(await endpoints.create(makeEndpoint(), { dedupe, limit: 1 })).toEqual({ kind: 'limited' });
      expect(await endpoints.create(makeEndpoint(), { dedupe, limit: 2 })).toEqual({ kind: 'created' });
    });
  });
}
