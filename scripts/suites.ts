// The tests that are not Vitest's: the Python and Go packages, the recipes for other languages, the fuzzer. Each gets a
// Posthorn of its own, in a process that reaches nothing but this machine.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loopbackOnly, startProcess } from '../test/e2e/process.ts';
import { runFuzzer } from './fuzz.ts';
import { runGoTests } from './go.ts';
import { runPythonTests, type TestServer } from './python.ts';
import { runRecipes } from './recipes.ts';

export interface SuiteTally {
  passed: number;
  failed: number;
  skipped: number;
}

const suites: Record<string, (server: TestServer) => SuiteTally | Promise<SuiteTally>> = {
  python: runPythonTests,
  go: runGoTests,
  recipes: runRecipes,
  fuzz: runFuzzer,
};

/** Runs every suite, or those named, one after the other, and prints one line for each. */
export async function runSuites(names: readonly string[] = Object.keys(suites)): Promise<SuiteTally> {
  const sum: SuiteTally = { passed: 0, failed: 0, skipped: 0 };
  for (const name of names) {
    const startedAt = performance.now();
    const data = mkdtempSync(join(tmpdir(), 'posthorn-suite-'));
    const posthorn = await startProcess(data, ['--log-level', 'error'], loopbackOnly);
    try {
      const tally = await suites[name]!({ url: posthorn.client.base, key: 'dev-api-key-local' });
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
      const line = `${name}: ${tally.passed} passed, ${tally.failed} failed${skipped} (${seconds} s)`;
      console.log(`${tally.failed === 0 ? '✓' : '✗'} ${line}`);
      for (const kind of ['passed', 'failed', 'skipped'] as const) sum[kind] += tally[kind];
    } finally {
      await posthorn.end('SIGTERM');
      rmSync(data, { recursive: true, force: true });
    }
  }
  return sum;
}

if (import.meta.main) {
  const names = process.argv.slice(2);
  const unknown = names.find((name) => !Object.hasOwn(suites, name));
  if (unknown !== undefined) {
    console.error(`There is no suite ${unknown}; choose from ${Object.keys(suites).join(', ')}.`);
    process.exitCode = 2;
  } else {
    const { failed } = await runSuites(names.length > 0 ? names : undefined);
    process.exitCode = failed > 0 ? 1 : 0;
  }
}
