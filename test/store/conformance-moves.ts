import { beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { acceptOne, makeClaim, makeEntry, makeFailure, makeSettlement, start } from './make.ts';

/** The part of the conformance suite about the moves people and endpoints cause, and the end of retention. */
export function describeMoves(current: () => Store): void {
  const tenantId = 'acme';
  let store: Store;
  let a: Id;
  let b: Id;
  beforeEach(() => {
    store = current();
    [a, b] = [newId(start), newId(start)];
  });
  const statusOf = async (id: Id) => (await store.deliveries.get(tenantId, id))?.status;

  describe('moves', () => {
    it('holds and resumes the deliveries of one endpoint, oldest first', async () => {
      const ids = [];
      for (let i = 0; i < 3; i++) ids.push(await acceptOne(store, a, 'pending'));
      const neighbour = await acceptOne(store, b, 'pending');
      const sending = await acceptOne(store, a);
      const hold = {
        tenantId,
        endpointId: a,
        from: 'pending',
        to: 'held',
        reason: 'endpoint_disabled',
        now: start,
      } as const;
      expect(await store.moveDeliveries({ ...hold, limit: 2 })).toBe(2);
      expect(await Promise.all(ids.map((id) => statusOf(id)))).toEqual(['held', 'held', 'pending']);
      expect(await store.moveDeliveries({ ...hold, limit: 2 })).toBe(1);
      expect(await store.endpointsHaving('held')).toEqual([{ tenantId, endpointId: a }]);
      expect(await store.endpointsHaving('pending')).toEqual([{ tenantId, endpointId: b }]);
      expect((await store.claim(makeClaim())).deliveries.map(({ id }) => id)).toEqual([neighbour]);

      const resume = {
        tenantId,
        endpointId: a,
        from: 'held',
        to: 'pending',
        reason: null,
        limit: 10,
        now: start + 1,
      } as const;
      expect(await store.moveDeliveries({ ...resume, tenantId: 'other' })).toBe(0);
      expect(await store.moveDeliveries(resume)).toBe(3);
      expect((await store.claim(makeClaim({ now: start + 1 }))).deliveries.map(({ id }) => id)).toEqual(ids);
      expect(await statusOf(sending)).toBe('sending');
    });

    it('cancels what waits for a deleted endpoint', async () => {
      const [pending, held] = [await acceptOne(store, a, 'pending'), await acceptOne(store, a, 'held')];
      for (const from of ['pending', 'held'] as const) {
        await store.moveDeliveries({
          tenantId,
          endpointId: a,
          from,
          to: 'cancelled',
          reason: 'endpoint_deleted',
          limit: 10,
          now: start + 5,
        });
      }
      for (const id of [pending, held]) {
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({
          status: 'cancelled',
          reason: 'endpoint_deleted',
          endedAt: start + 5,
          dueAt: null,
        });
      }
    });

    it('refuses a move that the transition table does not have', async () => {
      const request = {
        tenantId,
        endpointId: a,
        from: 'held',
        to: 'held',
        reason: null,
        limit: 1,
        now: start,
      } as const;
      await expect(store.moveDeliveries(request)).rejects.toThrow(/held/);
    });

    it('redelivers with a schedule anew, the attempts counted on', async () => {
      const id = await acceptOne(store, a);
      await store.settle(makeFailure(id, { status: 'dead_letter', reason: 'endpoint_gone', dueAt: null }));
      await store.acknowledge(tenantId, id, start);
      const delivered = await acceptOne(store, a);
      await store.settle(makeSettlement(delivered));
      const sending = await acceptOne(store, a);
      const cancelled = await acceptOne(store, b, 'pending');
      await store.moveDeliveries({
        tenantId,
        endpointId: b,
        from: 'pending',
        to: 'cancelled',
        reason: null,
        limit: 1,
        now: start,
      });
      const held = await acceptOne(store, b, 'held');

      const deliveryIds = [id, sending, cancelled, newId(start), delivered, held];
      expect(await store.redeliver({ tenantId: 'other', deliveryIds, dueAt: start, spacingMs: 0 })).toEqual([]);
      expect(await store.redeliver({ tenantId, deliveryIds, dueAt: start, spacingMs: 100 })).toEqual([
        id,
        delivered,
        held,
      ]);
      expect(await store.deliveries.get(tenantId, id)).toMatchObject({
        status: 'pending',
        reason: null,
        dueAt: start,
        endedAt: null,
        acknowledgedAt: null,
        attemptCount: 1,
        scheduleStart: 1,
      });
      expect((await store.deliveries.get(tenantId, held))?.dueAt).toBe(start + 200);
      expect((await store.claim(makeClaim())).deliveries).toMatchObject([{ id, attemptCount: 1, scheduleStart: 1 }]);
      expect(await store.settle(makeSettlement(id, { attemptCount: 2 }))).toBe(true);
      expect((await store.deliveries.attempts(tenantId, id)).map(({ number }) => number)).toEqual([1, 2]);
    });

    it('acknowledges dead letters and nothing else', async () => {
      const id = await acceptOne(store, a);
      expect(await store.acknowledge(tenantId, id, start)).toBe(false);
      await store.settle(makeFailure(id, { status: 'dead_letter', reason: 'schedule_exhausted', dueAt: null }));
      expect(await store.acknowledge('other', id, start)).toBe(false);
      expect(await store.acknowledge(tenantId, id, start + 1)).toBe(true);
      expect(await store.acknowledge(tenantId, id, start + 2)).toBe(true);
      expect((await store.deliveries.get(tenantId, id))?.acknowledgedAt).toBe(start + 1);
    });
  });

  describe('prunes', () => {
    it('deletes old events with all that hangs on them, in slices, across tenants', async () => {
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
      do slices.push(await store.prune({ before: start, limit: 2 }));
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

    it('keeps events with an open delivery or an unfinished fan-out, and takes them once they ended', async () => {
      const createdAt = start - 10_000;
      const open = [];
      for (const status of ['pending', 'held', 'sending'] as const)
        open.push(await acceptOne(store, a, status, { createdAt }));
      const unfinished = makeEntry([], 'pending', { createdAt }, { fanOutAfter: a });
      await store.accept([unfinished]);
      const ended = await acceptOne(store, a, 'sending', { createdAt });
      await store.settle(makeSettlement(ended));
      expect(await store.prune({ before: start, limit: 100 })).toBe(1);
      expect(await store.prune({ before: start, limit: 100 })).toBe(0);
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
      expect(await store.prune({ before: start, limit: 100 })).toBe(2);
      expect(await store.deliveries.count({ tenantId }, 10)).toBe(2);
    });

    it('takes an event with very many deliveries', async () => {
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
      expect(await store.prune({ before: start, limit: 10 })).toBe(0);
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
      expect(await store.prune({ before: start, limit: 10 })).toBe(1);
      expect(await store.deliveries.count({ tenantId }, 10)).toBe(0);
    });
  });
}
