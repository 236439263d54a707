import { describe, expect, it } from 'vitest';
import { BoundedMap } from '../../src/transport/bounded-map.ts';
import { Targets } from '../../src/transport/targets.ts';
import { createGuard } from '../../src/transport/url.ts';
import { production } from './policies.ts';

describe('a bounded map', () => {
  it('drops the entry added first when it is full, and says so', () => {
    const dropped: number[] = [];
    const map = new BoundedMap<string, number>(2, (value) => dropped.push(value));
    map.set('a', 1);
    map.set('b', 2);
    map.set('b', 3);
    expect(dropped).toEqual([]);
    map.set('c', 4);
    expect(dropped).toEqual([1]);
    expect([map.get('a'), map.get('b'), map.get('c')]).toEqual([undefined, 3, 4]);
  });
});

describe('targets', () => {
  it('judge a URL once, share an origin, and forget the oldest beyond 16,384', () => {
    const targets = new Targets(createGuard(production));
    const first = targets.find('https://hooks.example.com/0');
    const refused = targets.find('https://10.0.0.1/');
    expect(targets.find('https://hooks.example.com/0')).toBe(first);
    expect(refused).toHaveProperty('refused');
    expect(targets.find('https://hooks.example.com/1')).toMatchObject({
      origin: 'origin' in first ? first.origin : null,
    });
    for (let index = 0; index < 16_384; index += 1) {
      targets.find(`https://other.example.com/${index}`);
    }
    const again = targets.find('https://hooks.example.com/0');
    expect(again).not.toBe(first);
    expect('origin' in again && 'origin' in first && again.origin !== first.origin).toBe(true);
  });
});
