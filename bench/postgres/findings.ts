import type { Finding } from '../findings.ts';
import { median } from '../histogram.ts';
import type { Machine } from '../machine.ts';
import type { Backlog } from './backlog.ts';
import type { PostgresHistory } from './history.ts';
import type { Retention } from './retention.ts';
import type { PostgresLatency, PostgresThroughput } from './throughput.ts';

/** What one run of bench/postgres.ts measured, as its JSON has it. */
export interface PostgresResults {
  /** ISO 8601, the run's begin. */
  at: string;
  machine: Machine;
  /** Of each saturation run. */
  seconds: number;
  connections: number;
  throughput: PostgresThroughput[];
  latency: PostgresLatency | null;
  backlog: Backlog | null;
  history: PostgresHistory | null;
  retention: Retention | null;
}

interface Row {
  scenario: string;
  what: string;
  value: number;
  text: string;
  /** How the target reads, and whether the value meets it. */
  target?: [text: string, isMet: boolean];
  beside?: string;
}

/** The table: what was measured, beside what two cores have to reach. */
export function postgresFindings({ throughput, latency, backlog, history, retention }: PostgresResults): Finding[] {
  return [
    ...throughput.flatMap(throughputRows),
    ...nodesRows(throughput),
    ...(latency === null ? [] : latencyRows(latency)),
    ...(history === null ? [] : historyRows(history)),
    ...(retention === null ? [] : retentionRows(retention)),
    ...(backlog === null ? [] : backlogRows(backlog)),
  ].map(({ target, beside, ...row }) => ({
    ...row,
    target: target?.[0] ?? null,
    beside: beside ?? null,
    ok: target?.[1] ?? null,
  }));
}

function throughputRows(run: PostgresThroughput): Row[] {
  const ends = run.ends === 1 ? '' : `, ${run.ends} generators and receivers`;
  const scenario = `PostgreSQL, ${run.nodes === 1 ? '1 node' : `${run.nodes} nodes`}, fan-out ${run.fanOut}${ends}`;
  const aim = run.fanOut === 10 ? 18_000 : 6_000;
  const { posthorn, postgres } = run.cpuUsPerDelivery;
  const rows: Row[] = [
    {
      ...{ scenario, what: 'deliveries', value: run.deliveriesPerSecond, text: rate(run.deliveriesPerSecond) },
      ...(run.nodes === 1
        ? { target: [`≥ ${count(aim)}/s`, run.deliveriesPerSecond >= aim] as [string, boolean] }
        : {}),
      ...(posthorn === null ? {} : { beside: `${posthorn.toFixed(1)} µs of Posthorn's CPU a delivery` }),
    },
    zero(scenario, 'lost', run.lost),
    zero(scenario, 'sent twice', run.doubled),
  ];
  if (postgres !== null) {
    rows.push({
      ...{ scenario, what: 'CPU of PostgreSQL a delivery', value: postgres, text: `${postgres.toFixed(1)} µs` },
      ...(run.fanOut === 10 ? { target: ['≤ 60 µs', postgres <= 60] as [string, boolean] } : {}),
    });
  }
  return rows;
}

/** One node and two, run in turns. */
function nodesRows(runs: readonly PostgresThroughput[]): Row[] {
  const of = (nodes: number): number[] =>
    runs.filter((run) => run.nodes === nodes && run.ends === 2).map((run) => run.deliveriesPerSecond);
  if (of(2).length === 0) return [];
  const times = median(of(2)) / median(of(1));
  return [
    {
      ...{ scenario: 'two nodes on two cores', what: 'against one', value: times, text: `${times.toFixed(2)}×` },
      target: ['≥ 1×', times >= 1],
    },
  ];
}

