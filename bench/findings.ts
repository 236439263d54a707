import type { CeilingReport } from './ceilings/dispatch.ts';
import type { Measurement } from './drive.ts';
import { median } from './histogram.ts';
import type { Percentiles } from './histogram.ts';
import type { Results } from './results.ts';
import type { Baseline } from './scenarios/baseline.ts';
import type { Ceilings } from './scenarios/ceilings.ts';
import type { History } from './scenarios/history.ts';
import type { Idle } from './scenarios/idle.ts';
import type { Start } from './scenarios/start.ts';
import type { Throughput } from './scenarios/throughput.ts';

/** One line of the table: what was measured, what it had to be. */
export interface Finding {
  scenario: string;
  what: string;
  value: number;
  /** The value as people read it. */
  text: string;
  target: string | null;
  /** Beside the ceilings and the baseline of the same run; null where there is nothing to hold it against. */
  beside: string | null;
  /** Null without a target. */
  ok: boolean | null;
}

interface Target {
  text: string;
  met(value: number): boolean;
}

const atLeast = (limit: number, unit: string): Target => ({
  text: `≥ ${count(limit)}${unit}`,
  met: (value) => value >= limit,
});
const atMost = (limit: number, unit: string): Target => ({
  text: `≤ ${count(limit)}${unit}`,
  met: (value) => value <= limit,
});
const none: Target = { text: '0', met: (value) => value === 0 };

/** What Posthorn promises on two cores with load generator and receiver beside it (the history ratios: within 15 %). */
export const targets = {
  fanOut1: atLeast(10_000, '/s'),
  fanOut10: atLeast(20_000, '/s'),
  timesBaseline: atLeast(5, '×'),
  latencyP50: atMost(3, ' ms'),
  latencyP99: atMost(12, ' ms'),
  rss: atMost(300, ' MB'),
  start: atMost(1000, ' ms'),
  idle: { text: '< 1 %', met: (value: number) => value < 1 },
  history: { text: '> −15 %', met: (change: number) => change > -15 },
  none,
};

/** The table of a run: pure, so that a stored run can be shown again. */
export function findingsOf(results: Results): Finding[] {
  const baseline = best(results.baseline);
  return [
    ...ceilingFindings(results.ceilings),
    ...(baseline === null ? [] : baselineFindings(baseline)),
    ...results.throughput.flatMap((run) => throughputFindings(run, ceilingOf(results), baseline)),
    ...(results.latency === null ? [] : latencyFindings(results.latency, results.options.ratePerSecond)),
    ...(results.start === null ? [] : startFindings(results.start)),
    ...(results.idle === null ? [] : idleFindings(results.idle)),
    ...(results.history === null ? [] : historyFindings(results.history)),
  ];
}

type Row = Pick<Finding, 'what' | 'value' | 'text'> & { target?: Target; beside?: string | null };

function rows(scenario: string, entries: readonly (Row | null)[]): Finding[] {
  const present = entries.filter((entry) => entry !== null);
  return present.map(({ what, value, text, target, beside }) => {
    return {
      scenario,
      what,
      value,
      text,
      target: target?.text ?? null,
      beside: beside ?? null,
      ok: target?.met(value) ?? null,
    };
  });
}

function ceilingFindings(ceilings: readonly Ceilings[]): Finding[] {
  function row(what: string, runs: readonly CeilingReport[]): Row | null {
    const top = runs.toSorted((a, b) => b.perSecond - a.perSecond)[0];
    if (top === undefined) return null;
    return { what, value: top.perSecond, text: rate(top.perSecond), beside: `${us(top.cpuUsPerDelivery)} CPU each` };
  }
  const dispatch = row(
    'bare dispatch',
    ceilings.map((run) => run.dispatch),
  );
  return rows('ceiling', [
    dispatch,
    row(
      'bare commits',
      ceilings.map((run) => run.commit),
    ),
  ]);
}

function baselineFindings(run: Baseline): Finding[] {
  const value = run.deliveriesPerSecond;
  return rows('baseline', [{ what: 'pg-boss + fetch', value, text: rate(value), beside: costs(run) }]);
}

