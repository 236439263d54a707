// Runs the tests of the Go SDK, and of the code of others against Posthorn in sdk/go/interop.
// `node scripts/go.ts` starts a Posthorn for them and stops it again.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const modules = ['sdk/go', 'sdk/go/interop'];

/** A Posthorn that runs: its address, and an operator's key. */
export interface GoServer {
  url: string;
  key: string;
}

export interface GoTally {
  passed: number;
  failed: number;
  skipped: number;
}

/** One line of `go test -json`, as far as it is read here (`go doc test2json`). */
interface TestEvent {
  Action: string;
  Package?: string;
  ImportPath?: string;
  Test?: string;
  Output?: string;
}

/**
 * Runs `go vet` and `go test` for both modules against a running Posthorn, and prints what failed and what was
 * skipped. `go vet` counts as one test of each module. No Go at all counts as one failure.
 */
export async function runGoTests({ url, key }: GoServer): Promise<GoTally> {
  const tally: GoTally = { passed: 0, failed: 0, skipped: 0 };
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    console.log('✗ Go: the Go SDK is tested with Go 1.22 or newer, and there is none. Install it from go.dev/dl');
    return { ...tally, failed: 1 };
  }
  for (const module of modules) {
    const vet = await runGo(module, ['vet', './...'], {});
    tally[vet.code === 0 ? 'passed' : 'failed']++;
    if (vet.code !== 0) console.log(`✗ go vet in ${module}\n${indented(vet.output)}`);

    // -count=1: what a server answered the last time says nothing about this one.
    const env = { POSTHORN_TEST_URL: url, POSTHORN_TEST_KEY: key };
    const test = await runGo(module, ['test', '-json', '-count=1', '-timeout=5m', './...'], env);
    count(module, test.output, test.code, tally);
  }
  return tally;
}

/** Adds up the leaves: a test with subtests is not counted besides them. */
function count(module: string, output: string, code: number, tally: GoTally): void {
  const outcomes = new Map<string, string>();
  const texts = new Map<string, string>();
  let beside = '';
  for (const line of output.split('\n')) {
    const event = readEvent(line);
    if (event === null) {
      // What does not compile is told in plain text.
      if (line !== '') beside += `${line}\n`;
    } else if (event.Test === undefined) {
      beside += event.Output ?? '';
    } else if (event.Action === 'output') {
      texts.set(event.Test, (texts.get(event.Test) ?? '') + (event.Output ?? ''));
    } else if (['pass', 'fail', 'skip'].includes(event.Action)) {
      outcomes.set(event.Test, event.Action);
    }
  }
  const names = [...outcomes.keys()];
  const parents = new Set(names.filter((name) => name.includes('/')).map((name) => name.slice(0, name.indexOf('/'))));
  let failed = 0;
  for (const [name, outcome] of outcomes) {
    if (outcome === 'fail') console.log(`✗ ${module}: ${name}\n${indented(texts.get(name) ?? '')}`);
    if (outcome === 'skip') console.log(`- ${module}: ${name} skipped: ${reasonOf(texts.get(name) ?? '')}`);
    if (parents.has(name)) continue;
    if (outcome === 'pass') tally.passed++;
    else if (outcome === 'skip') tally.skipped++;
    else failed++;
  }
  // A package that does not compile, a panic or a crash fails the run without failing a test.
  if (code !== 0 && failed === 0) {
    console.log(`✗ go test in ${module}\n${indented(beside)}`);
    failed = 1;
  }
  tally.failed += failed;
}

function readEvent(line: string): TestEvent | null {
  try {
    return JSON.parse(line) as TestEvent;
  } catch {
    return null;
  }
}

function reasonOf(text: string): string {
  return /: (.+)$/m.exec(text.replace(/^=== .*$|^\s*--- .*$/gm, ''))?.[1] ?? 'no reason given';
}

function indented(text: string): string {
  return text.trimEnd().replace(/^/gm, '    ');
}

/** Not spawnSync: the server may be in this process, and has to answer meanwhile. */
function runGo(
  module: string,
  argv: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const cwd = join(root, module);
    const child = spawn('go', argv, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

if (import.meta.main) {
  const { loadConfig } = await import('../src/config.ts');
  const { createPosthornServer } = await import('../src/posthorn.ts');
  const dataDir = mkdtempSync(join(tmpdir(), 'posthorn-go-'));
  const flags = { dataDir, port: '0', logLevel: 'silent' };
  const server = createPosthornServer(loadConfig({ mode: 'dev', flags, env: {}, file: null }));
  try {
    const { address } = await server.start();
    const { passed, failed, skipped } = await runGoTests({ url: address, key: 'dev-api-key-local' });
    console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    process.exitCode = failed > 0 ? 1 : 0;
  } finally {
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}
