import { startPostgres } from '../baseline/postgres.ts';
import { drive } from '../drive.ts';
import type { Measurement } from '../drive.ts';
import { apiKey } from '../posthorn.ts';
import { end, removeFolder, temporaryFolder, track } from '../processes.ts';
import { startPeer } from '../rpc.ts';
import { DATA_BYTES, eventTypes } from './scenario.ts';
import type { Context } from './scenario.ts';

/** The best of what was tried on two cores: 1 to 8 workers, batches of 50 to 200, 5 to 20 connections. */
const TUNING = { workers: 4, batchSize: 50, poolSize: 10 };

export interface Baseline extends Measurement {
  tuning: typeof TUNING;
  settings: Record<string, string>;
}

/** pg-boss and fetch on PostgreSQL, under the same load, to the same receiver. */
export async function measureBaseline({ bench, options }: Context, tuning = TUNING): Promise<Baseline> {
  const folder = temporaryFolder(options.workDir ?? undefined);
  const postgres = await startPostgres(folder);
  const sender = startPeer('baseline/sender.ts');
  track(sender.child);
  const types = eventTypes(1);
  const endpoints = [{ url: bench.hookUrl(0), events: types }];
  const { port } = await sender.ask<{ port: number }>('start', { databaseUrl: postgres.url, endpoints, ...tuning });
  const plan = {
    port,
    apiKey,
    types,
    connections: options.connections,
    mode: 'closed' as const,
    durationMs: options.baselineSeconds * 1000,
    dataBytes: DATA_BYTES,
  };
  const measurement = await drive(bench, plan, { fanOut: 1, senderPid: sender.pid, otherPids: [postgres.pid] });
  await end(sender.child);
  await postgres.stop();
  removeFolder(folder);
  return { ...measurement, tuning, settings: postgres.settings };
}
