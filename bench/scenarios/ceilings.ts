import type { CeilingReport } from '../ceilings/dispatch.ts';
import { end, removeFolder, temporaryFolder, track } from '../processes.ts';
import { startPeer } from '../rpc.ts';
import { DATA_BYTES } from './scenario.ts';
import type { Context } from './scenario.ts';

export interface Ceilings {
  dispatch: CeilingReport;
  commit: CeilingReport;
}

/** What the two things that cannot be avoided, sending and committing, cost when nothing else is done. */
export async function measureCeilings({ bench, options }: Context): Promise<Ceilings> {
  const durationMs = options.ceilingSeconds * 1000;
  await bench.receiver.ask('reset');
  const dispatch = await alone('ceilings/dispatch.ts', {
    url: bench.hookUrl(0),
    connections: options.connections,
    durationMs,
    bodyBytes: DATA_BYTES + 100,
  });
  const folder = temporaryFolder(options.workDir ?? undefined);
  const commit = await alone('ceilings/commit.ts', { folder, durationMs, dataBytes: DATA_BYTES });
  removeFolder(folder);
  return { dispatch, commit };
}

async function alone(file: string, plan: object): Promise<CeilingReport> {
  const peer = startPeer(file);
  track(peer.child);
  const report = await peer.ask<CeilingReport>('run', plan);
  await end(peer.child);
  return report;
}
