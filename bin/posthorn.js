#!/usr/bin/env node
// Starts the command line from the built package, or straight from the sources in a clone.
import { existsSync } from 'node:fs';

const built = new URL('../dist/cli/main.js', import.meta.url);
const source = new URL('../src/cli/main.ts', import.meta.url);
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`Posthorn needs Node 22.19 or newer; this is ${process.version}.`);
  process.exitCode = 1;
} else {
  const { main } = await import((existsSync(built) ? built : source).href);
  process.exitCode = await main(process.argv.slice(2));
}
