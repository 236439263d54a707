// `npm run bench -- postgres`-like measurements on PostgreSQL: `node bench/postgres.ts [options]`. One node and two, a backlog,
// a long history. Prints the table, writes bench/results/postgres.json where it was a full run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Finding } from './findings.ts';
import { describeMachine } from './machine.ts';
import { writePage } from './page.ts';
import { measureBacklog } from './postgres/backlog.ts';
import { postgresFindings } from './postgres/findings.ts';
import type { PostgresResults } from './postgres/findings.ts';
import { measureHistory } from './postgres/history.ts';
import { measureRetention } from './postgres/retention.ts';
import { measureLatency, measureSaturation } from './postgres/throughput.ts';
import { endAll, onInterrupt } from './processes.ts';
import { table } from './table.ts';

const NAMES = ['throughput', 'nodes', 'latency', 'history', 'retention', 'backlog'] as const;

const help = `Measures Posthorn on PostgreSQL: server, nodes, load and receivers on this machine.

Usage: node bench/postgres.ts [options]

  --only LIST      of ${NAMES.join(', ')} (default: all)
  --seconds N      length of each saturation run (30)
  --connections N  connections of each load generator at saturation (128)
  --rate N         events a second of the latency run (1000)
  --backlog N      deliveries of the backlog (500000)
  --answer N       ms that its receiver takes for an answer (300)
  --ended N        deliveries of the history (5000000)
  --pending N      deliveries that wait beside it (1000000)
  --rows N         rows that retention drops (1000000)
  --dir FOLDER     where the data lies (the system's temporary folder); in memory nothing waits for a disk
  --profile        write CPU profiles of the Posthorn processes to bench/results/*.cpuprofile
  --help           this text
`;

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    ...{
      only: text,
      seconds: text,
      connections: text,
      rate: text,
      backlog: text,
      answer: text,
      ended: text,
      pending: text,
      rows: text,
    },
    ...{ dir: text, profile: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  },
});
const number = (value: string | undefined, byDefault: number): number =>
  value === undefined ? byDefault : Number(value);
const only = values.only?.split(',') ?? [...NAMES];
const seconds = number(values.seconds, 30);
const connections = number(values.connections, 128);
const workDir = values.dir ?? null;
const resultsDir = join(import.meta.dirname, 'results');
const profileDir = values.profile === true ? resultsDir : null;

async function run(): Promise<void> {
  const results: PostgresResults = {
    at: new Date().toISOString(),
    machine: describeMachine(workDir),
    ...{ seconds, connections },
    throughput: [],
    latency: null,
    backlog: null,
    history: null,
    retention: null,
  };
  const shapes = [
    ...(only.includes('throughput')
      ? ([
          [1, 1, 1],
          [1, 10, 1],
        ] as const)
      : []),
    // In turns, since the machine has good and bad minutes, and with the same two load generators and receivers.
    ...(only.includes('nodes')
      ? ([
          [1, 1, 2],
          [2, 1, 2],
          [2, 1, 2],
          [1, 1, 2],
          [1, 1, 2],
          [2, 1, 2],
        ] as const)
      : []),
  ];
  for (const [nodes, fanOut, ends] of shapes) {
    const measured = await measureSaturation({ nodes, ends, fanOut, seconds, connections, workDir, profileDir });
    results.throughput.push(measured);
    tell(`${nodes} node(s), fan-out ${fanOut}: ${Math.round(measured.deliveriesPerSecond)}/s`);
  }
  const ratePerSecond = number(values.rate, 1_000);
  if (only.includes('latency')) {
    results.latency = await measureLatency({ ratePerSecond, seconds: Math.min(10, seconds), workDir });
    tell('latency');
  }
  if (only.includes('history')) {
    results.history = await measureHistory({
      ended: number(values.ended, 5_000_000),
      pending: number(values.pending, 1_000_000),
      workDir,
    });
    tell('history');
  }
  if (only.includes('retention')) {
    results.retention = await measureRetention({ rows: number(values.rows, 1_000_000), workDir });
    tell('retention');
  }
  if (only.includes('backlog')) {
    const answerAfterMs = number(values.answer, 300);
    results.backlog = await measureBacklog({ deliveries: number(values.backlog, 500_000), answerAfterMs, workDir });
    tell('backlog');
  }
  const findings: Finding[] = postgresFindings(results);
  const isFull =
    NAMES.every((name) => only.includes(name)) &&
    seconds >= 30 &&
    values.backlog === undefined &&
    values.ended === undefined;
  mkdirSync(resultsDir, { recursive: true });
  writeFileSync(
    join(resultsDir, isFull ? 'postgres.json' : 'partial.tmp.json'),
    `${JSON.stringify(results, null, 2)}\n`,
  );
  if (isFull) writePage();
  console.log(table(findings));
}

function tell(line: string): void {
  console.error(line);
}

if (values.help === true) console.log(help);
else {
  onInterrupt(() => void endAll(3_000).then(() => process.exit(130)));
  try {
    await run();
  } finally {
    await endAll(3_000);
  }
}
