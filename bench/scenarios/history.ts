import { nowUs } from '../clock.ts';
import { drained, drive } from '../drive.ts';
import { median } from '../histogram.ts';
import { apiKey, startPosthorn } from '../posthorn.ts';
import type { Posthorn } from '../posthorn.ts';
import { end, removeFolder, temporaryFolder, track } from '../processes.ts';
import type { ReceiverReport } from '../receiver.ts';
import { startPeer } from '../rpc.ts';
import { DATA_BYTES, eventTypes } from './scenario.ts';
import type { Context } from './scenario.ts';

const EVENTS_A_ROUND = 20_000;
/** Pairs, so that what else the machine does hits both alike. */
const ORDER = ['empty', 'full', 'full', 'empty', 'empty', 'full', 'full', 'empty', 'empty', 'full'] as const;

interface Round {
  /** Events accepted a second while nothing is delivered (the endpoint is disabled). */
  ingestPerSecond: number;
  /** Deliveries a second from enabling the endpoint to the last arrival: moved, claimed, sent, settled. */
  claimPerSecond: number;
}

export interface History {
  deliveries: number;
  prefillSeconds: number;
  eventsARound: number;
  empty: Round[];
  full: Round[];
  /** The full store's rate over the empty one's, the median over the pairs of rounds; 1 = no difference. */
  ingestRatio: number;
  claimRatio: number;
}

/** Does a long history slow Posthorn down? An empty store beside one with a million finished deliveries. */
export async function measureHistory(context: Context): Promise<History> {
  const { bench, options } = context;
  const eventsARound = Math.min(EVENTS_A_ROUND, options.seconds * 1000);
  const folders = {
    empty: temporaryFolder(options.workDir ?? undefined),
    full: temporaryFolder(options.workDir ?? undefined),
  };
  const prefillSeconds = await prefill(context, folders.full);
  const stores = {
    empty: await startPosthorn({ dataDir: folders.empty }),
    full: await startPosthorn({ dataDir: folders.full }),
  };
  const endpointIds = {
    empty: await stores.empty.register(bench.hookUrl(0), eventTypes(1)),
    full: await firstEndpoint(stores.full),
  };
  const rounds: { empty: Round[]; full: Round[] } = { empty: [], full: [] };
  // One round each to warm up.
  for (const which of ['empty', 'full', ...ORDER] as const) {
    rounds[which].push(await measureRound(context, stores[which], endpointIds[which], eventsARound));
  }
  const empty = rounds.empty.slice(1);
  const full = rounds.full.slice(1);
  for (const which of ['empty', 'full'] as const) {
    await stores[which].stop();
    removeFolder(folders[which]);
  }
  return {
    deliveries: options.history,
    prefillSeconds,
    eventsARound,
    empty,
    full,
    ingestRatio: ratio(full, empty, 'ingestPerSecond'),
    claimRatio: ratio(full, empty, 'claimPerSecond'),
  };
}

/** Posthorn itself makes the store, its tenant and the endpoint; the rest is written while it is stopped. */
async function prefill({ bench, options }: Context, dataDir: string): Promise<number> {
  const posthorn = await startPosthorn({ dataDir });
  const endpointId = await posthorn.register(bench.hookUrl(0), eventTypes(1));
  await posthorn.stop();
  const peer = startPeer('prefill.ts');
  track(peer.child);
  const { seconds } = await peer.ask<{ seconds: number }>('run', {
    dataDir,
    deliveries: options.history,
    tenantId: 'default',
    endpointId: endpointId.slice('wh_'.length),
    dataBytes: DATA_BYTES,
  });
  await end(peer.child);
  return seconds;
}

async function firstEndpoint(posthorn: Posthorn): Promise<string> {
  const { webhooks } = await posthorn.call<{ webhooks: { id: string }[] }>('GET', '/v1/webhooks');
  if (webhooks[0] === undefined) throw new Error('the prefilled store has lost its endpoint');
  return webhooks[0].id;
}

async function measureRound(
  { bench, options }: Context,
  posthorn: Posthorn,
  id: string,
  events: number,
): Promise<Round> {
  await posthorn.call('POST', `/v1/webhooks/${id}/disable`);
  const plan = {
    port: posthorn.port,
    apiKey,
    types: eventTypes(1),
    connections: options.connections,
    mode: 'closed' as const,
    durationMs: 120_000,
    events,
    dataBytes: DATA_BYTES,
  };
  const { load } = await drive(bench, plan, { fanOut: 0, senderPid: posthorn.pid });
  const enabledAtUs = nowUs();
  await posthorn.call('POST', `/v1/webhooks/${id}/enable`);
  if (!(await drained(bench.receiver, load.accepted))) throw new Error('held deliveries did not all arrive');
  const { distinct, lastAtUs } = await bench.receiver.ask<ReceiverReport>('report');
  return {
    ingestPerSecond: load.accepted / ((load.lastAtUs - load.firstAtUs) / 1e6),
    claimPerSecond: distinct / (((lastAtUs ?? Infinity) - enabledAtUs) / 1e6),
  };
}

function ratio(full: Round[], empty: Round[], what: keyof Round): number {
  return median(full.map((round, i) => round[what] / empty[i]![what]));
}
