import { probeDisk } from '../disk.ts';
import { drive, startBench, WARM_UP_MS } from '../drive.ts';
import type { Bench, Measurement } from '../drive.ts';
import type { Percentiles } from '../histogram.ts';
import { apiKey } from '../posthorn.ts';
import type { Posthorn } from '../posthorn.ts';
import { DATA_BYTES, eventTypes } from '../scenarios/scenario.ts';
import { startNodes } from './nodes.ts';

export interface PostgresThroughput {
  nodes: number;
  ends: number;
  fanOut: number;
  /** Of all nodes together. */
  deliveriesPerSecond: number;
  lost: number;
  doubled: number;
  refused: number;
  cpuUsPerDelivery: { posthorn: number | null; postgres: number | null };
}

export interface SaturationPlan {
  nodes: number;
  /** Load generators, and receivers: shared out over the nodes. */
  ends: number;
  fanOut: number;
  seconds: number;
  /** Of each load generator. */
  connections: number;
  workDir: string | null;
  profileDir: string | null;
}

/** As many events as the nodes take together, once they are warm. What was lost or doubled counts from the beginning. */
export async function measureSaturation(plan: SaturationPlan): Promise<PostgresThroughput> {
  const cluster = await startNodes(plan.nodes, { workDir: plan.workDir, profileDir: plan.profileDir });
  const benches: Bench[] = [];
  try {
    const types = eventTypes(plan.ends);
    const nodeOf = (i: number): Posthorn => cluster.nodes[i % plan.nodes]!;
    for (let i = 0; i < plan.ends; i++) {
      const bench = await startBench();
      benches.push(bench);
      for (let n = 0; n < plan.fanOut; n++) await nodeOf(i).register(bench.hookUrl(n), [types[i]!]);
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000)); // until every node knows every endpoint
    const load = (durationMs: number): Promise<Measurement[]> =>
      Promise.all(
        benches.map((bench, i) =>
          drive(bench, loadPlan(nodeOf(i), types[i]!, plan, durationMs), {
            fanOut: plan.fanOut,
            senderPid: nodeOf(i).pid,
          }),
        ),
      );
    const warmUp = await load(WARM_UP_MS);
    const before = cluster.databaseCpuUs();
    const runs = await load(plan.seconds * 1000);
    const databaseUs = cpuSince(before, cluster.databaseCpuUs());
    return summary(plan, { warmUp, runs }, databaseUs);
  } finally {
    await Promise.all(benches.map((bench) => bench.stop()));
    await cluster.stop();
  }
}

/** From POST to arrival at a steady rate. */
export interface PostgresLatency {
  ratePerSecond: number;
  rounds: readonly Measurement[];
  /** What the disk takes by itself, right before. */
  disk: Percentiles;
}

/** Of p99s over ten seconds one is not to be believed: a disk that stands still for a tenth of a second is one. */
const LATENCY_ROUNDS = 5;

/** `seconds`: of each round, after one that warms up. */
export async function measureLatency(options: {
  ratePerSecond: number;
  seconds: number;
  workDir: string | null;
}): Promise<PostgresLatency> {
  const { ratePerSecond, workDir } = options;
  const cluster = await startNodes(1, { workDir });
  const bench = await startBench();
  try {
    const [node] = cluster.nodes;
    const types = eventTypes(1);
    await node!.register(bench.hookUrl(0), types);
    const plan = {
      port: node!.port,
      apiKey,
      types,
      connections: 256,
      mode: 'open' as const,
      ratePerSecond,
      dataBytes: DATA_BYTES,
    };
    const sender = { fanOut: 1, senderPid: node!.pid };
    await drive(bench, { ...plan, durationMs: WARM_UP_MS }, sender);
    const disk = await probeDisk(workDir, 5);
    const rounds: Measurement[] = [];
    for (let i = 0; i < LATENCY_ROUNDS; i++) {
      rounds.push(await drive(bench, { ...plan, durationMs: options.seconds * 1000 }, sender));
    }
    return { ratePerSecond, rounds, disk };
  } finally {
    await bench.stop();
    await cluster.stop();
  }
}

function loadPlan(node: Posthorn, type: string, { connections }: SaturationPlan, durationMs: number) {
  return {
    port: node.port,
    apiKey,
    types: [type],
    connections,
    mode: 'closed' as const,
    durationMs,
    dataBytes: DATA_BYTES,
  };
}

function summary(
  plan: SaturationPlan,
  { warmUp, runs }: { warmUp: readonly Measurement[]; runs: readonly Measurement[] },
  databaseUs: number | null,
): PostgresThroughput {
  const total = (of: (run: Measurement) => number, those: readonly Measurement[] = runs): number =>
    those.reduce((sum, run) => sum + of(run), 0);
  const all = [...warmUp, ...runs];
  const delivered = total(({ receiver }) => receiver.distinct);
  const posthornUs = runs.some(({ cpuUsPerDelivery }) => cpuUsPerDelivery.sender === null)
    ? null
    : // Ends that share a node each count all of its CPU.
      total(({ cpuUsPerDelivery, receiver }) => cpuUsPerDelivery.sender! * receiver.received) *
      (plan.nodes / plan.ends);
  return {
    nodes: plan.nodes,
    ends: plan.ends,
    fanOut: plan.fanOut,
    deliveriesPerSecond: total((run) => run.deliveriesPerSecond),
    lost: total(({ lost }) => lost, all),
    doubled: total(({ doubled }) => doubled, all),
    refused: total(({ load }) => load.sent - load.accepted, all),
    cpuUsPerDelivery: {
      posthorn: posthornUs === null ? null : posthornUs / delivered,
      postgres: databaseUs === null ? null : databaseUs / delivered,
    },
  };
}

function cpuSince(before: number | null, after: number | null): number | null {
  return before === null || after === null ? null : after - before;
}
