import type { Id } from '../model/id.ts';
import type { Store } from '../store/store.ts';
import type { EndpointStats } from './engine.ts';

const HOURS = 24;
const ATTEMPTS = 1_000;

/** How an endpoint has done lately. `now`: epoch ms. */
export async function endpointStats(
  store: Pick<Store, 'deliveries'>,
  tenantId: string,
  endpointId: Id,
  now: number,
): Promise<EndpointStats> {
  const from = now - HOURS * 3_600_000;
  const [deliveries, attempts] = await Promise.all([
    store.deliveries.countByStatus({ tenantId, endpointId, from }),
    store.deliveries.recentAttempts(tenantId, endpointId, ATTEMPTS),
  ]);
  const recent = attempts.filter(({ startedAt }) => startedAt >= from);
  const durations = recent.map(({ durationMs }) => durationMs).sort((a, b) => a - b);
  const at = (share: number): number | null =>
    durations[Math.min(durations.length - 1, Math.floor(durations.length * share))] ?? null;
  return {
    hours: HOURS,
    deliveries,
    durationMsP50: at(0.5),
    durationMsP99: at(0.99),
    successRate: recent.length === 0 ? null : recent.filter(({ succeeded }) => succeeded).length / recent.length,
  };
}
