// What the Python SDK needs to be tested: a virtual environment with exact versions, made once, and a run of pytest.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const sdk = join(root, 'sdk/python');
const sdkRequirements = join(sdk, 'requirements-test.txt');
const isWindows = process.platform === 'win32';

/** A Posthorn that runs: its address, and an operator's key. */
export interface TestServer {
  url: string;
  key: string;
}

export interface PythonTally {
  passed: number;
  failed: number;
  skipped: number;
}

/** As the tests write it: a skip comes with its reason, a failure with its text. */
interface Report extends PythonTally {
  failures: { test: string; text: string }[];
  skips: { test: string; reason: string }[];
}

/**
 * The Python of a virtual environment that holds what a file of requirements names, by default that of the SDK's tests.
 * Installs it where it is not there yet (half a minute, once for each version of that file). Throws an Error that says
 * what is missing.
 */
export function preparePython(requirements = sdkRequirements): string {
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16);
  const cache = join(root, 'node_modules/.cache');
  const folder = join(cache, `python-${hash}`);
  const python = join(folder, isWindows ? 'Scripts/python.exe' : 'bin/python');
  // Written last, so that an install that broke off is begun again.
  const marker = join(folder, '.installed');
  if (existsSync(marker)) return python;

  const system = findPython();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  console.error('Installing what the Python tests need (once)…');
  const made = spawnSync(system, ['-m', 'venv', folder], { encoding: 'utf8' });
  if (made.status !== 0) {
    rmSync(folder, { recursive: true, force: true });
    throw new Error(
      `Python makes no virtual environment. On Debian and Ubuntu: apt-get install python3-venv\n${made.stdout}${made.stderr}`,
    );
  }
  const argv = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements];
  const installed = spawnSync(python, argv, { encoding: 'utf8' });
  if (installed.status !== 0) {
    throw new Error(`pip does not install what ${requirements} names; it needs the network.\n${installed.stderr}`);
  }
  writeFileSync(`${marker}.new`, `${new Date().toISOString()}\n`);
  renameSync(`${marker}.new`, marker);
  return python;
}

/** A Python of 3.10 or newer. */
function findPython(): string {
  const names = isWindows ? ['python', 'py'] : ['python3', 'python'];
  for (const name of names) {
    const check = 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else 1)';
    if (spawnSync(name, ['-c', check]).status === 0) return name;
  }
  const remedy = 'On Debian and Ubuntu: apt-get install python3 python3-venv; elsewhere see python.org';
  throw new Error(`The Python SDK is tested with Python 3.10 or newer, and there is none. ${remedy}`);
}

/**
 * Runs the tests of the Python SDK against a running Posthorn, and prints what failed and what was skipped, with reasons.
 * An environment that cannot be made, or a run that does not end well, counts as one failure.
 */
export async function runPythonTests({ url, key }: TestServer): Promise<PythonTally> {
  let python: string;
  try {
    python = preparePython();
  } catch (error) {
    console.log(`✗ Python: ${error instanceof Error ? error.message : String(error)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-python-'));
  const file = join(folder, 'tally.json');
  try {
    const env = {
      ...process.env,
      POSTHORN_TEST_URL: url,
      POSTHORN_TEST_KEY: key,
      POSTHORN_TEST_TALLY: file,
      PYTHONDONTWRITEBYTECODE: '1',
    };
    const { code, output } = await run(python, ['-m', 'pytest', '--quiet', '--no-header', '--tb=short'], env);
    const { failures, skips, ...tally } = readReport(file);
    // A file that does not load, or a crash, fails the run without failing a test.
    if (code !== 0 && tally.failed === 0) {
      tally.failed = 1;
      console.log(output);
    }
    for (const { test, text } of failures) console.log(`✗ Python: ${test}\n${text.replace(/^/gm, '    ')}`);
    for (const { test, reason } of skips) console.log(`- Python: ${test} skipped: ${reason}`);
    return tally;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Not spawnSync: the Posthorn that is tested against may run in this process, or write to a pipe that this one reads. */
function run(
  command: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { cwd: sdk, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, output });
    });
  });
}

function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return { passed: 0, failed: 0, skipped: 0, failures: [], skips: [] };
  }
}
