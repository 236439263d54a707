import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import { acceptOne, makeClaim, makeFailure, makeSettlement, start } from './make.ts';
import { tenantId } from './scene.ts';
import type { StoreIt } from './scene.ts';

/** The part of the conformance suite about the moves people and endpoints cause. */
export function describeMoves(it: StoreIt): void {
  describe('moves', () => {
    it('holds and resumes the deliveries of one endpoint, oldest first', async ({ store, a, b, statusOf }) => {
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

    it('cancels what waits for a deleted endpoint', async ({ store, a }) => {
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

    it('refuses a move that the transition table does not have', async ({ store, a }) => {
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

    it('redelivers with a schedule anew, the attempts counted on', async ({ store, a, b }) => {
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

    it('moves those alone that were made before a time, where one is given', async ({ store, a, statusOf }) => {
      const young = await acceptOne(store, a, 'held', { createdAt: start + 1 });
      const old = await acceptOne(store, a, 'held', { createdAt: start });
      const resume = { tenantId, endpointId: a, from: 'held', to: 'pending', reason: null, limit: 10 } as const;
      expect(await store.moveDeliveries({ ...resume, before: start, now: start })).toBe(0);
      expect(await store.moveDeliveries({ ...resume, before: start + 1, now: start })).toBe(1);
      expect([await statusOf(old), await statusOf(young)]).toEqual(['pending', 'held']);
      expect(await store.moveDeliveries({ ...resume, before: start + 2, now: start })).toBe(1);
    });

    it('redelivers those alone that are in the statuses that are given', async ({ store, a }) => {
      const delivered = await acceptOne(store, a);
      await store.settle(makeSettlement(delivered));
      const held = await acceptOne(store, a, 'held');
      const request = { tenantId, deliveryIds: [delivered, held], dueAt: start, spacingMs: 0 };
      expect(await store.redeliver({ ...request, from: ['dead_letter', 'pending'] })).toEqual([]);
      expect(await store.redeliver({ ...request, from: ['held', 'dead_letter'] })).toEqual([held]);
      expect(await store.redeliver({ ...request, from: ['delivered'] })).toEqual([delivered]);
    });

    it('acknowledges dead letters and nothing else', async ({ store, a }) => {
      const id = await acceptOne(store, a);
      expect(await store.acknowledge(tenantId, id, start)).toBe(false);
      await store.settle(makeFailure(id, { status: 'dead_letter', reason: 'schedule_exhausted', dueAt: null }));
      expect(await store.acknowledge('other', id, start)).toBe(false);
      expect(await store.acknowledge(tenantId, id, start + 1)).toBe(true);
      expect(await store.acknowledge(tenantId, id, start + 2)).toBe(true);
      expect((await store.deliveries.get(tenantId, id))?.acknowledgedAt).toBe(start + 1);
    });
  });
}
