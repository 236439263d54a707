import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyRing } from '../../src/store/seal.ts';
import { createSqliteStore } from '../../src/store/sqlite/store.ts';
import type { Store } from '../../src/store/store.ts';
import { describeStore } from './conformance.ts';

describeStore('embedded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-store-'));
  const keyRing = createKeyRing(['a master key for tests only']);
  const stores: Store[] = [];
  const openAt = async (dataDir: string) => {
    const store = createSqliteStore({ dataDir, keyRing });
    await store.open({ migrate: true, now: Date.now() });
    stores.push(store);
    return store;
  };
  const dataDir = join(folder, 'first');
  return {
    store: await openAt(dataDir),
    afterCrash() {
      const copy = join(folder, `copy-${stores.length}`);
      cpSync(dataDir, copy, { recursive: true, filter: (path) => !path.endsWith('-shm') });
      return openAt(copy);
    },
    async dispose() {
      for (const store of stores) await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});
