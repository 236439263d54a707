import type { Cluster, Store } from '../../src/store/store.ts';
import type { ClusterRig, Node } from '../delivery/cluster-rig.ts';
import { becomes, isQuiet } from './engine-rig.ts';

type Count = Cluster['count'];

export const event = (more: object = {}) => ({ type: 'a', data: '{}', value: {}, ...more });

export async function allow({ engine }: Node, eventsPerDay: number | null): Promise<void> {
  await engine.plans.put({ name: 'small', eventsPerDay });
  await engine.tenants.update('default', { plan: 'small' });
}

/** Nodes with one endpoint and a limit, which all of them know. */
export async function limited(
  { receiver, add }: ClusterRig,
  count: number,
  limit: number,
  options: Parameters<ClusterRig['add']>[0] = {},
  change?: Parameters<ClusterRig['add']>[1],
): Promise<Node[]> {
  const nodes: Node[] = [];
  for (let i = 0; i < count; i++) nodes.push(await add(options, change));
  await allow(nodes[0]!, limit);
  await nodes[0]!.engine.endpoints.create('default', { url: receiver.url(), events: ['*'] });
  for (const { engine } of nodes) await engine.catchUp();
  return nodes;
}

/** A store whose shared counters go through `count`. */
export function counting(store: Store, count: (real: Count, uses: Parameters<Count>[0]) => Promise<number[]>) {
  const real = store.cluster!;
  const cluster = new Proxy(real, {
    get: (_, name) => {
      if (name === 'count') return (uses: Parameters<Count>[0]) => count((those) => real.count(those), uses);
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? (value as () => unknown).bind(real) : value;
    },
  });
  return { ...store, cluster };
}

export const quiet = (node: Node, withinMs = 10_000) => becomes(() => isQuiet(node.engine), withinMs);
export const today = async ({ engine }: Node) => (await engine.tenants.usage('default')).eventsToday;
