import { pino } from 'pino';
import type { Config } from '../config.ts';
import { createPosthornServer, pendingMigrations } from '../posthorn.ts';
import { CliFailure } from './failure.ts';
import type { KeyRequest, MadeKey } from './keys.ts';
import { explainStoreFailure, isHeldByServer } from './store-failure.ts';
import type { StoreFlags } from './store-failure.ts';

/**
 * Makes a key, and its tenant where that is new: in the embedded store of a stopped server, which is made where there is
 * none, or in the database, whoever runs on it. A store that lacks migrations is left alone.
 * @param flags for what is said to people
 */
export async function createKeyInStore(config: Config, request: KeyRequest, flags: StoreFlags): Promise<MadeKey> {
  const isNew = config.databaseUrl === null && pendingMigrations(config.dataDir)[0]?.startsWith('001-') === true;
  // No node that delivers: the others need not wait for what it would take.
  const role = { api: true, deliver: config.databaseUrl === null };
  const server = createPosthornServer({ ...config, role }, { logger: pino({ level: 'silent' }) });
  const now = Date.now();
  try {
    await server.store.open({ migrate: isNew, now });
    const { tenantId, memberId, scopes, prefix, name, expiresAt } = request;
    // A member belongs to a tenant that is there.
    if (tenantId !== null && memberId === null) {
      const plan = (await server.store.plans.all()).find(({ isDefault }) => isDefault)?.name ?? null;
      await server.store.tenants.create({ id: tenantId, name: null, wireFormat: null, plan, createdAt: now });
    }
    const { id, key } = await server.createKey({
      ...{ tenantId, memberId, scopes, name, expiresAt },
      ...(request.role === null ? {} : { role: request.role }),
      ...(prefix === null ? {} : { prefix }),
    });
    return { id, key };
  } catch (error) {
    if (!isHeldByServer(error)) throw explainStoreFailure(error, flags);
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
