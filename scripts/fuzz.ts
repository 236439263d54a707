// Schemathesis against a running Posthorn: what the OpenAPI document says, asked for in every wrong and right way. Nothing
// may answer with a 5xx, or in a way that the document does not describe.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { preparePython, type TestServer } from './python.ts';

const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
  'unsupported_method',
  'ignored_auth',
  'use_after_free',
];

/**
 * One test for each operation. The same seed makes the same requests; POSTHORN_TEST_SEED gives another,
 * POSTHORN_TEST_EXAMPLES more of them.
 */
export function runFuzzer({ url, key }: TestServer): { passed: number; failed: number; skipped: number } {
  const { POSTHORN_TEST_SEED: seed = '1', POSTHORN_TEST_EXAMPLES: examples = '15' } = process.env;
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-fuzz-'));
  const report = join(folder, 'junit.xml');
  try {
    const schemathesis = join(dirname(preparePython()), 'schemathesis');
    const argv = ['run', `${url}/openapi.json`, '--checks', checks.join(','), '--seed', seed, '-n', examples];
    const phases = ['--phases', 'examples,coverage,fuzzing', '--workers', '1', '--continue-on-failure'];
    const keys = ['-H', `Authorization: Bearer ${key}`, '-H', `Api-Key: ${key}`];
    const output = ['--report', 'junit', '--report-junit-path', report, '--no-color', '--warnings', 'off'];
    const run = spawnSync(schemathesis, [...argv, ...phases, ...keys, ...output], {
      cwd: folder,
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
    });
    const xml = readFileSync(report, 'utf8');
    const count = (name: string): number =>
      Number(new RegExp(`<testsuites?[^>]* ${name}="(\\d+)"`).exec(xml)?.[1] ?? 0);
    const total = count('tests');
    let failed = count('failures') + count('errors');
    if (run.status !== 0 && failed === 0) failed = 1;
    if (failed > 0) console.log(run.stdout.slice(-20_000) + run.stderr.slice(-2_000));
    return { passed: Math.max(0, total - failed), failed, skipped: 0 };
  } catch (error) {
    console.log(`✗ Schemathesis: ${error instanceof Error ? error.message : String(error)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
