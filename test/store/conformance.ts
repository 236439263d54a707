import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { acceptOne, makeClaim, makeDelivery, makeEntry, makeEvent, makeFailure, makeSettlement, start } from './make.ts';
import { describeRecords } from './conformance-records.ts';

/** A store of one engine, under test. */
export interface StoreUnderTest {
  /** Open, migrated and empty. */
  store: Store;
  /** Opens what is durable at this moment, as a new process would after this one was killed. */
  afterCrash(): Promise<Store>;
  dispose(): Promise<void>;
}

const tenantId = 'acme';

/** What every adapter promises; each runs it with its own factory. */
export function describeStore(name: string, factory: () => Promise<StoreUnderTest>): void {
  describe(`the ${name} store`, () => {
    let underTest: StoreUnderTest;
    let store: Store;
    let a: Id;
    let b: Id;
    beforeEach(async () => {
      underTest = await factory();
      store = underTest.store;
      [a, b] = [newId(start), newId(start)];
    });
    afterEach(() => underTest.dispose());

    const statusOf = async (id: Id, from: Store = store) => (await from.deliveries.get(tenantId, id))?.status;

    describe('accepts', () => {
      it('gives an event and its deliveries back as they were accepted', async () => {
        const event = makeEvent({ ownId: 'own-1', category: 'order', group: 'g1', source: 'shop', data: '{"text":"ü \\u0000 🚀"}' });
        const deliveries = [makeDelivery(a), makeDelivery(b, 'pending'), makeDelivery(newId(start), 'held')];
        expect(await store.accept([{ event, dedupe: [], deliveries, fanOutAfter: null }])).toEqual([{ kind: 'accepted' }]);

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
        });
        expect(await store.deliveries.get(tenantId, deliveries[1]!.id)).toMatchObject({ status: 'pending', dueAt: start });
        expect(await store.deliveries.get(tenantId, deliveries[2]!.id)).toMatchObject({ status: 'held', reason: 'endpoint_disabled' });
      });

      it('has made durable what it has answered', async () => {
        const id = await acceptOne(store, a);
        const crashed = await underTest.afterCrash();
        expect(await crashed.deliveries.get(tenantId, id)).toMatchObject({ id, endpointId: a });
      });

      it('answers no entries with no outcomes', async () => {
        expect(await store.accept([])).toEqual([]);
      });

      it('stores one event for one key, in one call, in one batch and later', async () => {
        const dedupe = [{ key: 'k', fingerprint: 'f' }];
        const entries = [1, 2, 3, 4].map(() => makeEntry([a, b], 'pending', {}, { dedupe }));
        const duplicate = { kind: 'duplicate', eventId: entries[0]!.event.id, ownId: null, deliveries: 2, sameBody: true };
        const [together, batch] = await Promise.all([store.accept(entries.slice(0, 2)), store.accept(entries.slice(2, 3))]);
        expect(together).toEqual([{ kind: 'accepted' }, duplicate]);
        expect(batch).toEqual([duplicate]);
        expect(await store.accept([entries[3]!, makeEntry([a])])).toEqual([duplicate, { kind: 'accepted' }]);
        expect(await store.deliveries.count({ tenantId }, 100)).toBe(3);
        expect(await store.events.findOwnId(tenantId, 'k')).toBe(entries[0]!.event.id);
      });

      it('tells a key that comes with another body', async () => {
        const entry = makeEntry([a], 'pending', { ownId: 'mine' }, { dedupe: [{ key: 'k', fingerprint: 'f' }] });
        await store.accept([entry]);
        const other = makeEntry([a], 'pending', {}, { dedupe: [{ key: 'k', fingerprint: 'g' }] });
        expect(await store.accept([other])).toEqual([
          { kind: 'duplicate', eventId: entry.event.id, ownId: 'mine', deliveries: 1, sameBody: false },
        ]);
        expect(await store.events.get(tenantId, other.event.id)).toBeNull();
      });

      it('calls two keys of two events a conflict, and one known key of two a duplicate', async () => {
        const key = (name: string) => ({ key: name, fingerprint: 'f' });
        const [first, second] = [makeEntry([], 'pending', {}, { dedupe: [key('1')] }), makeEntry([], 'pending', {}, { dedupe: [key('2')] })];
        await store.accept([first, second]);
        const [both, one] = await store.accept([
          makeEntry([], 'pending', {}, { dedupe: [key('1'), key('2')] }),
          makeEntry([], 'pending', {}, { dedupe: [key('3'), key('2')] }),
        ]);
        expect(both).toMatchObject({ kind: 'duplicate', eventId: first.event.id, sameBody: false });
        expect(one).toMatchObject({ kind: 'duplicate', eventId: second.event.id, sameBody: true });
        expect(await store.events.findOwnId(tenantId, '3')).toBeNull();
      });

      it('keeps the keys of tenants apart', async () => {
        const dedupe = [{ key: 'k', fingerprint: 'f' }];
        const [outcome] = [await store.accept([makeEntry([], 'pending', {}, { dedupe })])];
        expect(await store.accept([makeEntry([], 'pending', { tenantId: 'other' }, { dedupe })])).toEqual(outcome);
      });

      it('refuses one wrong call and stores its neighbours of the same batch', async () => {
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

      it('adds slices of a fan-out, and names those a crash cut off', async () => {
        const entry = makeEntry([a], 'sending', {}, { fanOutAfter: a });
        const other = makeEntry([a], 'sending', {}, { fanOutAfter: b });
        await store.accept([entry, other]);
        const eventId = entry.event.id;
        expect(await store.unfinishedFanOuts(10)).toEqual([
          { event: entry.event, after: a },
          { event: other.event, after: b },
        ]);
        await store.extendFanOut({ tenantId, eventId, deliveries: [makeDelivery(b, 'pending')], after: b, now: start });
        expect(await store.unfinishedFanOuts(1)).toEqual([{ event: entry.event, after: b }]);
        await store.extendFanOut({ tenantId, eventId, deliveries: [], after: null, now: start });
        expect(await store.unfinishedFanOuts(10)).toEqual([{ event: other.event, after: b }]);
        expect(await store.deliveries.count({ tenantId, eventId }, 10)).toBe(2);
      });

      it('adds deliveries of a stored event, for each endpoint once', async () => {
        const entry = makeEntry([a]);
        await store.accept([entry]);
        const add = () => store.addDeliveries(tenantId, entry.event.id, [makeDelivery(a), makeDelivery(b, 'held')], start);
        await Promise.all([add(), add()]);
        const rows = await store.deliveries.list({ tenantId, eventId: entry.event.id }, { limit: 10, before: null });
        expect(rows.map(({ endpointId, status }) => [endpointId, status])).toEqual([
          [b, 'held'],
          [a, 'sending'],
        ]);
        await expect(store.addDeliveries('other', entry.event.id, [makeDelivery(b)], start)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      });
    });

    describe('settles', () => {
      it('writes the attempt and ends the delivery', async () => {
        const id = await acceptOne(store, a);
        const settlement = makeSettlement(id);
        expect(await store.settle(settlement)).toBe(true);
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({ status: 'delivered', attemptCount: 1, endedAt: start + 1000 });
        expect(await store.deliveries.attempts(tenantId, id)).toEqual([settlement.attempt]);
        expect(await (await underTest.afterCrash()).deliveries.attempts(tenantId, id)).toEqual([settlement.attempt]);
      });

      it('keeps every attempt over retries to the dead letter', async () => {
        const id = await acceptOne(store, a);
        await store.settle(makeFailure(id));
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({ status: 'pending', dueAt: start + 60_000, lastError: '500' });
        expect((await store.claim(makeClaim({ now: start + 60_000 }))).deliveries).toMatchObject([{ id, attemptCount: 1 }]);
        await store.settle(
          makeFailure(id, { attemptCount: 2, status: 'dead_letter', reason: 'schedule_exhausted', dueAt: null, lastError: 'timeout' }),
        );
        expect(await store.deliveries.get(tenantId, id)).toMatchObject({
          status: 'dead_letter',
          reason: 'schedule_exhausted',
          attemptCount: 2,
          lastError: 'timeout',
          endedAt: start + 1000,
          dueAt: null,
        });
        expect((await store.deliveries.attempts(tenantId, id)).map(({ number, succeeded }) => [number, succeeded])).toEqual([
          [1, false],
          [2, false],
        ]);
      });

      it('releases and holds without an attempt', async () => {
        const [released, held] = [await acceptOne(store, a), await acceptOne(store, b)];
        const unsent = { attempt: null, attemptCount: 0 };
        expect(await store.settle(makeSettlement(released, { ...unsent, status: 'pending', dueAt: start }))).toBe(true);
        expect(await store.settle(makeSettlement(held, { ...unsent, status: 'held', reason: 'endpoint_disabled' }))).toBe(true);
        expect(await statusOf(released)).toBe('pending');
        expect(await statusOf(held)).toBe('held');
        expect(await store.deliveries.attempts(tenantId, released)).toEqual([]);
      });

      it('changes nothing for who does not hold the lease', async () => {
        const id = await acceptOne(store, a);
        expect(await store.settle(makeSettlement(id, { tenantId: 'other' }))).toBe(false);
        expect(await store.settle(makeSettlement(newId(start)))).toBe(false);
        expect(await store.settle(makeSettlement(id, { attemptCount: 2 }))).toBe(false);
        expect(await store.settle(makeSettlement(id))).toBe(true);
        expect(await store.settle(makeFailure(id))).toBe(false);
        expect(await statusOf(id)).toBe('delivered');
        expect(await store.deliveries.attempts(tenantId, id)).toHaveLength(1);
      });

      it('refuses what the transition table does not have', async () => {
        const id = await acceptOne(store, a);
        await expect(store.settle(makeSettlement(id, { status: 'sending' }))).rejects.toThrow(/sending/);
        await expect(store.settle(makeSettlement(id, { status: 'pending' }))).rejects.toThrow(/dueAt/);
        await expect(store.settle(makeSettlement(id, { dueAt: start }))).rejects.toThrow(/dueAt/);
        expect(await statusOf(id)).toBe('sending');
      });

      it('gives a new session what the old one was sending, and refuses the old lease', async () => {
        const id = await acceptOne(store, a);
        const done = await acceptOne(store, a);
        await store.settle(makeSettlement(done));
        const crashed = await underTest.afterCrash();
        expect(await statusOf(id, crashed)).toBe('pending');
        expect(await statusOf(done, crashed)).toBe('delivered');
        expect(await crashed.settle(makeSettlement(id))).toBe(false);
        expect((await crashed.claim(makeClaim({ now: Date.now() }))).deliveries.map((delivery) => delivery.id)).toEqual([id]);
        expect(await crashed.settle(makeSettlement(id))).toBe(true);
      });
    });

    describe('claims', () => {
      it('leases what is due, oldest first, and says when the next is due', async () => {
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

      it('gives the event with each delivery, one object for those of one event', async () => {
        const entry = makeEntry([a, b], 'pending', { group: 'g', ownId: 'mine' });
        await store.accept([entry]);
        const { deliveries } = await store.claim(makeClaim());
        expect(deliveries[0]!.event).toEqual(entry.event);
        expect(deliveries[1]!.event).toBe(deliveries[0]!.event);
        expect(deliveries.map(({ endpointId, attemptCount, scheduleStart }) => [endpointId, attemptCount, scheduleStart])).toEqual([
          [a, 0, 0],
          [b, 0, 0],
        ]);
      });

      it('stops at the limit, says that there is more, and goes on behind it', async () => {
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

      it('takes no more of one endpoint than asked, and passes over those excepted', async () => {
        for (let i = 0; i < 5; i++) await acceptOne(store, a, 'pending');
        for (let i = 0; i < 5; i++) await acceptOne(store, b, 'pending');
        const { deliveries, more } = await store.claim(makeClaim({ perEndpoint: 3, except: new Set([b]) }));
        expect(deliveries.map(({ endpointId }) => endpointId)).toEqual([a, a, a]);
        expect(more).toBe(false);
        expect((await store.claim(makeClaim())).deliveries).toHaveLength(7);
      });

      it('asks only the endpoints named, in their order', async () => {
        const c = newId(start);
        for (const endpointId of [a, b, c]) for (let i = 0; i < 3; i++) await acceptOne(store, endpointId, 'pending');
        const only = [c, a].map((endpointId) => ({ tenantId, endpointId }));
        const first = await store.claim(makeClaim({ only, perEndpoint: 2, limit: 3 }));
        expect(first.deliveries.map(({ endpointId }) => endpointId)).toEqual([c, c, a]);
        const other = [{ tenantId: 'other', endpointId: b }];
        expect((await store.claim(makeClaim({ only: other }))).deliveries).toEqual([]);
      });

      it('gives quiet tenants their share beside a loud one', async () => {
        const loud = Array.from({ length: 5 }, () => newId(start));
        for (let i = 0; i < 25; i++) {
          await store.accept(Array.from({ length: 2000 }, (_, n) => makeEntry([loud[n % 5]!], 'pending', { tenantId: 'loud' })));
        }
        for (let tenant = 0; tenant < 10; tenant++) {
          for (let i = 0; i < 5; i++) await acceptOne(store, newId(start), 'pending', { tenantId: `quiet-${tenant}` });
        }
        const count = new Map<string, number>();
        for (let i = 0; i < 2; i++) {
          for (const { event } of (await store.claim(makeClaim({ limit: 55 }))).deliveries) {
            count.set(event.tenantId, (count.get(event.tenantId) ?? 0) + 1);
          }
        }
        for (let tenant = 0; tenant < 10; tenant++) expect(count.get(`quiet-${tenant}`)).toBe(5);
        expect(count.get('loud')).toBe(60);
      });

      it('gives neighbours of a dead endpoint their share', async () => {
        await store.accept(Array.from({ length: 2000 }, () => makeEntry([a], 'pending', { createdAt: start - 60_000 })));
        const fresh = await Promise.all(Array.from({ length: 20 }, () => acceptOne(store, newId(start), 'pending')));
        const { deliveries } = await store.claim(makeClaim({ limit: 42 }));
        const ids = deliveries.map(({ id }) => id);
        expect(ids).toEqual(expect.arrayContaining(fresh));
        expect(deliveries.filter(({ endpointId }) => endpointId === a).length).toBe(22);
      });

      it('does not step over endpoints whose retries lie in the future', async () => {
        const ids = await Promise.all(Array.from({ length: 30 }, () => acceptOne(store, newId(start))));
        await Promise.all(ids.map((id, i) => store.settle(makeFailure(id, { dueAt: start + 1000 + i }))));
        expect(await store.claim(makeClaim())).toEqual({ deliveries: [], more: false, nextDueAt: start + 1000 });
        const { deliveries, nextDueAt } = await store.claim(makeClaim({ now: start + 1004 }));
        expect(new Set(deliveries.map(({ id }) => id))).toEqual(new Set(ids.slice(0, 5)));
        expect(nextDueAt).toBe(start + 1005);
      });

      it('finds what was due before after a wrong call undid its batch', async () => {
        const taken = makeEntry([]);
        await store.accept([taken]);
        const id = await acceptOne(store, a, 'pending');
        const [claimed] = await Promise.allSettled([store.claim(makeClaim()), store.accept([taken])]);
        expect(claimed).toMatchObject({ status: 'fulfilled', value: { deliveries: [{ id }] } });
      });
    });

    describe('moves', () => {
      it('holds and resumes the deliveries of one endpoint, oldest first', async () => {
        const ids = [];
        for (let i = 0; i < 3; i++) ids.push(await acceptOne(store, a, 'pending'));
        const neighbour = await acceptOne(store, b, 'pending');
        const sending = await acceptOne(store, a);
        const hold = { tenantId, endpointId: a, from: 'pending', to: 'held', reason: 'endpoint_disabled', now: start } as const;
        expect(await store.moveDeliveries({ ...hold, limit: 2 })).toBe(2);
        expect(await Promise.all(ids.map((id) => statusOf(id)))).toEqual(['held', 'held', 'pending']);
        expect(await store.moveDeliveries({ ...hold, limit: 2 })).toBe(1);
        expect(await store.endpointsHaving('held')).toEqual([{ tenantId, endpointId: a }]);
        expect(await store.endpointsHaving('pending')).toEqual([{ tenantId, endpointId: b }]);
        expect((await store.claim(makeClaim())).deliveries.map(({ id }) => id)).toEqual([neighbour]);

        const resume = { tenantId, endpointId: a, from: 'held', to: 'pending', reason: null, limit: 10, now: start + 1 } as const;
        expect(await store.moveDeliveries({ ...resume, tenantId: 'other' })).toBe(0);
        expect(await store.moveDeliveries(resume)).toBe(3);
        expect((await store.claim(makeClaim({ now: start + 1 }))).deliveries.map(({ id }) => id)).toEqual(ids);
        expect(await statusOf(sending)).toBe('sending');
      });

      it('cancels what waits for a deleted endpoint', async () => {
        const [pending, held] = [await acceptOne(store, a, 'pending'), await acceptOne(store, a, 'held')];
        for (const from of ['pending', 'held'] as const) {
          await store.moveDeliveries({ tenantId, endpointId: a, from, to: 'cancelled', reason: 'endpoint_deleted', limit: 10, now: start + 5 });
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
        const request = { tenantId, endpointId: a, from: 'held', to: 'held', reason: null, limit: 1, now: start } as const;
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
        await store.moveDeliveries({ tenantId, endpointId: b, from: 'pending', to: 'cancelled', reason: null, limit: 1, now: start });
        const held = await acceptOne(store, b, 'held');

        const deliveryIds = [id, sending, cancelled, newId(start), delivered, held];
        expect(await store.redeliver({ tenantId: 'other', deliveryIds, dueAt: start, spacingMs: 0 })).toEqual([]);
        expect(await store.redeliver({ tenantId, deliveryIds, dueAt: start, spacingMs: 100 })).toEqual([id, delivered, held]);
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
          const entry = makeEntry([a, b], 'sending', { tenantId: i % 2 ? 'other' : tenantId, createdAt: start - 10_000 }, {
            dedupe: [{ key: `k${i}`, fingerprint: 'f' }],
          });
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
        for (const status of ['pending', 'held', 'sending'] as const) open.push(await acceptOne(store, a, status, { createdAt }));
        const unfinished = makeEntry([], 'pending', { createdAt }, { fanOutAfter: a });
        await store.accept([unfinished]);
        const ended = await acceptOne(store, a, 'sending', { createdAt });
        await store.settle(makeSettlement(ended));
        expect(await store.prune({ before: start, limit: 100 })).toBe(1);
        expect(await store.prune({ before: start, limit: 100 })).toBe(0);
        expect(await statusOf(open[0]!)).toBe('pending');
        await store.extendFanOut({ tenantId, eventId: unfinished.event.id, deliveries: [], after: null, now: start });
        await store.settle(makeSettlement(open[2]!));
        expect(await store.prune({ before: start, limit: 100 })).toBe(2);
        expect(await store.deliveries.count({ tenantId }, 10)).toBe(2);
      });

      it('takes an event with very many deliveries', async () => {
        const entry = makeEntry(Array.from({ length: 5000 }, () => newId(start)), 'held', { createdAt: start - 10_000 });
        await store.accept([entry]);
        for (const { endpointId } of entry.deliveries.slice(0, 1)) {
          await store.moveDeliveries({ tenantId, endpointId, from: 'held', to: 'cancelled', reason: null, limit: 1, now: start });
        }
        expect(await store.prune({ before: start, limit: 10 })).toBe(0);
        expect(await store.deliveries.count({ tenantId }, 10_000)).toBe(5000);
        await Promise.all(
          entry.deliveries.map(({ endpointId }) =>
            store.moveDeliveries({ tenantId, endpointId, from: 'held', to: 'cancelled', reason: null, limit: 1, now: start }),
          ),
        );
        expect(await store.prune({ before: start, limit: 10 })).toBe(1);
        expect(await store.deliveries.count({ tenantId }, 10)).toBe(0);
      });
    });

    describe('lists deliveries', () => {
      const page = (limit: number, before: Id | null = null, offset = 0) => ({ limit, before, offset });

      it('newest first, by pages that neither repeat nor skip', async () => {
        const ids = [];
        for (let i = 0; i < 7; i++) ids.push(await acceptOne(store, i % 2 ? a : b));
        ids.reverse();
        const list = async (...of: Parameters<typeof page>) => (await store.deliveries.list({ tenantId }, page(...of))).map(({ id }) => id);
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
        const entries = Array.from({ length: 600 }, (_, i) => makeEntry([a], 'pending', { type: i % 100 ? 'common' : 'rare' }));
        await store.accept(entries);
        const idsOf = (type: string) => entries.filter(({ event }) => event.type === type).map(({ deliveries }) => deliveries[0]!.id);
        for (const eventType of ['common', 'rare']) {
          const rows = await store.deliveries.list({ tenantId, eventType }, page(1000));
          expect(rows.map(({ id }) => id)).toEqual(idsOf(eventType).reverse());
        }
      });

      it('with the newest attempts of an endpoint', async () => {
        for (let i = 0; i < 4; i++) {
          const id = await acceptOne(store, a);
          const settlement = makeSettlement(id);
          await store.settle({ ...settlement, attempt: { ...settlement.attempt!, startedAt: start + i, durationMs: i } });
        }
        await acceptOne(store, a);
        const other = await acceptOne(store, b);
        await store.settle(makeSettlement(other));
        expect((await store.deliveries.recentAttempts(tenantId, a, 3)).map(({ durationMs }) => durationMs)).toEqual([3, 2, 1]);
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
          (await store.events.list({ tenantId, ...filter }, { limit, before, offset })).map((event) => events.findIndex(({ id }) => id === event.id));
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

    describeRecords(() => store);

    describe('as a whole', () => {
      it('answers a check while it is open and refuses everything once it is closed', async () => {
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

      it('gives back at close what it was sending, and opens again', async () => {
        const id = await acceptOne(store, a);
        await store.close();
        await store.open({ migrate: false, now: Date.now() });
        expect(await statusOf(id)).toBe('pending');
      });
    });
  });
}
