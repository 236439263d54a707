import { drive } from '../drive.ts';
import { apiKey, startPosthorn } from '../posthorn.ts';
import { cpuUsOf, memoryOf } from '../procfs.ts';
import { DATA_BYTES, eventTypes } from './scenario.ts';
import type { Context } from './scenario.ts';

/** Timers of the work just done (keep-alive, checkpoint) are not idleness yet. */
const SETTLE_MS = 2000;

export interface Idle {
  seconds: number;
  /** Share of one core, percent; null where the platform does not tell. */
  cpuPercent: number | null;
  rssBytes: number | null;
}

/** What Posthorn costs while nothing happens, with one endpoint and a hundred delivered events behind it. */
export async function measureIdle({ bench, options }: Context): Promise<Idle> {
  const posthorn = await startPosthorn({ workDir: options.workDir });
  const types = eventTypes(1);
  await posthorn.register(bench.hookUrl(0), types);
  const load = { port: posthorn.port, apiKey, types, connections: 2, mode: 'closed' as const, dataBytes: DATA_BYTES };
  await drive(bench, { ...load, durationMs: 5000, events: 100 }, { fanOut: 1, senderPid: posthorn.pid });
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const before = cpuUsOf(posthorn.pid);
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, options.idleSeconds * 1000));
  const after = cpuUsOf(posthorn.pid);
  const elapsedUs = (performance.now() - startedAt) * 1000;
  const rssBytes = memoryOf(posthorn.pid)?.rss ?? null;
  await posthorn.stop();
  const cpuPercent = before === null || after === null ? null : ((after - before) / elapsedUs) * 100;
  return { seconds: options.idleSeconds, cpuPercent, rssBytes };
}
