import { drive, WARM_UP_MS } from '../drive.ts';
import type { Measurement } from '../drive.ts';
import { apiKey, startPosthorn } from '../posthorn.ts';
import { DATA_BYTES, eventTypes } from './scenario.ts';
import type { Context } from './scenario.ts';

/** From POST to arrival at a steady rate far below saturation, after a short warm-up that is not counted. */
export async function measureLatency({ bench, options, profileDir }: Context): Promise<Measurement> {
  const posthorn = await startPosthorn({ workDir: options.workDir, profileDir });
  const types = eventTypes(1);
  await posthorn.register(bench.hookUrl(0), types);
  const plan = {
    port: posthorn.port,
    apiKey,
    types,
    connections: 256,
    mode: 'open' as const,
    ratePerSecond: options.ratePerSecond,
    dataBytes: DATA_BYTES,
  };
  const sender = { fanOut: 1, senderPid: posthorn.pid };
  await drive(bench, { ...plan, durationMs: WARM_UP_MS }, sender);
  const measurement = await drive(bench, { ...plan, durationMs: options.latencySeconds * 1000 }, sender);
  await posthorn.stop();
  return measurement;
}
