import { describe, expect } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import {
  acceptOne,
  makeClaim,
  makeDelivery,
  makeEntry,
  makeEvent,
  makeFailure,
  makeSettlement,
  start,
} from './make.ts';
import { describeAttempts } from './conformance-attempts.ts';
import { describeClaims } from './conformance-claims.ts';
import { describeEndpoints } from './conformance-endpoints.ts';
import { describeLists } from './conformance-lists.ts';
import { describeMoves } from './conformance-moves.ts';
import { describePrune } from './conformance-prune.ts';
import { describeRecords } from './conformance-records.ts';
import { makeIt, tenantId } from './scene.ts';
import type { StoreUnderTest } from './scene.ts';

/** What every adapter promises; each runs it with its own factory. */
export function describeStore(name: string, factory: () => Promise<StoreUnderTest>): void {
  describe(`the ${name} store`, () => {
    const it = makeIt(factory);

    describe('accepts', () => {
      it('gives an event and its deliveries back as they were accepted', async ({ store, a, b }) => {
        const event = makeEvent({
          ownId: 'own-1',
          category: 'order',
          group: 'g1',
          source: 'shop',
          data: '{"text":"ü \\u0000 🚀"}',
        });
        const deliveries = [makeDelivery(a), makeDelivery(b, 'pending'), makeDelivery(newId(start), 'held')];
        expect(await store.accept([{ event, dedupe: [], deliveries, fanOutAfter: null }])).toEqual([
          { kind: 'accepted' },
        ]);

        expect(await store.events.get(tenantId, event.id)).toEqual(event);
        expect(await store.deliveries.get(tenantId, deliveries[0]!.id)).toEqual({
          id: deliveries[0]!.id,
          tenantId,
          eventId: event.id,
          endpointId: a,
          status: 'sending',
          reason: null,
          attemptCount: 0,
          scheduleStart: 0,
          dueAt: null,
          lastError: null,
          createdAt: start,
          endedAt: null,
          acknowledgedAt: null,
          eventType: 'order.created',
          eventOwnId: 'own-1',
          eventGroup: 'g1',
          eventCategory: 'order',
          endpointOwnId: null,
          endpointUrl: '',
        });
        expect(await store.deliveries.get(tenantId, deliveries[1]!.id)).toMatchObject({
          status: 'pending',
          dueAt: start,
        });
        expect(await store.deliveries.get(tenantId, deliveries[2]!.id)).toMatchObject({
          status: 'held',
          reason: 'endpoint_disabled',
        });
      });

      it('holds what is over the quota with that reason, now and in later slices', async ({
        store,
        a,
        b,
        statusOf,
      }) => {
        const overQuota = (endpointId: Id) => ({ ...makeDelivery(endpointId, 'held'), reason: 'over_quota' as const });
        const entry = makeEntry([], 'held', {}, { fanOutAfter: a, deliveries: [overQuota(a)] });
        await store.accept([entry]);
        const later = overQuota(b);
        const { id: eventId } = entry.event;
        await store.extendFanOut({ tenantId, eventId, deliveries: [later], from: a, after: null, now: start });
        for (const { id } of [entry.deliveries[0]!, later]) {
          expect(await statusOf(id)).toBe('held');
          expect(await store.deliveries.get(tenantId, id)).toMatchObject({ reason: 'over_quota', dueAt: null });
        }
        expect(await store.endpointsHaving('held')).toHaveLength(2);
      });

      it('has made durable what it has answered', async ({ store, a, underTest }) => {
        const id = await acceptOne(store, a);
        const crashed = await underTest.afterCrash();
        expect(await crashed.deliveries.get(tenantId, id)).toMatchObject({ id, endpointId: a });
      });

      it('answers no entries with no outcomes', async ({ store }) => {
        expect(await store.accept([])).toEqual([]);
      });

      it('stores one event for one key, in one call, in one batch and later', async ({ store, a, b }) => {
        const dedupe = [{ key: 'k', fingerprint: 'f' }];
        const entries = [1, 2, 3, 4].map(() => makeEntry([a, b], 'pending', {}, { dedupe }));
        const duplicate = {
          kind: 'duplicate',
          eventId: entries[0]!.event.id,
          ownId: null,
          deliveries: 2,
          sameBody: true,
        };
        const [together, batch] = await Promise.all([
          store.accept(entries.slice(0, 2)),
          store.accept(entries.slice(2, 3)),
        ]);
        expect(together).toEqual([{ kind: 'accepted' }, duplicate]);
        expect(batch).toEqual([duplicate]);
        expect(await store.accept([entries[3]!, makeEntry([a])])).toEqual([duplicate, { kind: 'accepted' }]);
        expect(await store.deliveries.count({ tenantId }, 100)).toBe(3);
        expect(await store.events.findOwnId(tenantId, 'k')).toBe(entries[0]!.event.id);
      });

      it('tells a key that comes with another body', async ({ store, a }) => {
        const entry = makeEntry([a], 'pending', { ownId: 'mine' }, { dedupe: [{ key: 'k', fingerprint: 'f' }] });
        await store.accept([entry]);
        const other = makeEntry([a], 'pending', {}, { dedupe: [{ key: 'k', fingerprint: 'g' }] });
        expect(await store.accept([other])).toEqual([
          { kind: 'duplicate', eventId: entry.event.id, ownId: 'mine', deliveries: 1, sameBody: false },
        ]);
        expect(await store.events.get(tenantId, other.event.id)).toBeNull();
      });

      it('stores nothing of a call in which one entry repeats a key with another body', async ({ store, a }) => {
        const key = (name: string, fingerprint: string) => ({ key: name, fingerprint });
        await store.accept([makeEntry([a], 'pending', {}, { dedupe: [key('1', 'f')] })]);
        const [before, conflict, after] = [
          makeEntry([a], 'pending', {}, { dedupe: [key('2', 'f')] }),
          makeEntry([a], 'pending', {}, { dedupe: [key('1', 'g')] }),
          makeEntry([a], 'sending'),
        ];
        const outcomes = await store.accept([before, conflict, after]);
        expect(outcomes[1]).toMatchObject({ kind: 'duplicate', sameBody: false });
        for (const { event } of [before, conflict, after]) {
          expect(await store.events.get(tenantId, event.id)).toBeNull();
        }
        expect(await store.deliveries.count({ tenantId }, 10)).toBe(1);
        expect(await store.events.findOwnId(tenantId, '2')).toBeNull();
      });

      it('calls two keys of two events a conflict, and one known key of two a duplicate', async ({ store }) => {
        const key = (name: string) => ({ key: name, fingerprint: 'f' });
        const [first, second] = [
          makeEntry([], 'pending', {}, { dedupe: [key('1')] }),
          makeEntry([], 'pending', {}, { dedupe: [key('2')] }),
        ];
        await store.accept([first, second]);
        const [both] = await store.accept([makeEntry([], 'pending', {}, { dedupe: [key('1'), key('2')] })]);
        const [one] = await store.accept([makeEntry([], 'pending', {}, { dedupe: [key('3'), key('2')] })]);
        expect(both).toMatchObject({ kind: 'duplicate', eventId: first.event.id, sameBody: false });
        expect(one).toMatchObject({ kind: 'duplicate', eventId: second.event.id, sameBody: true });
        expect(await store.events.findOwnId(tenantId, '3')).toBeNull();
      });

      it('keeps the keys of tenants apart', async ({ store }) => {
        const dedupe = [{ key: 'k', fingerprint: 'f' }];
        const [outcome] = [await store.accept([makeEntry([], 'pending', {}, { dedupe })])];
        expect(await store.accept([makeEntry([], 'pending', { tenantId: 'other' }, { dedupe })])).toEqual(outcome);
      });

      it('refuses one wrong call and stores its neighbours of the same batch', async ({ store, a, b }) => {
        const taken = makeEntry([a]);
        await store.accept([taken]);
        const [before, wrong, after] = await Promise.allSettled([
          acceptOne(store, a),
          store.accept([makeEntry([a]), taken]),
          acceptOne(store, b),
        ]);
        expect([before.status, wrong.status, after.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        expect(await store.deliveries.count({ tenantId }, 100)).toBe(3);
      });

      it('adds slices of a fan-out, and names those a crash cut off', async ({ store, a, b }) => {
        const entry = makeEntry([a], 'sending', {}, { fanOutAfter: a });
        const other = makeEntry([a], 'sending', {}, { fanOutAfter: b });
        await store.accept([entry, other]);
        const eventId = entry.event.id;
        expect(await store.unfinishedFanOuts(10)).toEqual([
          { event: entry.event, after: a },
          { event: other.event, after: b },
        ]);
        await store.extendFanOut({
          tenantId,
          eventId,
          deliveries: [makeDelivery(b, 'pending')],
          from: a,
          after: b,
          now: start,
        });
        expect(await store.unfinishedFanOuts(1)).toEqual([{ event: entry.event, after: b }]);
        await store.extendFanOut({ tenantId, eventId, deliveries: [], from: b, after: null, now: start });
        expect(await store.unfinishedFanOuts(10)).toEqual([{ event: other.event, after: b }]);
        expect(await store.deliveries.count({ tenantId, eventId }, 10)).toBe(2);
      });

      it('adds deliveries of a stored event, for each endpoint once', async ({ store, a, b }) => {
        const entry = makeEntry([a]);
        await store.accept([entry]);
        const add = () =>
          store.addDeliveries(tenantId, entry.event.id, [makeDelivery(a), makeDelivery(b, 'held')], start);
        await Promise.all([add(), add()]);
        const rows = await store.deliveries.list({ tenantId, eventId: entry.event.id }, { limit: 10, before: null });
        expect(rows.map(({ endpointId, status }) => [endpointId, status])).toEqual([
          [b, 'held'],
          [a, 'sending'],
        ]);
        await expect(store.addDeliveries('other', entry.event.id, [makeDelivery(b)], start)).rejects.toMatchObject({
          code: 'NOT_FOUND',
        });
      });
    });

    describe('settles', () => {
      it('writes the attempt and ends the delivery', async ({ store, a, underTest }) => {
        const id = await acceptOne(store, a);
        const settlement = makeSettlement(id);
        expect(await store.settle(settlement)).toBe(true);
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({
          status: 'delivered',
          attemptCount: 1,
          endedAt: start + 1000,
        });
        expect(await store.deliveries.attempts(tenantId, id)).toEqual([settlement.attempt]);
        expect(await (await underTest.afterCrash()).deliveries.attempts(tenantId, id)).toEqual([settlement.attempt]);
      });

      it('keeps every attempt over retries to the dead letter', async ({ store, a }) => {
        const id = await acceptOne(store, a);
        await store.settle(makeFailure(id));
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({
          status: 'pending',
          dueAt: start + 60_000,
          lastError: '500',
        });
        expect((await store.claim(makeClaim({ now: start + 60_000 }))).deliveries).toMatchObject([
          { id, attemptCount: 1 },
        ]);
        await store.settle(
          makeFailure(id, {
            attemptCount: 2,
            status: 'dead_letter',
            reason: 'schedule_exhausted',
            dueAt: null,
            lastError: 'timeout',
          }),
        );
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({
          status: 'dead_letter',
          reason: 'schedule_exhausted',
          attemptCount: 2,
          lastError: 'timeout',
          endedAt: start + 1000,
          dueAt: null,
        });
        expect(
          (await store.deliveries.attempts(tenantId, id)).map(({ number, succeeded }) => [number, succeeded]),
        ).toEqual([
          [1, false],
          [2, false],
        ]);
      });

      it('releases and holds without an attempt', async ({ store, a, b, statusOf }) => {
        const [released, held] = [await acceptOne(store, a), await acceptOne(store, b)];
        const unsent = { attempt: null, attemptCount: 0 };
        expect(await store.settle(makeSettlement(released, { ...unsent, status: 'pending', dueAt: start }))).toBe(true);
        expect(
          await store.settle(makeSettlement(held, { ...unsent, status: 'held', reason: 'endpoint_disabled' })),
        ).toBe(true);
        expect(await statusOf(released)).toBe('pending');
        expect(await statusOf(held)).toBe('held');
        expect(await store.deliveries.attempts(tenantId, released)).toEqual([]);
      });

      it('changes nothing for who does not hold the lease', async ({ store, a, statusOf }) => {
        const id = await acceptOne(store, a);
        expect(await store.settle(makeSettlement(id, { tenantId: 'other' }))).toBe(false);
        expect(await store.settle(makeSettlement(newId(start)))).toBe(false);
        expect(await store.settle(makeSettlement(id, { attemptCount: 2 }))).toBe(false);
        expect(await store.settle(makeSettlement(id))).toBe(true);
        expect(await store.settle(makeFailure(id))).toBe(false);
        expect(await statusOf(id)).toBe('delivered');
        expect(await store.deliveries.attempts(tenantId, id)).toHaveLength(1);
      });

      it('refuses what the transition table does not have', async ({ store, a, statusOf }) => {
        const id = await acceptOne(store, a);
        await expect(store.settle(makeSettlement(id, { status: 'sending' }))).rejects.toThrow(/sending/);
        await expect(store.settle(makeSettlement(id, { status: 'pending' }))).rejects.toThrow(/dueAt/);
        await expect(store.settle(makeSettlement(id, { dueAt: start }))).rejects.toThrow(/dueAt/);
        expect(await statusOf(id)).toBe('sending');
      });

      it('gives a new session what the old one was sending, and refuses the old lease', async ({
        store,
        a,
        statusOf,
        underTest,
      }) => {
        const id = await acceptOne(store, a);
        const done = await acceptOne(store, a);
        await store.settle(makeSettlement(done));
        const crashed = await underTest.afterCrash();
        await expect.poll(() => statusOf(id, crashed)).toBe('pending');
        expect(await statusOf(done, crashed)).toBe('delivered');
        expect(await crashed.settle(makeSettlement(id))).toBe(false);
        expect((await crashed.claim(makeClaim({ now: Date.now() }))).deliveries.map((delivery) => delivery.id)).toEqual(
          [id],
        );
        expect(await crashed.settle(makeSettlement(id))).toBe(true);
      });
    });

    describeClaims(it);
    describeMoves(it);
    describeLists(it);
    describeAttempts(it);
    describePrune(it);
    describeEndpoints(it);
    describeRecords(it);

    describe('as a whole', () => {
      it('answers a check while it is open and refuses everything once it is closed', async ({ store, a }) => {
        await store.check();
        const late = acceptOne(store, a);
        await store.close();
        await late;
        await store.close();
        const unavailable = { code: 'STORE_UNAVAILABLE' };
        await expect(store.check()).rejects.toMatchObject(unavailable);
        await expect(acceptOne(store, a)).rejects.toMatchObject(unavailable);
        await expect(store.settle(makeSettlement(newId(start)))).rejects.toMatchObject(unavailable);
        await expect(store.claim(makeClaim())).rejects.toMatchObject(unavailable);
        await expect(store.tenants.all()).rejects.toMatchObject(unavailable);
      });

      it('gives back at close what it was sending, and opens again', async ({ store, a, statusOf }) => {
        const id = await acceptOne(store, a);
        await store.close();
        await store.open({ migrate: false, now: Date.now() });
        expect(await statusOf(id)).toBe('pending');
      });
    });
  });
}
