import { pino } from 'pino';
import type { Config } from '../config.ts';
import { createPosthornServer, pendingMigrations } from '../posthorn.ts';
import { CliFailure } from './failure.ts';
import type { KeyRequest, MadeKey } from './keys.ts';
import { explainStoreFailure, isHeldByServer } from './store-failure.ts';

/**
 * Makes a key, and its tenant where that is new, in the store of a stopped server. Makes the store where there is none;
 * one that lacks migrations is left alone.
 * @param dataDir as it was given with --data-dir, for what is said to people
 */
export async function createKeyInStore(
  config: Config,
  request: KeyRequest,
  dataDir: string | undefined,
): Promise<MadeKey> {
  const isNew = pendingMigrations(config.dataDir)[0]?.startsWith('001-') === true;
  const server = createPosthornServer(config, { logger: pino({ level: 'silent' }) });
  const now = Date.now();
  try {
    await server.store.open({ migrate: isNew, now });
    const { tenantId, memberId, scopes, role, prefix, name, expiresAt } = request;
    // A member belongs to a tenant that is there.
    if (tenantId !== null && memberId === null) {
      const plan = (await server.store.plans.all()).find(({ isDefault }) => isDefault)?.name ?? null;
      await server.store.tenants.create({ id: tenantId, name: null, wireFormat: null, plan, createdAt: now });
    }
    const { id, key } = await server.createKey({
      ...{ tenantId, memberId, scopes, name, expiresAt },
      ...(role === null ? {} : { role }),
      ...(prefix === null ? {} : { prefix }),
    });
    return { id, key };
  } catch (error) {
    if (!isHeldByServer(error)) throw explainStoreFailure(error, dataDir);
    throw new CliFailure(
      `the data directory ${config.dataDir} is in use by a running server; ` +
        'give its address with --url, and a key of an owner or operator with --api-key',
      1,
      error,
    );
  } finally {
    await server.stop();
  }
}
