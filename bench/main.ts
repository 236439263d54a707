// `npm run bench`: runs the scenarios one after the other, prints the table, writes the JSON.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startBench } from './drive.ts';
import { findingsOf } from './findings.ts';
import { describeMachine, warningsFor } from './machine.ts';
import { UsageError, help, isFullRun, parseOptions } from './options.ts';
import type { Options, ScenarioName } from './options.ts';
import { writePage } from './page.ts';
import { endAll, onInterrupt } from './processes.ts';
import type { Results } from './results.ts';
import { measureBaseline } from './scenarios/baseline.ts';
import { measureCeilings } from './scenarios/ceilings.ts';
import { measureHistory } from './scenarios/history.ts';
import { measureIdle } from './scenarios/idle.ts';
import { measureLatency } from './scenarios/latency.ts';
import type { Context } from './scenarios/scenario.ts';
import { measureStart } from './scenarios/start.ts';
import { measureThroughput } from './scenarios/throughput.ts';
import { table } from './table.ts';

const resultsDir = join(import.meta.dirname, 'results');

interface Step {
  name: ScenarioName;
  title: string;
  run(context: Context, results: Results): Promise<void>;
}

const ceilings: Step = {
  name: 'ceilings',
  title: 'ceilings: bare dispatch, bare commits',
  run: async (context, results) => void results.ceilings.push(await measureCeilings(context)),
};
const baseline: Step = {
  name: 'baseline',
  title: 'baseline: pg-boss + fetch on PostgreSQL',
  run: async (context, results) => void results.baseline.push(await measureBaseline(context)),
};
function throughput(title: string, endpoints: number, types: 'one' | 'each'): Step {
  return {
    name: 'throughput',
    title: `throughput: ${title}`,
    run: async (context, results) =>
      void results.throughput.push(await measureThroughput(context, { endpoints, types })),
  };
}

/** What is held against each other runs close together, and the yardsticks twice, so that a machine that slows down shows. */
const steps: readonly Step[] = [
  {
    name: 'start',
    title: 'start',
    run: async (context, results) => void (results.start = await measureStart(context)),
  },
  ceilings,
  throughput('one endpoint', 1, 'one'),
  baseline,
  throughput('ten endpoints, a type each', 10, 'each'),
  ceilings,
  throughput('fan-out 10', 10, 'one'),
  baseline,
  {
    name: 'latency',
    title: 'latency',
    run: async (context, results) => void (results.latency = await measureLatency(context)),
  },
  { name: 'idle', title: 'idle', run: async (context, results) => void (results.idle = await measureIdle(context)) },
  {
    name: 'history',
    title: 'history: an empty store beside a full one',
    run: async (context, results) => void (results.history = await measureHistory(context)),
  },
];

async function run(options: Options): Promise<number> {
  let interrupted = false;
  const machine = describeMachine(options.workDir);
  const results: Results = {
    at: new Date().toISOString(),
    version: (JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as { version: string })
      .version,
    full: isFullRun(options),
    machine,
    options,
    ...{
      ceilings: [],
      baseline: [],
      throughput: [],
      latency: null,
      start: null,
      idle: null,
      history: null,
      failures: [],
    },
  };
  for (const warning of warningsFor(machine)) tell(warning);
  onInterrupt(() => {
    interrupted = true;
    tell('Interrupted: ending every process…');
    void endAll(3000);
  });
  mkdirSync(resultsDir, { recursive: true });
  try {
    const bench = await startBench();
    const context = { bench, options, profileDir: options.profile ? resultsDir : null };
    const chosen = steps.filter(({ name }) => options.only.includes(name));
    for (const [i, step] of chosen.entries()) {
      if (interrupted) break;
      const startedAt = performance.now();
      try {
        await step.run(context, results);
        tell(`${i + 1}/${chosen.length}  ${step.title} (${((performance.now() - startedAt) / 1000).toFixed(0)} s)`);
      } catch (error) {
        if (interrupted) break;
        const message = error instanceof Error ? error.message : String(error);
        tell(`${i + 1}/${chosen.length}  ${step.title} broke off: ${message}`);
        results.failures.push({ scenario: step.title, message });
        // What it started would disturb the next one; the two ends go with it and come back.
        await endAll(3000);
        Object.assign(bench, await startBench());
      }
    }
  } finally {
    await endAll(3000);
  }
  if (interrupted) return 130;
  return report(results);
}

function report(results: Results): number {
  const findings = findingsOf(results);
  const json = JSON.stringify({ ...results, findings }, shorten, 2) + '\n';
  const file = results.options.out ?? join(resultsDir, results.full ? 'latest.json' : 'partial.tmp.json');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, json);
  if (results.full && results.options.out === null) writePage();
  console.log(results.options.json ? json.trimEnd() : `\n${table(findings)}\n\nWritten to ${file}`);
  const lost = findings.some(({ what, value }) => what === 'lost' && value > 0);
  return lost || results.failures.length > 0 ? 1 : 0;
}

/** Lists of sequence numbers are for the run alone, and no one reads a tenth of a microsecond. */
function shorten(key: string, value: unknown): unknown {
  if (key === 'refused' && Array.isArray(value)) return value.length;
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}

function tell(text: string): void {
  console.error(text);
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') console.log(help);
  else process.exitCode = await run(options);
} catch (error) {
  const usage = error instanceof UsageError;
  console.error(usage ? `${error.message}; see --help` : error);
  process.exitCode = usage ? 2 : 1;
}
