import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { acceptOne, makeClaim, makeDelivery, makeEntry, makeFailure, makeSettlement, start } from './make.ts';
import { tenantId } from './scene.ts';
import type { StoreIt } from './scene.ts';

/** One slice of what is older than `start`, save for these tenants. */
async function prune(store: Store, limit: number, beforeOf: [tenantId: string, before: number | null][] = []) {
  return store.prune({ before: start, limit, beforeOf: new Map(beforeOf) });
}

/** Accepts an event of this age, in ms before `start`, and delivers it; resolves to the event's id. */
async function acceptDelivered(store: Store, tenantId: string, ageMs: number): Promise<Id> {
  const entry = makeEntry([newId(start)], 'sending', { tenantId, createdAt: start - ageMs });
  await store.accept([entry]);
  await store.settle(makeSettlement(entry.deliveries[0]!.id, { tenantId }));
  return entry.event.id;
}

/** The part of the conformance suite about the end of retention. */
export function describePrune(it: StoreIt): void {
  describe('prunes', () => {
    it('deletes old events with all that hangs on them, in slices, across tenants', async ({
      store,
      a,
      b,
      statusOf,
    }) => {
      const old = [];
      for (let i = 0; i < 5; i++) {
        const entry = makeEntry(
          [a, b],
          'sending',
          { tenantId: i % 2 ? 'other' : tenantId, createdAt: start - 10_000 },
          {
            dedupe: [{ key: `k${i}`, fingerprint: 'f' }],
          },
        );
        await store.accept([entry]);
        for (const { id } of entry.deliveries) {
          expect(await store.settle(makeSettlement(id, { tenantId: entry.event.tenantId }))).toBe(true);
        }
        old.push(entry);
      }
      const young = makeEntry([a]);
      await store.accept([young]);
      await store.settle(makeSettlement(young.deliveries[0]!.id));

      const slices = [];
      do slices.push(await prune(store, 2));
      while (slices.at(-1)! > 0);
      expect(slices).toEqual([2, 2, 1, 0]);
      for (const { event, deliveries } of old) {
        expect(await store.events.get(event.tenantId, event.id)).toBeNull();
        expect(await store.deliveries.get(event.tenantId, deliveries[0]!.id)).toBeNull();
        expect(await store.deliveries.attempts(event.tenantId, deliveries[1]!.id)).toEqual([]);
      }
      expect(await store.events.findOwnId(tenantId, 'k0')).toBeNull();
      expect(await statusOf(young.deliveries[0]!.id)).toBe('delivered');
    });

    it('keeps events with an open delivery or an unfinished fan-out, and takes them once they ended', async ({
      store,
      a,
      statusOf,
    }) => {
      const createdAt = start - 10_000;
      const open = [];
      for (const status of ['pending', 'held', 'sending'] as const)
        open.push(await acceptOne(store, a, status, { createdAt }));
      const unfinished = makeEntry([], 'pending', { createdAt }, { fanOutAfter: a });
      await store.accept([unfinished]);
      const ended = await acceptOne(store, a, 'sending', { createdAt });
      await store.settle(makeSettlement(ended));
      expect(await prune(store, 100)).toBe(1);
      expect(await prune(store, 100)).toBe(0);
      expect(await statusOf(open[0]!)).toBe('pending');
      await store.extendFanOut({
        tenantId,
        eventId: unfinished.event.id,
        deliveries: [],
        from: a,
        after: null,
        now: start,
      });
      await store.settle(makeSettlement(open[2]!));
      expect(await prune(store, 100)).toBe(2);
      expect(await store.deliveries.count({ tenantId }, 10)).toBe(2);
    });

    it('takes an event with very many deliveries', async ({ store, a, b }) => {
      const entry = makeEntry([a, ...Array.from({ length: 4999 }, () => b)], 'held', { createdAt: start - 10_000 });
      await store.accept([entry]);
      const cancel = async (endpointId: Id): Promise<number> =>
        store.moveDeliveries({
          ...{ tenantId, endpointId, from: 'held', to: 'cancelled', reason: null, limit: 5000, now: start },
        });
      expect(await cancel(a)).toBe(1);
      expect(await prune(store, 10)).toBe(0);
      expect(await store.deliveries.count({ tenantId }, 10_000)).toBe(5000);
      expect(await cancel(b)).toBe(4999);
      expect(await prune(store, 10)).toBe(1);
      expect(await store.deliveries.count({ tenantId }, 10)).toBe(0);
    });

    it('gives each tenant its own limit, longer, shorter or none, and the others the usual one', async ({ store }) => {
      const tenants = ['usual', 'longer', 'shorter', 'ever', 'another'];
      const ages = [100, 10, -10]; // in order of acceptance
      const ids = new Map<string, Id[]>();
      for (const age of ages) {
        for (const tenant of tenants) {
          ids.set(tenant, [...(ids.get(tenant) ?? []), await acceptDelivered(store, tenant, age)]);
        }
      }
      const beforeOf: [string, number | null][] = [
        ['longer', start - 50],
        ['shorter', start + 50],
        ['ever', null],
      ];
      const slices = [];
      do slices.push(await prune(store, 3, beforeOf));
      while (slices.at(-1)! > 0);
      expect(slices).toEqual([3, 3, 2, 0]);
      const kept = async (tenant: string) => {
        const found = await Promise.all(ids.get(tenant)!.map((id) => store.events.get(tenant, id)));
        return found.flatMap((event, i) => (event ? [ages[i]] : []));
      };
      expect(await Promise.all(tenants.map(kept))).toEqual([[-10], [10, -10], [], [100, 10, -10], [-10]]);
    });

    it('takes what is old behind more events that stay than one slice looks at', async ({ store, a }) => {
      const createdAt = start - 10_000;
      await store.accept(Array.from({ length: 2500 }, () => makeEntry([a], 'held', { createdAt })));
      await store.accept(Array.from({ length: 2500 }, () => makeEntry([], 'held', { tenantId: 'ever', createdAt })));
      const last = await acceptDelivered(store, tenantId, 5000);
      const other = await acceptDelivered(store, 'other', 5000);
      expect(await prune(store, 10, [['ever', null]])).toBe(2);
      expect(await prune(store, 10, [['ever', null]])).toBe(0);
      expect(await store.events.get(tenantId, last)).toBeNull();
      expect(await store.events.get('other', other)).toBeNull();
      expect(await prune(store, 10, [['acme', null]])).toBe(10);
    });
  });

  describe('forgets payloads', () => {
    it('of old events, in slices, across tenants, and leaves their history', async ({ store, a }) => {
      const old: { tenant: string; id: Id }[] = [];
      for (const tenant of ['acme', 'other', 'acme', 'third', 'other']) {
        old.push({ tenant, id: await acceptDelivered(store, tenant, 10_000) });
      }
      const young = await acceptOne(store, a);
      await store.settle(makeSettlement(young));
      const slices = [];
      do slices.push(await store.prunePayloads({ before: start, limit: 2 }));
      while (slices.at(-1)! > 0);
      expect(slices).toEqual([2, 2, 1, 0]);
      for (const { tenant, id } of old) {
        expect(await store.events.get(tenant, id)).toMatchObject({ id, type: 'order.created', data: '' });
        const [row] = await store.deliveries.list({ tenantId: tenant, eventId: id }, { limit: 10, before: null });
        expect(row).toMatchObject({ status: 'delivered', eventType: 'order.created' });
        expect(await store.deliveries.attempts(tenant, row!.id)).toHaveLength(1);
      }
      const { eventId } = (await store.deliveries.get(tenantId, young))!;
      expect(await store.events.get(tenantId, eventId)).toMatchObject({ data: '{"total":1}' });
    });

    it('but not of events with an open delivery or an unfinished fan-out, until they have ended', async ({
      store,
      a,
    }) => {
      const createdAt = start - 10_000;
      const held = await acceptOne(store, a, 'held', { createdAt });
      const sending = await acceptOne(store, a, 'sending', { createdAt });
      const unfinished = makeEntry([], 'pending', { createdAt }, { fanOutAfter: a });
      await store.accept([unfinished]);
      const ended = await acceptDelivered(store, tenantId, 10_000);
      expect(await store.prunePayloads({ before: start, limit: 100 })).toBe(1);
      expect(await store.events.get(tenantId, ended)).toMatchObject({ data: '' });
      expect(await store.prunePayloads({ before: start, limit: 100 })).toBe(0);
      await store.settle(makeSettlement(sending));
      expect(await store.prunePayloads({ before: start, limit: 100 })).toBe(1);
      await store.moveDeliveries({
        ...{ tenantId, endpointId: a, from: 'held', to: 'pending', reason: null, limit: 10, now: start },
      });
      const { deliveries } = await store.claim(makeClaim());
      expect(deliveries).toMatchObject([{ id: held, event: { data: '{"total":1}' } }]);
      const { id: eventId } = unfinished.event;
      expect(await store.events.get(tenantId, eventId)).toMatchObject({ data: '{"total":1}' });
      await store.extendFanOut({ tenantId, eventId, deliveries: [], from: a, after: null, now: start });
      expect(await store.prunePayloads({ before: start, limit: 100 })).toBe(1);
    });

    it('and sends nothing again that has none', async ({ store, a, b, statusOf }) => {
      const without = makeEntry([a], 'sending', { createdAt: start - 10_000 });
      const entry = makeEntry([a], 'sending');
      await store.accept([without, entry]);
      const ids = [without, entry].map(({ deliveries }) => deliveries[0]!.id);
      for (const id of ids) await store.settle(makeFailure(id, { status: 'dead_letter', dueAt: null }));
      expect(await store.prunePayloads({ before: start, limit: 100 })).toBe(1);
      const moved = await store.redeliver({ tenantId, deliveryIds: ids, dueAt: start, spacingMs: 0 });
      expect(moved).toEqual([ids[1]]);
      expect(await statusOf(ids[0]!)).toBe('dead_letter');
      const again = store.addDeliveries(tenantId, without.event.id, [makeDelivery(b, 'pending')], start);
      await expect(again).rejects.toMatchObject({ code: 'INVALID_STATE', message: expect.stringContaining('payload') });
      expect(await store.deliveries.count({ tenantId }, 10)).toBe(2);
      expect((await store.claim(makeClaim())).deliveries).toMatchObject([{ id: ids[1] }]);
    });

    it('behind more events that stay, or have lost theirs, than one slice looks at', async ({ store, a }) => {
      const createdAt = start - 10_000;
      await store.accept(Array.from({ length: 2500 }, () => makeEntry([], 'held', { createdAt })));
      for (let left = 2500; left > 0; left -= 1000) {
        expect(await store.prunePayloads({ before: start, limit: 1000 })).toBe(Math.min(left, 1000));
      }
      await store.accept(Array.from({ length: 2500 }, () => makeEntry([a], 'held', { createdAt })));
      await acceptDelivered(store, tenantId, 10_000);
      expect(await store.prunePayloads({ before: start, limit: 1000 })).toBe(1);
      expect(await store.prunePayloads({ before: start, limit: 1000 })).toBe(0);
    });
  });
}
