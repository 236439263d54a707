import type { Bench } from '../drive.ts';
import type { Options } from '../options.ts';

/** What a scenario works with. */
export interface Context {
  bench: Bench;
  options: Options;
  /** Folder for CPU profiles of the Posthorn process, or null. */
  profileDir: string | null;
}

export const DATA_BYTES = 300;

export function eventTypes(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `bench.t${i}`);
}
