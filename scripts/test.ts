// `npm test`: every check, then every test, then the suites of other languages. With arguments they go to Vitest, and the
// rest is skipped.
// The last line is always `N passed, N failed`, checks counted in, for a machine to read.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runChecks } from './check.ts';
import { runSuites } from './suites.ts';
import type { Tally } from './tally-reporter.ts';

const root = join(import.meta.dirname, '..');
const filters = process.argv.slice(2);

const checks = filters.length === 0 ? await runChecks() : { passed: 0, failed: 0 };
const tests = runTests();
const suites = filters.length === 0 ? await runSuites() : { passed: 0, failed: 0, skipped: 0 };

const passed = checks.passed + tests.passed + suites.passed;
const failed = checks.failed + tests.failed + suites.failed;
const skipped = tests.skipped + suites.skipped;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;

function runTests(): Tally {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-test-'));
  const file = join(folder, 'tally.json');
  const reporters = ['--reporter=default', `--reporter=${join(root, 'scripts/tally-reporter.ts')}`];
  const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...filters];
  try {
    const env = { ...process.env, POSTHORN_TEST_TALLY: file };
    const { status } = spawnSync(process.execPath, vitest, { cwd: root, env, stdio: 'inherit' });
    const tally = readTally(file);
    // A file that does not load, an unhandled rejection or a crash fails the run without failing a test.
    if (status !== 0 && tally.failed === 0) tally.failed = 1;
    return tally;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readTally(file: string): Tally {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Tally;
  } catch {
    // Vitest did not get as far as its end.
    return { passed: 0, failed: 0, skipped: 0 };
  }
}
