import { KeyVerifier } from '../api/keys.ts';
import type { Config } from '../config.ts';
import { createPosthornServer } from '../posthorn.ts';
import type { KeyRequest, MadeKey } from './keys.ts';

/** Makes a key, and its tenant where that is new, in the store of a stopped server. Fails where a server holds the store. */
export async function createKeyInStore(config: Config, request: KeyRequest): Promise<MadeKey> {
  const { store } = createPosthornServer({ ...config, logLevel: 'silent' });
  const now = Date.now();
  try {
    await store.open({ migrate: true, now });
    if (request.tenantId !== null) {
      await store.tenants.create({ id: request.tenantId, name: null, wireFormat: null, createdAt: now });
    }
    const keys = new KeyVerifier({ store, fixed: [] });
    await keys.load();
    const { id, key } = await keys.create(request);
    await keys.close();
    return { id, key };
  } finally {
    await store.close();
  }
}
