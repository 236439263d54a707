import { test } from 'vitest';
import type { DeliveryStatus } from '../../src/model/delivery.ts';
import { newId } from '../../src/model/id.ts';
import type { Id } from '../../src/model/id.ts';
import type { Store } from '../../src/store/store.ts';
import { start } from './make.ts';

/** A store of one engine, under test. */
export interface StoreUnderTest {
  /** Open, migrated and empty. */
  store: Store;
  /** Opens what is durable at this moment, as a new process would after this one was killed. */
  afterCrash(): Promise<Store>;
  dispose(): Promise<void>;
}

export const tenantId = 'acme';

/** The `it` of the conformance suite: every test gets a store of its own, two endpoint ids, and a look at statuses. */
export function makeIt(factory: () => Promise<StoreUnderTest>) {
  return test
    .extend('make', () => factory)
    .extend('underTest', async ({ make }, { onCleanup }) => {
      const underTest = await make();
      onCleanup(() => underTest.dispose());
      return underTest;
    })
    .extend('store', ({ underTest }): Store => underTest.store)
    .extend('a', (): Id => newId(start))
    .extend('b', (): Id => newId(start))
    .extend(
      'statusOf',
      ({ store }) =>
        async (id: Id, from: Store = store): Promise<DeliveryStatus | undefined> =>
          (await from.deliveries.get(tenantId, id))?.status,
    );
}

export type StoreIt = ReturnType<typeof makeIt>;
