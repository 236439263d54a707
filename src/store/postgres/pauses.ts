import type { Id } from '../../model/id.ts';
import { CHANNEL_SQL } from './notices.ts';
import type { Told } from './change-feed.ts';
import type { Connections } from './connections.ts';

export interface Pause {
  tenantId: string;
  endpointId: Id;
  /** Epoch ms; 0 = no longer. */
  until: number;
}

const TELL = `
  told AS (
    INSERT INTO posthorn.changes (node, kind, tenant_id, key)
    VALUES ($4::bigint, 'pause', $1::text, $3::bigint || ' ' || $2::text)
  )
  SELECT pg_notify(${CHANNEL_SQL}, 'changes')`;
const PAUSE = `
  WITH made AS (
    INSERT INTO posthorn.pauses (tenant_id, endpoint_id, until) VALUES ($1::text, $2::text, $3::bigint)
    ON CONFLICT (tenant_id, endpoint_id) DO UPDATE SET until = excluded.until
  ), ${TELL}`;
const END = `
  WITH gone AS (DELETE FROM posthorn.pauses WHERE tenant_id = $1::text AND endpoint_id = $2::text), ${TELL}`;

/** Keeps a pause for nodes that start, and tells those that run. The last word about an endpoint stands. */
export async function tellPause(connections: Connections, node: number, pause: Pause): Promise<void> {
  const { tenantId, endpointId, until } = pause;
  await connections.query({ sql: until > 0 ? PAUSE : END, parameters: [tenantId, endpointId, until, node] });
}

/** Those that last beyond `now` (epoch ms). */
export async function readPauses(connections: Connections, now: number): Promise<Pause[]> {
  const { rows } = await connections.query<{ tenant_id: string; endpoint_id: Id; until: number }>({
    sql: 'SELECT tenant_id, endpoint_id, until FROM posthorn.pauses WHERE until > $1::bigint',
    parameters: [now],
  });
  return rows.map(({ tenant_id, endpoint_id, until }) => ({ tenantId: tenant_id, endpointId: endpoint_id, until }));
}

/** What another node told. */
export function pauseOf({ tenantId, key }: Told): Pause {
  const [until, endpointId] = key.split(' ', 2) as [string, Id];
  return { tenantId, endpointId, until: Number(until) };
}
