import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Posthorn } from '../../src/index.ts';
import { startReceiver } from '../e2e/receiver.ts';
import { hasPostgres, startPostgres } from '../postgres/server.ts';
import { startLibrary, valueOf } from './posthorn.ts';

it.skipIf(!hasPostgres(18))(
  'two processes with one databaseUrl are one Posthorn, migrated by whoever is first',
  async () => {
    const server = await startPostgres();
    const receiver = await startReceiver();
    const dataDir = mkdtempSync(join(tmpdir(), 'posthorn-library-'));
    const running: Posthorn[] = [];
    try {
      const masterKey = 'a master key that both of them have';
      const options = { store: 'sql', databaseUrl: server.url(), dataDir, leaseMs: 5_000 } as const;
      await expect(startLibrary(options)).rejects.toThrow(/is needed with PostgreSQL, and the same on every node/);
      running.push(
        ...(await Promise.all([startLibrary({ ...options, masterKey }), startLibrary({ ...options, masterKey })])),
      );
      const [one, other] = running as [Posthorn, Posthorn];
      const { id } = valueOf(await one.subscriptions.create({ url: receiver.url() }));
      await expect.poll(async () => (await other.subscriptions.get(id)).ok, { timeout: 2_000 }).toBe(true);
      valueOf(await other.publish('order.created', { id: 'o-1' }));
      await receiver.waitFor(({ body }) => body === '{"id":"o-1"}');
      expect(readdirSync(dataDir)).toEqual([]);
    } finally {
      for (const posthorn of running) await posthorn.stop();
      await receiver.close();
      await server.stop();
      rmSync(dataDir, { recursive: true });
    }
  },
);
