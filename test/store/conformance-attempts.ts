import { describe, expect } from 'vitest';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { newDeliveryId } from '../../src/model/id.ts';
import { acceptOne, makeClaim, makeFailure, makeSettlement, start } from './make.ts';
import { tenantId } from './scene.ts';
import type { StoreIt } from './scene.ts';

/** Accepts an event, fails its delivery once and delivers it then; resolves to the delivery's id. */
async function deliverAtSecondAttempt(store: Store, endpointId: Id, startedAt: number): Promise<Id> {
  const id = await acceptOne(store, endpointId);
  const failure = makeFailure(id, { dueAt: start });
  await store.settle({ ...failure, attempt: { ...failure.attempt!, startedAt } });
  await store.claim(makeClaim());
  const success = makeSettlement(id, { attemptCount: 2 });
  await store.settle({ ...success, attempt: { ...success.attempt!, startedAt: startedAt + 100 } });
  return id;
}

/** The part of the conformance suite about attempts, apart from their delivery. */
export function describeAttempts(it: StoreIt): void {
  const page = { limit: 10, offset: 0 };

  describe('finds attempts', () => {
    it('of an endpoint, the newest first', async ({ store, a, b }) => {
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

    it('the last of each delivery that has any', async ({ store, a }) => {
      const twice = await deliverAtSecondAttempt(store, a, start);
      const once = await acceptOne(store, a);
      await store.settle(makeFailure(once));
      const never = await acceptOne(store, a);
      const page = { limit: 10, before: null };
      const rows = await store.deliveries.list({ tenantId }, { ...page, withLastAttempt: true });
      const last = new Map(rows.map(({ id, lastAttempt }) => [id, lastAttempt]));
      expect(last.get(twice)).toMatchObject({ deliveryId: twice, number: 2 });
      expect(last.get(once)).toEqual(makeFailure(once).attempt);
      expect(last.get(never)).toBeNull();
      const plain = await store.deliveries.list({ tenantId }, page);
      expect(plain).toEqual(rows.map(({ lastAttempt: _, ...row }) => row));
    });

    it('of all deliveries by their time, with their delivery, by pages', async ({ store, a, b }) => {
      const first = await deliverAtSecondAttempt(store, a, start);
      const second = await deliverAtSecondAttempt(store, b, start + 50);
      await acceptOne(store, a);
      const all = await store.deliveries.listAttempts({ tenantId }, page);
      expect(all.map(({ deliveryId, number }) => [deliveryId, number])).toEqual([
        [second, 2],
        [first, 2],
        [second, 1],
        [first, 1],
      ]);
      expect(all[1]).toEqual({
        ...(await store.deliveries.attempts(tenantId, first))[1],
        delivery: await store.deliveries.get(tenantId, first),
      });
      const list = async (filter: object, limit = 10, offset = 0) =>
        (await store.deliveries.listAttempts({ tenantId, ...filter }, { limit, offset })).map(
          ({ deliveryId, number }) => `${deliveryId === first ? 'first' : 'second'} ${number}`,
        );
      expect(await list({}, 2, 1)).toEqual(['first 2', 'second 1']);
      expect(await list({ endpointId: a })).toEqual(['first 2', 'first 1']);
      expect(await list({ eventId: all[0]!.delivery.eventId })).toEqual(['second 2', 'second 1']);
      expect(await list({ succeeded: false })).toEqual(['second 1', 'first 1']);
      expect(await list({ succeeded: true, endpointId: b })).toEqual(['second 2']);
      expect(await store.deliveries.listAttempts({ tenantId: 'other' }, page)).toEqual([]);
    });

    it('that failed, by endpoint and since a time', async ({ store, a, b }) => {
      await deliverAtSecondAttempt(store, a, start);
      await deliverAtSecondAttempt(store, a, start + 50);
      await deliverAtSecondAttempt(store, b, start + 50);
      expect(await store.deliveries.countFailures(tenantId, a, start)).toBe(2);
      expect(await store.deliveries.countFailures(tenantId, a, start + 50)).toBe(1);
      expect(await store.deliveries.countFailures(tenantId, a, start + 51)).toBe(0);
      expect(await store.deliveries.countFailures('other', a, start)).toBe(0);
    });
  });

  it('tells which tenant a delivery belongs to', async ({ store, a, b }) => {
    for (const id of ['acme', 'other']) {
      await store.tenants.create({ id, name: null, wireFormat: null, plan: null, createdAt: start });
    }
    const [id, other] = [await acceptOne(store, a), await acceptOne(store, b, 'sending', { tenantId: 'other' })];
    expect(await store.deliveries.tenantOf(id)).toBe('acme');
    expect(await store.deliveries.tenantOf(other)).toBe('other');
    expect(await store.deliveries.tenantOf(newDeliveryId(start))).toBeNull();
  });
}
