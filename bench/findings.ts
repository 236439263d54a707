import type { CeilingReport } from './ceilings/dispatch.ts';
import type { Percentiles } from './histogram.ts';
import type { Results } from './results.ts';
import type { Baseline } from './scenarios/baseline.ts';
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
  const ceiling = ceilingOf(results);
  const baseline = best(results.baseline);
  const rows: Finding[] = [];
  function add(
    scenario: string,
    what: string,
    value: number | null,
    text: string,
    target?: Target,
    beside?: string | null,
  ) {
    if (value === null) return;
    const ok = target === undefined ? null : target.met(value);
    rows.push({ scenario, what, value, text, target: target?.text ?? null, beside: beside ?? null, ok });
  }

  for (const [key, what] of [
    ['dispatch', 'bare dispatch'],
    ['commit', 'bare commits'],
  ] as const) {
    const top = fastest(results.ceilings.map((run) => run[key]));
    if (top !== null)
      add('ceiling', what, top.perSecond, rate(top.perSecond), undefined, `${us(top.cpuUsPerDelivery)} CPU each`);
  }
  if (baseline !== null) {
    add(
      'baseline',
      'pg-boss + fetch',
      baseline.deliveriesPerSecond,
      rate(baseline.deliveriesPerSecond),
      undefined,
      costs(baseline),
    );
  }
  for (const run of results.throughput) {
    const scenario = nameOf(run);
    const target = run.shape.types === 'one' && run.shape.endpoints > 1 ? targets.fanOut10 : targets.fanOut1;
    const beside = ceiling === null ? null : `${percent(run.deliveriesPerSecond / ceiling)} of the ceiling`;
    add(scenario, 'deliveries', run.deliveriesPerSecond, rate(run.deliveriesPerSecond), target, beside);
    if (baseline !== null && run.shape.endpoints === 1) {
      const times = run.deliveriesPerSecond / baseline.deliveriesPerSecond;
      add(scenario, 'against the baseline', times, `${times.toFixed(1)}×`, targets.timesBaseline);
    }
    const megabytes = run.rssPeakBytes === null ? null : run.rssPeakBytes / 1e6;
    add(scenario, 'memory at its peak', megabytes, `${count(megabytes ?? 0)} MB`, targets.rss, costs(run));
    add(scenario, 'lost', run.lost, count(run.lost), targets.none, `of ${count(run.expected)}`);
    add(scenario, 'sent twice', run.doubled, count(run.doubled), targets.none);
    const unrecorded = run.recorded === null ? null : run.receiver.distinct - run.recorded;
    add(scenario, 'not recorded', unrecorded, count(unrecorded ?? 0), targets.none);
  }
  if (results.latency !== null) {
    const { receiver, load, lost } = results.latency;
    const scenario = `latency at ${count(results.options.ratePerSecond)}/s`;
    add(
      scenario,
      'POST to arrival, p50',
      receiver.latency.p50,
      ms(receiver.latency.p50),
      targets.latencyP50,
      spread(receiver.latency),
    );
    add(scenario, 'POST to arrival, p99', receiver.latency.p99, ms(receiver.latency.p99), targets.latencyP99);
    add(scenario, 'POST to 202, p50', load.ack.p50, ms(load.ack.p50), undefined, spread(load.ack));
    add(scenario, 'generator late, p99', load.lateness.p99, ms(load.lateness.p99), undefined, 'contained in the above');
    add(scenario, 'lost', lost, count(lost), targets.none, `of ${count(results.latency.expected)}`);
  }
  if (results.start !== null) {
    const { medianMs, firstAcceptedMs } = results.start;
    add(
      'start',
      'process start to first 202',
      medianMs,
      `${count(medianMs)} ms`,
      targets.start,
      `slowest ${count(Math.max(...firstAcceptedMs))} ms`,
    );
  }
  if (results.idle !== null) {
    const { cpuPercent, rssBytes } = results.idle;
    const memory = rssBytes === null ? null : `${count(rssBytes / 1e6)} MB`;
    add('idle', 'CPU, of one core', cpuPercent, `${(cpuPercent ?? 0).toFixed(2)} %`, targets.idle, memory);
  }
  if (results.history !== null) {
    const { ingestRatio, claimRatio, deliveries, empty } = results.history;
    const scenario = `history of ${count(deliveries)}`;
    for (const [what, share, key] of [
      ['ingest', ingestRatio, 'ingestPerSecond'],
      ['claim', claimRatio, 'claimPerSecond'],
    ] as const) {
      const change = (share - 1) * 100;
      const ofEmpty = empty.map((round) => round[key]).sort((a, b) => a - b)[empty.length >> 1] ?? 0;
      add(
        scenario,
        `${what} rate`,
        change,
        `${change >= 0 ? '+' : '−'}${Math.abs(change).toFixed(1)} %`,
        targets.history,
        `empty store ${rate(ofEmpty)}`,
      );
    }
  }
  return rows;
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

function fastest(runs: readonly CeilingReport[]): CeilingReport | null {
  return runs.toSorted((a, b) => b.perSecond - a.perSecond)[0] ?? null;
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
function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}
function us(value: number): string {
  return `${value.toFixed(1)} µs`;
}
function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
