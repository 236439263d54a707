import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  attemptId,
  attemptNumberOf,
  deliveryOfAttempt,
  firstIdAt,
  fromUuid,
  MAX_ATTEMPT_NUMBER,
  newDeliveryId,
  newId,
  parseId,
  timeOf,
  toUuid,
} from '../../src/model/id.ts';

describe('ids', () => {
  it('are UUIDs of version 7 that carry their time', () => {
    const now = Date.now();
    const id = newId(now);
    expect(id).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
    expect(toUuid(id)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(timeOf(id) - now).toBeLessThan(2);
    expect(firstIdAt(timeOf(id)) <= id && id < firstIdAt(timeOf(id) + 1)).toBe(true);
  });

  it('sort in the order in which they were made, however many are made in one millisecond and when the clock steps back', () => {
    let last = '';
    for (let i = 0; i < 20_000; i++) {
      const id = i % 2 ? newId(Date.now() - 7_200_000) : newDeliveryId(Date.now());
      expect(id > last).toBe(true);
      last = id;
    }
  });

  it('have two spellings that name the same id', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        const id = fromUuid(uuid);
        return (
          toUuid(id) === uuid.toLowerCase() &&
          parseId(`wh_${id}`, 'wh_') === id &&
          parseId(uuid.toUpperCase(), 'wh_') === id
        );
      }),
    );
  });

  it('are read in lower case and with the letters that people take for digits', () => {
    const id = newId(Date.now());
    expect(parseId(`evt_${id.toLowerCase()}`, 'evt_')).toBe(id);
    expect(parseId(id.replaceAll('0', 'O').replaceAll('1', 'l'), 'evt_')).toBe(id);
  });

  it('are refused with the prefix of another thing, in another length, with other characters, or past 128 bits', () => {
    const id = newId(Date.now());
    for (const text of [`whd_${id}`, id.slice(1), `${id}0`, `U${id.slice(1)}`, `8${id.slice(1)}`, '', 'é'.repeat(26)]) {
      expect(parseId(text, 'wh_')).toBeNull();
    }
  });

  it('of attempts are made of their delivery and their number', () => {
    const delivery = newDeliveryId(Date.now());
    for (const number of [1, 31, 32, 1024, MAX_ATTEMPT_NUMBER]) {
      const id = attemptId(delivery, number);
      expect(deliveryOfAttempt(id)).toBe(delivery);
      expect(attemptNumberOf(id)).toBe(number);
    }
    expect(deliveryOfAttempt(delivery)).toBe(delivery);
    expect(attemptNumberOf(delivery)).toBe(0);
  });
});
