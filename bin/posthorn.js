#!/usr/bin/env node
// Starts the command line: straight from the sources in a clone, where a build may be old, else from the built package.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { heapEnv, heapFlags } from './heap.js';

const built = new URL('../dist/cli/main.js', import.meta.url);
const source = new URL('../src/cli/main.ts', import.meta.url);
const [major, minor] = process.versions.node.split('.').map(Number);
const args = process.argv.slice(2);
const isServer = args[0] === 'dev' || args[0] === 'serve';

if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`Posthorn needs Node 22.19 or newer; this is ${process.version}.`);
  process.exitCode = 1;
} else {
  // Becomes the same process with other flags. Where that does not exist (Windows), the server runs with Node's defaults.
  if (isServer && process.platform !== 'win32' && process.execve && !isHeapChosen()) {
    const flags = ['--disable-warning=ExperimentalWarning', ...heapFlags, ...process.execArgv];
    process.removeAllListeners('warning'); // that execve is experimental need not be said at every start
    const argv = [process.execPath, ...flags, fileURLToPath(import.meta.url), ...args];
    process.execve(process.execPath, argv, { ...heapEnv, ...process.env });
  }
  module.enableCompileCache?.(); // a start is a third shorter from the second time on
  const { main } = await import((existsSync(source) ? source : built).href);
  process.exitCode = await main(args);
}

function isHeapChosen() {
  return [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((flag) => flag.includes('--max-old-space-size'));
}
