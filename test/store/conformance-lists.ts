import { beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { acceptOne, makeEntry, makeEvent, makeFailure, makeSettlement, start } from './make.ts';

/** The part of the conformance suite about lists of deliveries and events. */
export function describeLists(current: () => Store): void {
  const tenantId = 'acme';
  let store: Store;
  let a: Id;
  let b: Id;
  beforeEach(() => {
    store = current();
    [a, b] = [newId(start), newId(start)];
  });

  describe('lists deliveries', () => {
    const page = (limit: number, before: Id | null = null, offset = 0) => ({ limit, before, offset });

    it('newest first, by pages that neither repeat nor skip', async () => {
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

    it('by status, endpoint, event, type, time and acknowledgement, alone and together', async () => {
      const delivered = await acceptOne(store, a, 'sending', { type: 'order.paid', createdAt: start - 3000 });
      await store.settle(makeSettlement(delivered));
      const dead = await acceptOne(store, a, 'sending', { createdAt: start - 2000 });
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

    it('of a common type as of a rare one', async () => {
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

    it('with the newest attempts of an endpoint', async () => {
      for (let i = 0; i < 4; i++) {
        const id = await acceptOne(store, a);
        const settlement = makeSettlement(id);
        await store.settle({
          ...settlement,
          attempt: { ...settlement.attempt!, startedAt: start + i, durationMs: i },
        });
      }
      await acceptOne(store, a);
      const other = await acceptOne(store, b);
      await store.settle(makeSettlement(other));
      expect((await store.deliveries.recentAttempts(tenantId, a, 3)).map(({ durationMs }) => durationMs)).toEqual([
        3, 2, 1,
      ]);
      expect(await store.deliveries.recentAttempts('other', a, 3)).toEqual([]);
    });
  });

  describe('lists events', () => {
    it('newest first, by type, group and time, by pages', async () => {
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
