import { describe, expect, it } from 'vitest';
import { isEventPattern, isEventType, matchesPattern } from '../../src/model/event.ts';

describe('event types', () => {
  it.each(['grant.created', 'risk_threshold_exceeded', 'a', 'A-b.c_9.d'])('takes %s', (type) => {
    expect(isEventType(type)).toBe(true);
  });

  it.each(['', '.', 'a.', '.a', 'a..b', 'a b', 'a.*', 'é', 'a/b', 'x'.repeat(129)])('refuses %j', (type) => {
    expect(isEventType(type)).toBe(false);
  });
});

describe('patterns', () => {
  it.each(['*', 'order.*', '*.created', 'order.*.done', 'order.created'])('takes %s', (pattern) => {
    expect(isEventPattern(pattern)).toBe(true);
  });

  it.each(['', '**', 'ord*', 'order.', 'order.**'])('refuses %j', (pattern) => {
    expect(isEventPattern(pattern)).toBe(false);
  });

  it.each([
    ['*', 'anything.at.all', true],
    ['order.created', 'order.created', true],
    ['order.created', 'order.created.late', false],
    ['order.*', 'order.created', true],
    ['order.*', 'order.item.added', true],
    ['order.*', 'order', false],
    ['order.*', 'orders.created', false],
    ['*.created', 'order.created', true],
    ['order.*.done', 'order.item.done', true],
    ['order.*.done', 'order.item.sub.done', false],
    ['order.*.done', 'order.item.added', false],
  ])('%s matches %s: %s', (pattern, type, expected) => {
    expect(matchesPattern(pattern, type)).toBe(expected);
  });
});
