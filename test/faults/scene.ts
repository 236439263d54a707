import { test } from 'vitest';
import { Connections } from '../../src/store/postgres/connections.ts';
import { migrate } from '../../src/store/postgres/migrate.ts';
import { startReceiver } from '../e2e/receiver.ts';
import type { Receiver } from '../e2e/receiver.ts';
import { startProxy } from '../postgres/proxy.ts';
import type { FaultProxy } from '../postgres/proxy.ts';
import { startPostgres } from '../postgres/server.ts';
import type { PostgresOptions, PostgresServer } from '../postgres/server.ts';
import { startLoad } from './load.ts';
import type { Load, LoadOptions } from './load.ts';
import { startNode } from './node.ts';
import type { ClusterNode, NodeOptions } from './node.ts';

export const DATABASE = 'postgres';

/** What a fault test is made of; all of it ends with the test. */
export interface Scene {
  server: PostgresServer;
  receiver: Receiver;
  proxy: FaultProxy;
  /** Starts a node; on the server itself unless `databaseUrl` says otherwise. */
  node(options?: Partial<NodeOptions>): Promise<ClusterNode>;
  /**
   * Starts two nodes; the receiver is the endpoint of `order.created`, made before the second one starts: a node that runs
   * learns of a new endpoint within a second, one that starts knows it from its start.
   */
  twoNodes(
    options?: Partial<NodeOptions>,
    more?: Record<string, unknown>,
  ): Promise<{ nodes: [ClusterNode, ClusterNode]; id: string }>;
  load(options: LoadOptions): Load;
}

/** The `it` of the fault tests: a new server with the schema in it, a receiver, and what is started on the way. */
export function makeIt(options: PostgresOptions = {}) {
  // Vitest reads which fixtures a fixture needs from its pattern, also where that is none.
  /* eslint-disable no-empty-pattern */
  return test
    .extend('server', async ({}, { onCleanup }): Promise<PostgresServer> => {
      const server = await startPostgres(options);
      onCleanup(() => server.stop());
      await makeSchema(server.url(DATABASE));
      return server;
    })
    .extend('receiver', async ({}, { onCleanup }): Promise<Receiver> => {
      const receiver = await startReceiver();
      onCleanup(() => receiver.close());
      return receiver;
    })
    .extend('proxy', async ({ server }, { onCleanup }): Promise<FaultProxy> => {
      const proxy = await startProxy(server.port);
      onCleanup(() => proxy.close());
      return proxy;
    })
    .extend('node', async ({ server }, { onCleanup }): Promise<Scene['node']> => {
      const nodes: ClusterNode[] = [];
      onCleanup(async () => {
        await Promise.all(nodes.map((node) => node.end('SIGKILL')));
      });
      return async (given = {}) => {
        const node = await startNode({ databaseUrl: server.url(DATABASE), ...given });
        nodes.push(node);
        return node;
      };
    })
    .extend('twoNodes', ({ node, receiver }): Scene['twoNodes'] => {
      return async (given, more) => {
        const first = await node(given);
        const { id } = await first.client.webhook(receiver.url(), ['order.created'], more);
        return { nodes: [first, await node(given)], id };
      };
    })
    .extend('load', async ({}, { onCleanup }): Promise<Scene['load']> => {
      const loads: Load[] = [];
      onCleanup(async () => {
        await Promise.all(loads.map((load) => load.abandon()));
      });
      return (given) => {
        const load = startLoad(given);
        loads.push(load);
        return load;
      };
    });
  /* eslint-enable no-empty-pattern */
}

/** What `posthorn migrate` does, without a process for it. */
async function makeSchema(url: string): Promise<void> {
  const onFault = (): void => undefined;
  const connections = new Connections({ url, schema: 'posthorn', poolSize: 2, statementTimeoutMs: 10_000, onFault });
  try {
    await migrate(connections);
  } finally {
    await connections.end();
  }
}
