import { describe, expect, it } from 'vitest';
import { Lines } from '../../src/delivery/lines.ts';
import type { Line, Work } from '../../src/delivery/line.ts';
import { EventMessage } from '../../src/delivery/message.ts';
import { newDeliveryId, newId } from '../../src/model/id.ts';

function lines(options: { slots?: number; capacity?: number; capacityBytes?: number } = {}): Lines {
  return new Lines({ slots: 100, capacity: 1000, capacityBytes: 1e9, ...options });
}

function work(tenantId = 't', data = '{}'): Work {
  const now = Date.now();
  const event = { id: newId(now), tenantId, ownId: null, type: 'a', data, occurredAt: now, createdAt: now };
  const message = new EventMessage({ ...event, category: null, group: null, source: null });
  return { id: newDeliveryId(now), attemptCount: 0, scheduleStart: 0, message };
}

/** Fills a line as far as it may. Returns how many went in. */
function fill(all: Lines, line: Line, most = Number.POSITIVE_INFINITY): number {
  let count = 0;
  for (; count < most && all.room(line) > 0; count++) {
    const item = work(line.tenant.tenantId);
    all.reserve(line, item.message.data.length);
    all.enter(line, item);
  }
  return count;
}

function takeAll(all: Lines): Map<string, number> {
  const taken = new Map<string, number>();
  for (let next = all.next(); next; next = all.next()) {
    const { tenantId } = next.line.tenant;
    taken.set(tenantId, (taken.get(tenantId) ?? 0) + 1);
  }
  return taken;
}

describe('room in memory', () => {
  it('leaves half to the others when one line takes all it may, a third when two do', () => {
    const all = lines();
    expect(fill(all, all.line('a', 'e1', 10))).toBe(500);
    expect(fill(all, all.line('a', 'e2', 10))).toBe(250);
    expect(all.isFull).toBe(false);
    expect(fill(all, all.line('b', 'e3', 10))).toBe(125);
  });

  it('keeps a tenth for lines without failures', () => {
    const all = lines({ capacity: 100 });
    const failing: Line[] = [];
    for (let i = 0; i < 200; i++) {
      const line = all.line('dead', `e${i}`, 10);
      line.failed();
      failing.push(line);
      fill(all, line);
    }
    expect(failing.every((line) => all.room(line) === 0)).toBe(true);
    expect(all.room(all.line('good', 'g', 10))).toBeGreaterThanOrEqual(10);
  });

  it('is bounded by bytes too', () => {
    const all = lines({ capacityBytes: 100 });
    const line = all.line('a', 'e1', 10);
    all.reserve(line, 100);
    expect(all.isFull).toBe(true);
    expect(all.room(all.line('b', 'e2', 10))).toBe(0);
    all.release(line, 100);
    expect(all.isFull).toBe(false);
  });

  it('is given back when a line is emptied', () => {
    const all = lines();
    const line = all.line('a', 'e1', 10);
    fill(all, line, 42);
    expect(all.drain(line)).toHaveLength(42);
    expect(all.waiting).toBe(0);
    expect(all.next()).toBeNull();
    all.forget('e1');
    expect(all.find('e1')).toBeNull();
  });
});

describe('slots on the wire', () => {
  it('go to a tenant only as long as it holds no more than what is still free', () => {
    const all = lines();
    for (let i = 0; i < 50; i++) fill(all, all.line('loud', `l${i}`, 10), 10);
    expect(takeAll(all).get('loud')).toBe(50);
    fill(all, all.line('quiet', 'q', 10), 5);
    expect(takeAll(all).get('quiet')).toBe(5);
  });

  it('are shared in turns by tenants, whatever their number of endpoints', () => {
    const all = lines({ slots: 10 });
    for (let i = 0; i < 8; i++) fill(all, all.line('many', `m${i}`, 10), 10);
    fill(all, all.line('one', 'o', 10), 10);
    const taken = takeAll(all);
    expect(Math.abs(taken.get('many')! - taken.get('one')!)).toBeLessThanOrEqual(1);
  });

  it('are limited for each endpoint, and a finished exchange lets the next one go', () => {
    const all = lines();
    const line = all.line('a', 'e', 3);
    fill(all, line, 5);
    expect(takeAll(all).get('a')).toBe(3);
    all.finish(line);
    expect(takeAll(all).get('a')).toBe(1);
    expect(all.inFlight).toBe(3);
  });

  it('are not used by a paused line', () => {
    const all = lines();
    const line = all.line('a', 'e', 3);
    fill(all, line, 5);
    line.pausedUntil = Date.now() + 1000;
    expect(all.next()).toBeNull();
    line.pausedUntil = 0;
    all.makeReady(line);
    expect(takeAll(all).get('a')).toBe(3);
  });

  it('keep first in, first out within a line', () => {
    const all = lines();
    const line = all.line('a', 'e', 3);
    fill(all, line, 3);
    const ids = [all.next()!, all.next()!, all.next()!].map((next) => next.work.id);
    expect(ids).toEqual([...ids].sort());
  });
});

describe('the limit of a line', () => {
  it("is halved by every failure down to a floor, and grows by one with every success up to the endpoint's own", () => {
    const line = lines().line('a', 'e', 64);
    for (const expected of [32, 16, 8, 4, 4]) {
      line.failed();
      expect(line.limit).toBe(expected);
    }
    for (let i = 0; i < 100; i++) line.succeeded();
    expect(line.limit).toBe(64);
    expect(line.failuresInRow).toBe(0);
  });

  it("never exceeds an endpoint's own limit below the floor", () => {
    const line = lines().line('a', 'e', 1);
    line.failed();
    expect(line.limit).toBe(1);
  });
});
