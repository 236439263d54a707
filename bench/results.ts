import type { Machine } from './machine.ts';
import type { Measurement } from './drive.ts';
import type { Options } from './options.ts';
import type { Baseline } from './scenarios/baseline.ts';
import type { Ceilings } from './scenarios/ceilings.ts';
import type { History } from './scenarios/history.ts';
import type { Idle } from './scenarios/idle.ts';
import type { Start } from './scenarios/start.ts';
import type { Throughput } from './scenarios/throughput.ts';

/** Everything one run measured, as its JSON has it (with the findings beside it). */
export interface Results {
  /** ISO 8601, the run's begin. */
  at: string;
  version: string;
  /** Long enough and complete: the only kind that is quoted. */
  full: boolean;
  machine: Machine;
  options: Options;
  ceilings: Ceilings[];
  baseline: Baseline[];
  throughput: Throughput[];
  latency: Measurement | null;
  start: Start | null;
  idle: Idle | null;
  history: History | null;
  /** Scenarios that broke off, and why. */
  failures: { scenario: string; message: string }[];
}