function latencyRows({ ratePerSecond, rounds, disk }: PostgresLatency): Row[] {
  const scenario = `latency at ${count(ratePerSecond)}/s`;
  const p50 = median(rounds.map(({ receiver }) => receiver.latency.p50));
  const p99s = rounds.map(({ receiver }) => receiver.latency.p99);
  const p99 = median(p99s);
  const ack = median(rounds.map(({ load }) => load.ack.p50));
  const lost = rounds.reduce((sum, round) => sum + round.lost, 0);
  return [
    { scenario, what: 'POST to arrival, p50', value: p50, text: ms(p50), target: ['≤ 5 ms', p50 <= 5] },
    {
      ...{ scenario, what: 'POST to arrival, p99', value: p99, text: ms(p99), target: ['≤ 25 ms', p99 <= 25] },
      beside: `median of ${p99s.map((each) => each.toFixed(1)).join(', ')}`,
    },
    { scenario, what: 'POST to 202, p50', value: ack, text: ms(ack) },
    {
      ...{ scenario, what: 'fdatasync of the same disk, p99', value: disk.p99, text: ms(disk.p99) },
      beside: `alone, right before: p50 ${ms(disk.p50)}, max ${ms(disk.max)}`,
    },
    zero(scenario, 'lost', lost),
  ];
}

function historyRows({ ended, pending, claim, claimed, ingestRatio }: PostgresHistory): Row[] {
  const scenario = `history of ${count(ended)}, ${count(pending)} pending`;
  const change = (ingestRatio - 1) * 100;
  return [
    {
      ...{ scenario, what: 'claim, p99', value: claim.p99, text: ms(claim.p99), target: ['≤ 20 ms', claim.p99 <= 20] },
      beside: `p50 ${ms(claim.p50)}, max ${ms(claim.max)}; ${claimed.toFixed(0)} deliveries each`,
    },
    {
      ...{
        scenario,
        what: 'ingest against empty',
        value: change,
        text: `${change < 0 ? '−' : '+'}${Math.abs(change).toFixed(1)} %`,
      },
      target: ['> −15 %', change > -15],
    },
  ];
}

function retentionRows({ rows, rounds }: Retention): Row[] {
  const scenario = `retention of ${count(rows)} rows`;
  const times = (of: 'accept' | 'settle'): Row => {
    const ratios = rounds.map(({ beside, without }) => beside[of].p99 / without[of].p99);
    const value = median(ratios);
    const text = `${value.toFixed(2)}×`;
    const all = ratios.map((ratio) => ratio.toFixed(2)).join(', ');
    const target: Row['target'] = ['≤ 2×', value <= 2];
    return { scenario, what: `${of}, p99 beside it`, value, text, target, beside: `median of ${all}` };
  };
  const seconds = Math.max(...rounds.map((round) => round.seconds));
  return [
    {
      ...{ scenario, what: 'time', value: seconds, text: `${seconds.toFixed(2)} s`, target: ['≤ 1 s', seconds <= 1] },
      beside: `the longest of ${rounds.length}`,
    },
    times('accept'),
    times('settle'),
  ];
}

function backlogRows({ deliveries, answerAfterMs, aloneSeconds, togetherSeconds, doubled }: Backlog): Row[] {
  const scenario = `backlog of ${count(deliveries)}, answers after ${answerAfterMs} ms`;
  const share = togetherSeconds / aloneSeconds;
  return [
    { scenario, what: 'one node', value: aloneSeconds, text: `${aloneSeconds.toFixed(0)} s` },
    {
      ...{
        scenario,
        what: 'with a second from the start',
        value: togetherSeconds,
        text: `${togetherSeconds.toFixed(0)} s`,
      },
      ...{ target: ['half', share <= 0.6], beside: `${(share * 100).toFixed(0)} % of the time` },
    },
    zero(scenario, 'sent twice', doubled),
  ];
}

function zero(scenario: string, what: string, value: number): Row {
  return { scenario, what, value, text: count(value), target: ['0', value === 0] };
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function rate(value: number): string {
  return `${count(value)}/s`;
}

function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}
