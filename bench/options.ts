import { parseArgs } from 'node:util';

export const scenarioNames = ['ceilings', 'start', 'throughput', 'baseline', 'latency', 'idle', 'history'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface Options {
  only: readonly ScenarioName[];
  /** Of each saturation run. */
  seconds: number;
  connections: number;
  ratePerSecond: number;
  latencySeconds: number;
  baselineSeconds: number;
  ceilingSeconds: number;
  idleSeconds: number;
  /** Finished deliveries that the full store of `history` holds. */
  history: number;
  /** Parent of the data folders; null = the system's place for temporary files. */
  workDir: string | null;
  /** Where the JSON goes; null = latest.json for a full run, partial.tmp.json for any other. */
  out: string | null;
  json: boolean;
  profile: boolean;
}

export const help = `Measures Posthorn on this machine: load generator, receiver and the whole path in one run.

Usage: npm run bench -- [options]          (or: node bench/main.ts [options])

  --only LIST         of ${scenarioNames.join(', ')} (default: all)
  --seconds N         length of each saturation run (60)
  --connections N     connections of the load generator at saturation (64)
  --rate N            events a second of the latency run (2000)
  --history N         finished deliveries in the full store (1000000)
  --quick             everything short: to see that it runs, not to quote
  --dir FOLDER        where the stores lie while measured (the system's temporary folder; must be a real disk)
  --out FILE          where the JSON goes (bench/results/latest.json for a full run,
                      bench/results/partial.tmp.json for any other)
  --profile           write CPU profiles of the Posthorn process to bench/results/*.cpuprofile
  --json              print the JSON instead of the table
  --help              this text

Examples:
  npm run bench                                          the full run, some ten minutes
  npm run bench -- --quick                               does everything work?
  npm run bench -- --only throughput --seconds 10
  npm run bench -- --only throughput,baseline,ceilings   for ratios on another machine
  npm run bench -- --only throughput --seconds 15 --profile
  npm run bench -- --only latency --rate 500 --json
`;

/** The command line was wrong; the message says how. */
export class UsageError extends Error {}

/** @returns the options, or `help` where that was asked; throws {@link UsageError} */
export function parseOptions(argv: string[]): Options | 'help' {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  let values;
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        only: text,
        seconds: text,
        connections: text,
        rate: text,
        history: text,
        dir: text,
        out: text,
        quick: flag,
        profile: flag,
        json: flag,
        help: { ...flag, short: 'h' },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) return 'help';
  const quick = values.quick === true;
  const seconds = positive('--seconds', values.seconds, quick ? 5 : 60);
  return {
    only: values.only === undefined ? scenarioNames : values.only.split(',').map(scenarioName),
    seconds,
    connections: positive('--connections', values.connections, 64),
    ratePerSecond: positive('--rate', values.rate, 2000),
    latencySeconds: Math.min(20, seconds),
    baselineSeconds: Math.min(20, seconds),
    ceilingSeconds: Math.min(5, seconds),
    idleSeconds: quick ? 3 : 10,
    history: positive('--history', values.history, quick ? 20_000 : 1_000_000),
    workDir: values.dir ?? null,
    out: values.out ?? null,
    json: values.json === true,
    profile: values.profile === true,
  };
}

/** True where every scenario ran as long as the numbers in the docs ask for. */
export function isFullRun(options: Options): boolean {
  const all = scenarioNames.every((name) => options.only.includes(name));
  return (
    all && !options.profile && options.seconds >= 60 && options.history >= 1_000_000 && options.ratePerSecond === 2000
  );
}

function positive(name: string, text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`${name} takes a whole number above 0, not ${text}`);
  return value;
}

function scenarioName(text: string): ScenarioName {
  const name = scenarioNames.find((known) => known === text.trim());
  if (name === undefined) throw new UsageError(`--only knows ${scenarioNames.join(', ')}, not ${text}`);
  return name;
}
