import { test } from 'vitest';
import { createPostgresStore } from '../../src/store/postgres/store.ts';
import type { PostgresStore, PostgresStoreOptions } from '../../src/store/postgres/store.ts';
import { createKeyRing } from '../../src/store/seal.ts';
import { startProxy } from './proxy.ts';
import type { FaultProxy } from './proxy.ts';
import type { PostgresServer, TestDatabase } from './server.ts';

/** Vitest's `test` with a database of its own, an open store on it, and a proxy between the two that can break what passes. */
export function storeTest(server: () => PostgresServer, options: Partial<PostgresStoreOptions> = {}) {
  return (
    test
      // eslint-disable-next-line no-empty-pattern -- Vitest reads from it which fixtures are needed
      .extend('database', async ({}, { onCleanup }): Promise<TestDatabase> => {
        const database = await server().createDatabase();
        onCleanup(() => database.drop());
        return database;
      })
      .extend('proxy', async ({ database: _ }, { onCleanup }): Promise<FaultProxy> => {
        const proxy = await startProxy(server().port);
        onCleanup(() => proxy.close());
        return proxy;
      })
      .extend('store', async ({ database, proxy }, { onCleanup }): Promise<PostgresStore> => {
        const keyRing = createKeyRing(['a master key for tests only']);
        const store = createPostgresStore({ url: proxy.url(database.name), keyRing, ...options });
        await store.open({ migrate: true, now: Date.now() });
        onCleanup(async () => {
          proxy.pass();
          await store.close();
        });
        return store;
      })
  );
}