function throughputFindings(run: Throughput, ceiling: number | null, baseline: Baseline | null): Finding[] {
  const { deliveriesPerSecond: value, shape, rssPeakBytes, recorded, load } = run;
  const fansOut = shape.types === 'one' && shape.endpoints > 1;
  const times = baseline === null ? null : value / baseline.deliveriesPerSecond;
  const refused = load.sent - load.accepted;
  return rows(nameOf(run), [
    {
      what: 'deliveries',
      value,
      text: rate(value),
      target: fansOut ? targets.fanOut10 : targets.fanOut1,
      beside: ceiling === null ? null : `${percent(value / ceiling)} of the ceiling`,
    },
    times === null || shape.endpoints > 1
      ? null
      : { what: 'against the baseline', value: times, text: `${times.toFixed(1)}×`, target: targets.timesBaseline },
    rssPeakBytes === null
      ? null
      : { ...megabytes('memory at its peak', rssPeakBytes), target: targets.rss, beside: costs(run) },
    refused === 0 ? null : { ...number('not accepted', refused), beside: JSON.stringify(load.statuses) },
    { ...number('lost', run.lost), target: targets.none, beside: `of ${count(run.expected)}` },
    { ...number('sent twice', run.doubled), target: targets.none },
    recorded === null ? null : { ...number('not recorded', run.receiver.distinct - recorded), target: targets.none },
  ]);
}

function latencyFindings({ receiver, load, lost, expected }: Measurement, ratePerSecond: number): Finding[] {
  const { latency } = receiver;
  return rows(`latency at ${count(ratePerSecond)}/s`, [
    { ...milliseconds('POST to arrival, p50', latency.p50), target: targets.latencyP50, beside: spread(latency) },
    { ...milliseconds('POST to arrival, p99', latency.p99), target: targets.latencyP99 },
    { ...milliseconds('POST to 202, p50', load.ack.p50), beside: spread(load.ack) },
    { ...milliseconds('generator late, p99', load.lateness.p99), beside: 'contained in the above' },
    { ...number('lost', lost), target: targets.none, beside: `of ${count(expected)}` },
  ]);
}

function startFindings({ medianMs, firstAcceptedMs }: Start): Finding[] {
  const beside = `slowest ${count(Math.max(...firstAcceptedMs))} ms`;
  const text = `${count(medianMs)} ms`;
  return rows('start', [{ what: 'process start to first 202', value: medianMs, text, target: targets.start, beside }]);
}

function idleFindings({ cpuPercent, rssBytes }: Idle): Finding[] {
  return rows('idle', [
    cpuPercent === null
      ? null
      : { what: 'CPU, of one core', value: cpuPercent, text: `${cpuPercent.toFixed(2)} %`, target: targets.idle },
    rssBytes === null ? null : megabytes('memory', rssBytes),
  ]);
}

function historyFindings({ ingestRatio, claimRatio, deliveries, empty }: History): Finding[] {
  function row(what: string, ratio: number, emptyRates: number[]): Row {
    const change = (ratio - 1) * 100;
    const text = `${change < 0 ? '−' : '+'}${Math.abs(change).toFixed(1)} %`;
    return { what, value: change, text, target: targets.history, beside: `empty store ${rate(median(emptyRates))}` };
  }
  return rows(`history of ${count(deliveries)}`, [
    row(
      'ingest rate',
      ingestRatio,
      empty.map((round) => round.ingestPerSecond),
    ),
    row(
      'claim rate',
      claimRatio,
      empty.map((round) => round.claimPerSecond),
    ),
  ]);
}

function nameOf({ shape }: Throughput): string {
  if (shape.types === 'each') return `${shape.endpoints} endpoints, a type each`;
  return `fan-out ${shape.endpoints}`;
}

/** Sending and committing both have to be done, so the slower of the two bounds a delivery. */
function ceilingOf({ ceilings }: Results): number | null {
  if (ceilings.length === 0) return null;
  return Math.max(...ceilings.map(({ dispatch, commit }) => Math.min(dispatch.perSecond, commit.perSecond)));
}

/** Of several runs the baseline's best counts. */
function best(runs: readonly Baseline[]): Baseline | null {
  return runs.toSorted((a, b) => b.deliveriesPerSecond - a.deliveriesPerSecond)[0] ?? null;
}

function costs({ cpuUsPerDelivery: cpu }: Throughput | Baseline): string | null {
  return cpu.sender === null ? null : `${us(cpu.sender)} CPU a delivery`;
}

function spread({ p90, p99, max }: Percentiles): string {
  return `p90 ${p90.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(1)}`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
function rate(value: number): string {
  return `${count(value)}/s`;
}
function us(value: number): string {
  return `${value.toFixed(1)} µs`;
}
function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function number(what: string, value: number): Row {
  return { what, value, text: count(value) };
}
function milliseconds(what: string, value: number): Row {
  return { what, value, text: `${value.toFixed(2)} ms` };
}
function megabytes(what: string, bytes: number): Row {
  return { what, value: bytes / 1e6, text: `${count(bytes / 1e6)} MB` };
}
