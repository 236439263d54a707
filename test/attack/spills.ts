import type { AcceptEntry, Store } from '../../src/store/store.ts';
import { rig, type Rig } from './engine-rig.ts';

/** Deliveries that were stored for a claim to bring back, by endpoint. */
export class Spills {
  readonly #of = new Map<string, number>();

  count(endpointId: string): number {
    return this.#of.get(endpointId) ?? 0;
  }

  get total(): number {
    return [...this.#of.values()].reduce((sum, count) => sum + count, 0);
  }

  over(real: Store): Store {
    return {
      ...real,
      accept: (entries: readonly AcceptEntry[]) => {
        for (const { endpointId, status } of entries.flatMap(({ deliveries }) => deliveries)) {
          if (status === 'pending') this.#of.set(endpointId, this.count(endpointId) + 1);
        }
        return real.accept(entries);
      },
    };
  }
}

/** An engine whose spills are counted. */
export async function countingRig(options: Parameters<typeof rig>[0]): Promise<Rig & { spills: Spills }> {
  const spills = new Spills();
  return Object.assign(await rig(options, (store) => spills.over(store)), { spills });
}

/** At once. */
export const times = <T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => work(i)));

/** How a receiver answers 200, this much later. */
export const answerAfter =
  (ms: number): Parameters<Rig['receiver']['answer']>[1] =>
  (_, response) =>
    void setTimeout(() => response.end(), ms);
