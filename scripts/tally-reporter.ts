// A Vitest reporter that says nothing and writes the counts of a run to the file named in POSTHORN_TEST_TALLY.
import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

/** How many tests ended how; a todo counts as skipped, one that never ended as failed. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
    for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
      const { state } = test.result();
      tally[state === 'pending' ? 'failed' : state]++;
    }
    const file = process.env.POSTHORN_TEST_TALLY;
    if (file !== undefined) writeFileSync(file, JSON.stringify(tally));
  }
}
