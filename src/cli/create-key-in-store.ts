import { pino } from 'pino';
import type { Config } from '../config.ts';
import { PosthornError } from '../errors.ts';
import { createPosthornServer } from '../posthorn.ts';
import { CliFailure } from './failure.ts';
import type { KeyRequest, MadeKey } from './keys.ts';

/** Makes a key, and its tenant where that is new, in the store of a stopped server. Fails where a server holds the store. */
export async function createKeyInStore(config: Config, request: KeyRequest): Promise<MadeKey> {
  const server = createPosthornServer(config, { logger: pino({ level: 'silent' }) });
  const now = Date.now();
  try {
    await server.store.open({ migrate: true, now });
    if (request.tenantId !== null) {
      await server.store.tenants.create({ id: request.tenantId, name: null, wireFormat: null, createdAt: now });
    }
    const { id, key } = await server.createKey(request);
    return { id, key };
  } catch (error) {
    if (!(error instanceof PosthornError) || error.code !== 'STORE_UNAVAILABLE') throw error;
    throw new CliFailure(`${error.message} If a server holds it, give its address with --url.`, 1, error);
  } finally {
    await server.stop();
  }
}
