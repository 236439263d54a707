import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { deliveryStatuses, isEnd, move, sourcesOf, transitions } from '../../src/model/delivery.ts';

describe('the transition table', () => {
  it('leads only to statuses it knows, and never out of cancelled', () => {
    for (const from of deliveryStatuses) {
      for (const to of Object.values(transitions[from])) expect(deliveryStatuses).toContain(to);
    }
    expect(transitions.cancelled).toEqual({});
  });

  it('lets nobody but a node that holds the lease deliver, retry or give up', () => {
    for (const by of ['succeed', 'retry', 'exhaust', 'release'] as const) expect(sourcesOf(by)).toEqual(['sending']);
    expect(sourcesOf('lease')).toEqual(['pending']);
  });

  it('reaches every status from pending, and an end from every status that is none', () => {
    const reach = (start: (typeof deliveryStatuses)[number]) => {
      const seen = new Set([start]);
      for (const from of seen) for (const to of Object.values(transitions[from])) seen.add(to);
      return seen;
    };
    expect([...reach('pending')].sort()).toEqual([...deliveryStatuses].sort());
    for (const from of deliveryStatuses) expect([...reach(from)].some(isEnd)).toBe(true);
  });

  it('says no to a move it does not have', () => {
    expect(move('cancelled', 'redeliver')).toBeNull();
    expect(move('dead_letter', 'redeliver')).toBe('pending');
  });

  it('is drawn in docs/state-machine.md, every move of it', () => {
    const drawing = readFileSync(new URL('../../docs/state-machine.md', import.meta.url), 'utf8');
    for (const from of deliveryStatuses) {
      for (const [by, to] of Object.entries(transitions[from])) expect(drawing).toContain(`${from} --> ${to}: ${by}`);
    }
  });
});
