import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import type { DeliveryFilter } from '../../src/store/store.ts';
import { acceptOne, makeEndpoint, makeEntry, makeEvent, makeFailure, makeSettlement, start } from './make.ts';
import { tenantId } from './scene.ts';
import type { StoreIt } from './scene.ts';

/** The part of the conformance suite about lists of deliveries and events. */
export function describeLists(it: StoreIt): void {
  describe('lists deliveries', () => {
    const page = (limit: number, before: Id | null = null, offset = 0) => ({ limit, before, offset });

    it('newest first, by pages that neither repeat nor skip', async ({ store, a, b }) => {
      const ids = [];
      for (let i = 0; i < 7; i++) ids.push(await acceptOne(store, i % 2 ? a : b));
      ids.reverse();
      const list = async (...of: Parameters<typeof page>) =>
        (await store.deliveries.list({ tenantId }, page(...of))).map(({ id }) => id);
      expect(await list(3)).toEqual(ids.slice(0, 3));
      expect(await list(3, ids[2])).toEqual(ids.slice(3, 6));
      expect(await list(3, ids[5])).toEqual(ids.slice(6));
      expect(await list(2, null, 3)).toEqual(ids.slice(3, 5));
      expect(await store.deliveries.list({ tenantId: 'other' }, page(10))).toEqual([]);
    });

    it('by status, endpoint, event, type, group, time, attempts and acknowledgement, alone and together', async ({
      store,
      a,
      b,
    }) => {
      const delivered = await acceptOne(store, a, 'sending', {
        type: 'order.paid',
        group: 'g',
        createdAt: start - 3000,
      });
      await store.settle(makeSettlement(delivered));
      const dead = await acceptOne(store, a, 'sending', { group: 'g', createdAt: start - 2000 });
      await store.settle(makeFailure(dead, { status: 'dead_letter', reason: 'schedule_exhausted', dueAt: null }));
      const seen = await acceptOne(store, b, 'sending', { createdAt: start - 1000 });
      await store.settle(makeFailure(seen, { status: 'dead_letter', reason: 'endpoint_gone', dueAt: null }));
      await store.acknowledge(tenantId, seen, start);
      const held = makeEntry([b], 'held');
      await store.accept([held]);
      const heldId = held.deliveries[0]!.id;

      const filters: [Omit<Parameters<Store['deliveries']['list']>[0], 'tenantId'>, Id[]][] = [
        [{ status: ['dead_letter'] }, [seen, dead]],
        [{ status: ['held', 'delivered'] }, [heldId, delivered]],
        [{ status: [] }, []],
        [{ status: ['dead_letter'], acknowledged: false }, [dead]],
        [{ acknowledged: true }, [seen]],
        [{ endpointId: b }, [heldId, seen]],
        [{ endpointId: b, status: ['held'] }, [heldId]],
        [{ eventId: held.event.id }, [heldId]],
        [{ eventType: 'order.paid' }, [delivered]],
        [{ eventType: 'order.created', endpointId: a }, [dead]],
        [{ eventType: 'nobody.knows' }, []],
        [{ group: 'g' }, [dead, delivered]],
        [{ group: 'g', status: ['delivered'] }, [delivered]],
        [{ group: 'g', eventType: 'order.paid' }, [delivered]],
        [{ group: 'g', eventId: held.event.id }, []],
        [{ group: 'nobody' }, []],
        [{ attempted: true }, [seen, dead, delivered]],
        [{ attempted: false }, [heldId]],
        [{ status: ['dead_letter', 'cancelled'] }, [seen, dead]],
        [{ status: ['dead_letter', 'cancelled'], endpointId: a }, [dead]],
        [{ status: ['dead_letter'], endpointId: b }, [seen]],
        [{ status: ['cancelled'] }, []],
        [{ from: start - 2000 }, [heldId, seen, dead]],
        [{ to: start - 1000 }, [dead, delivered]],
        [{ from: start - 2000, to: start - 1000 }, [dead]],
      ];
      for (const [filter, expected] of filters) {
        const rows = await store.deliveries.list({ tenantId, ...filter }, page(10));
        expect([filter, new Set(rows.map(({ id }) => id))]).toEqual([filter, new Set(expected)]);
        expect(await store.deliveries.count({ tenantId, ...filter }, 10)).toBe(expected.length);
      }
      expect(await store.deliveries.count({ tenantId }, 3)).toBe(3);
      expect(await store.deliveries.countByStatus({ tenantId, endpointId: b })).toEqual({
        pending: 0,
        sending: 0,
        held: 1,
        delivered: 0,
        dead_letter: 1,
        cancelled: 0,
      });
    });

    it('of one endpoint that are on their way, among those of others', async ({ store, a, b }) => {
      const sending = await acceptOne(store, a);
      await acceptOne(store, b);
      const pending = await acceptOne(store, a, 'pending');
      const list = async (filter: Omit<DeliveryFilter, 'tenantId'>) =>
        (await store.deliveries.list({ tenantId, endpointId: a, ...filter }, page(10))).map(({ id }) => id);
      expect(await list({ status: ['sending'] })).toEqual([sending]);
      expect(await list({ status: ['pending', 'sending'] })).toEqual([pending, sending]);
    });

    it('with their endpoint as it is, or was when it was deleted', async ({ store }) => {
      const endpoint = makeEndpoint({ ownId: 'hook-1' });
      await store.endpoints.create(endpoint);
      const id = await acceptOne(store, endpoint.id);
      await store.endpoints.update({ ...endpoint, url: 'https://example.org/moved' }, start);
      await store.endpoints.remove(tenantId, endpoint.id, start);
      const shown = { id, endpointOwnId: 'hook-1', endpointUrl: 'https://example.org/moved' };
      expect(await store.deliveries.get(tenantId, id)).toMatchObject(shown);
      expect(await store.deliveries.list({ tenantId }, page(10))).toMatchObject([shown]);
    });

    it('of a group of any size', async ({ store, a }) => {
      const sizes = { small: 20, medium: 600 };
      const entries = Object.entries(sizes).flatMap(([group, size]) =>
        Array.from({ length: size }, (_, i) => makeEntry([a], 'pending', { group, type: i % 2 ? 'odd' : 'even' })),
      );
      await store.accept(entries);
      await store.accept(Array.from({ length: 20_001 }, () => makeEntry([], 'pending', { group: 'large' })));
      const large = Array.from({ length: 5 }, () => makeEntry([a], 'pending', { group: 'large' }));
      await store.accept(large);
      for (const [group, size] of Object.entries(sizes)) {
        expect(await store.deliveries.count({ tenantId, group }, 1000)).toBe(size);
        expect(await store.deliveries.count({ tenantId, group, eventType: 'odd' }, 1000)).toBe(size / 2);
        expect(await store.deliveries.count({ tenantId: 'other', group }, 1000)).toBe(0);
      }
      const rows = await store.deliveries.list({ tenantId, group: 'large' }, page(10));
      expect(rows.map(({ id }) => id)).toEqual(large.map(({ deliveries }) => deliveries[0]!.id).reverse());
    });

    it('of a common type as of a rare one', async ({ store, a }) => {
      const entries = Array.from({ length: 600 }, (_, i) =>
        makeEntry([a], 'pending', { type: i % 100 ? 'common' : 'rare' }),
      );
      await store.accept(entries);
      const idsOf = (type: string) =>
        entries.filter(({ event }) => event.type === type).map(({ deliveries }) => deliveries[0]!.id);
      for (const eventType of ['common', 'rare']) {
        const rows = await store.deliveries.list({ tenantId, eventType }, page(1000));
        expect(rows.map(({ id }) => id)).toEqual(idsOf(eventType).reverse());
      }
    });
  });

  describe('lists events', () => {
    it('or counts those since a time, no further than asked', async ({ store }) => {
      const hourMs = 3_600_000;
      const ages = [hourMs + 1, hourMs, 1, 0];
      // Their ids are of a later time, as after a clock was set back.
      await store.accept(ages.map((age) => makeEntry([], 'pending', { id: newId(start), createdAt: start - age })));
      await store.accept([makeEntry([], 'pending', { tenantId: 'other' })]);
      expect(await store.events.count(tenantId, start - hourMs, 10)).toBe(3);
      expect(await store.events.count(tenantId, start - 9 * hourMs, 10)).toBe(4);
      expect(await store.events.count(tenantId, start, 10)).toBe(1);
      expect(await store.events.count(tenantId, start + 1, 10)).toBe(0);
      expect(await store.events.count(tenantId, 0, 2)).toBe(2);
    });

    it('newest first, by type, group and time, by pages', async ({ store }) => {
      const events = [
        makeEvent({ createdAt: start - 3000, type: 'order.paid' }),
        makeEvent({ createdAt: start - 2000, group: 'g' }),
        makeEvent({ createdAt: start - 1000, group: 'g', type: 'order.paid' }),
      ];
      await store.accept(events.map((event) => ({ event, dedupe: [], deliveries: [], fanOutAfter: null })));
      const list = async (filter: object, limit = 10, before: Id | null = null, offset = 0) =>
        (await store.events.list({ tenantId, ...filter }, { limit, before, offset })).map((event) =>
          events.findIndex(({ id }) => id === event.id),
        );
      expect(await list({})).toEqual([2, 1, 0]);
      expect(await list({}, 2)).toEqual([2, 1]);
      expect(await list({}, 2, events[1]!.id)).toEqual([0]);
      expect(await list({}, 1, null, 1)).toEqual([1]);
      expect(await list({ type: 'order.paid' })).toEqual([2, 0]);
      expect(await list({ group: 'g' })).toEqual([2, 1]);
      expect(await list({ from: start - 2000, to: start - 1000 })).toEqual([1]);
      expect(await store.events.list({ tenantId: 'other' }, { limit: 10, before: null })).toEqual([]);
      expect(await store.events.get('other', events[0]!.id)).toBeNull();
    });
  });
}
