import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { acceptOne, makeEntry, makeSettlement, start } from './make.ts';
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

    it('takes an event with very many deliveries', async ({ store }) => {
      const entry = makeEntry(
        Array.from({ length: 5000 }, () => newId(start)),
        'held',
        { createdAt: start - 10_000 },
      );
      await store.accept([entry]);
      for (const { endpointId } of entry.deliveries.slice(0, 1)) {
        await store.moveDeliveries({
          tenantId,
          endpointId,
          from: 'held',
          to: 'cancelled',
          reason: null,
          limit: 1,
          now: start,
        });
      }
      expect(await prune(store, 10)).toBe(0);
      expect(await store.deliveries.count({ tenantId }, 10_000)).toBe(5000);
      await Promise.all(
        entry.deliveries.map(({ endpointId }) =>
          store.moveDeliveries({
            tenantId,
            endpointId,
            from: 'held',
            to: 'cancelled',
            reason: null,
            limit: 1,
            now: start,
          }),
        ),
      );
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
}
