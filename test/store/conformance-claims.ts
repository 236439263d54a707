import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import { acceptOne, makeClaim, makeEntry, makeFailure, start } from './make.ts';
import { tenantId } from './scene.ts';
import type { StoreIt } from './scene.ts';

/** The part of the conformance suite about what is due, and whose turn it is. */
export function describeClaims(it: StoreIt): void {
  describe('claims', () => {
    it('leases what is due, oldest first, and says when the next is due', async ({ store, a, statusOf }) => {
      const [first, second, later] = await Promise.all(
        [2000, 1000, -5000].map((ago) => acceptOne(store, a, 'pending', { createdAt: start - ago })),
      );
      const result = await store.claim(makeClaim());
      expect(result.deliveries.map(({ id }) => id)).toEqual([first, second]);
      expect(result).toMatchObject({ more: false, nextDueAt: start + 5000 });
      expect(await statusOf(first!)).toBe('sending');
      expect(await store.claim(makeClaim())).toMatchObject({ deliveries: [], more: false });
      const rest = await store.claim(makeClaim({ now: start + 5000 }));
      expect(rest.deliveries.map(({ id }) => id)).toEqual([later]);
      expect(rest.nextDueAt).toBeNull();
    });

    it('gives the event with each delivery, one object for those of one event', async ({ store, a, b }) => {
      const entry = makeEntry([a, b], 'pending', { group: 'g', ownId: 'mine' });
      await store.accept([entry]);
      const { deliveries } = await store.claim(makeClaim());
      expect(deliveries[0]!.event).toEqual(entry.event);
      expect(deliveries[1]!.event).toBe(deliveries[0]!.event);
      expect(
        deliveries.map(({ endpointId, attemptCount, scheduleStart }) => [endpointId, attemptCount, scheduleStart]),
      ).toEqual([
        [a, 0, 0],
        [b, 0, 0],
      ]);
    });

    it('stops at the limit, says that there is more, and goes on behind it', async ({ store, a, b }) => {
      for (const endpointId of [a, b, newId(start)]) {
        for (let i = 0; i < 4; i++) await acceptOne(store, endpointId, 'pending');
      }
      const seen = new Set<Id>();
      const more: boolean[] = [];
      for (let i = 0; i < 4; i++) {
        const result = await store.claim(makeClaim({ limit: 5 }));
        for (const { id } of result.deliveries) seen.add(id);
        more.push(result.more);
      }
      expect(seen.size).toBe(12);
      expect(more).toEqual([true, true, false, false]);
    });

    it('takes no more of one endpoint than asked, and passes over those excepted', async ({ store, a, b }) => {
      for (let i = 0; i < 5; i++) await acceptOne(store, a, 'pending');
      for (let i = 0; i < 5; i++) await acceptOne(store, b, 'pending');
      const { deliveries, more } = await store.claim(makeClaim({ perEndpoint: 3, except: new Set([b]) }));
      expect(deliveries.map(({ endpointId }) => endpointId)).toEqual([a, a, a]);
      expect(more).toBe(false);
      expect((await store.claim(makeClaim())).deliveries).toHaveLength(7);
    });

    it('asks only the endpoints named, in their order', async ({ store, a, b }) => {
      const c = newId(start);
      for (const endpointId of [a, b, c]) for (let i = 0; i < 3; i++) await acceptOne(store, endpointId, 'pending');
      const only = [c, a].map((endpointId) => ({ tenantId, endpointId }));
      const first = await store.claim(makeClaim({ only, perEndpoint: 2, limit: 3 }));
      expect(first.deliveries.map(({ endpointId }) => endpointId)).toEqual([c, c, a]);
      const other = [{ tenantId: 'other', endpointId: b }];
      expect((await store.claim(makeClaim({ only: other }))).deliveries).toEqual([]);
    });

    it('gives quiet tenants their share beside a loud one', async ({ store }) => {
      const loud = Array.from({ length: 5 }, () => newId(start));
      for (let i = 0; i < 25; i++) {
        await store.accept(
          Array.from({ length: 2000 }, (_, n) => makeEntry([loud[n % 5]!], 'pending', { tenantId: 'loud' })),
        );
      }
      for (let tenant = 0; tenant < 10; tenant++) {
        for (let i = 0; i < 5; i++) await acceptOne(store, newId(start), 'pending', { tenantId: `quiet-${tenant}` });
      }
      const count = new Map<string, number>();
      for (let left = 110; left > 0;) {
        const { deliveries } = await store.claim(makeClaim({ limit: Math.min(55, left) }));
        expect(deliveries.length).toBeGreaterThan(0);
        left -= deliveries.length;
        for (const { event } of deliveries) count.set(event.tenantId, (count.get(event.tenantId) ?? 0) + 1);
      }
      for (let tenant = 0; tenant < 10; tenant++) expect(count.get(`quiet-${tenant}`)).toBe(5);
      expect(count.get('loud')).toBe(60);
    });

    it('gives neighbours of a dead endpoint their share', async ({ store, a }) => {
      await store.accept(Array.from({ length: 2000 }, () => makeEntry([a], 'pending', { createdAt: start - 60_000 })));
      const fresh = await Promise.all(Array.from({ length: 20 }, () => acceptOne(store, newId(start), 'pending')));
      const { deliveries } = await store.claim(makeClaim({ limit: 42 }));
      const ids = deliveries.map(({ id }) => id);
      expect(ids).toEqual(expect.arrayContaining(fresh));
      expect(deliveries.filter(({ endpointId }) => endpointId === a).length).toBe(22);
    });

    it('does not step over endpoints whose retries lie in the future', async ({ store }) => {
      const ids = await Promise.all(Array.from({ length: 30 }, () => acceptOne(store, newId(start))));
      await Promise.all(ids.map((id, i) => store.settle(makeFailure(id, { dueAt: start + 1000 + i }))));
      expect(await store.claim(makeClaim())).toEqual({ deliveries: [], more: false, nextDueAt: start + 1000 });
      const { deliveries, nextDueAt } = await store.claim(makeClaim({ now: start + 1004 }));
      expect(new Set(deliveries.map(({ id }) => id))).toEqual(new Set(ids.slice(0, 5)));
      expect(nextDueAt).toBe(start + 1005);
    });

    it('finds what was due before after a wrong call undid its batch', async ({ store, a }) => {
      const taken = makeEntry([]);
      await store.accept([taken]);
      const id = await acceptOne(store, a, 'pending');
      const [claimed] = await Promise.allSettled([store.claim(makeClaim()), store.accept([taken])]);
      expect(claimed).toMatchObject({ status: 'fulfilled', value: { deliveries: [{ id }] } });
    });
  });
}
