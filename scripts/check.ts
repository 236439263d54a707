// Everything that is checked without running the product: `npm run check`, and the first half of `npm test`.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** Slowest first, so that the pool of two ends soonest. Each is a Node script and its arguments. */
const checks: Record<string, readonly string[]> = {
  lint: ['node_modules/eslint/bin/eslint.js', '.', '--max-warnings=0'],
  types: ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'],
  'types of the SDK': ['node_modules/typescript/bin/tsc', '-p', 'sdk/typescript/tsconfig.json'],
  format: ['node_modules/prettier/bin/prettier.cjs', '--check', '--cache', '--log-level=warn', '.'],
  generated: ['scripts/generate.ts', '--check'],
  imports: ['scripts/check-imports.ts'],
};

/**
 * Runs every check, also after one failed, and prints one line for each with the output of those that failed.
 * @returns how many passed and how many failed
 */
export async function runChecks(): Promise<{ passed: number; failed: number }> {
  const waiting = Object.keys(checks);
  const tally = { passed: 0, failed: 0 };
  async function work(): Promise<void> {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const ok = await runCheck(name, checks[name] ?? []);
      tally[ok ? 'passed' : 'failed']++;
    }
  }
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
  return tally;
}

function runCheck(name: string, argv: readonly string[]): Promise<boolean> {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      console.log(`${code === 0 ? '✓' : '✗'} ${name} (${seconds} s)`);
      if (code !== 0) console.log(output.trimEnd().replace(/^/gm, '    '));
      resolve(code === 0);
    });
  });
}

if (import.meta.main) {
  const { failed } = await runChecks();
  process.exitCode = failed > 0 ? 1 : 0;
}
