import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** Stands in for npm: notes its arguments and leaves the list that npm leaves after an install. */
const fakeNpm = `
  const { appendFileSync, cpSync, mkdirSync } = require('node:fs');
  appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
  mkdirSync('node_modules', { recursive: true });
  cpSync('package-lock.json', 'node_modules/.package-lock.json');
`;

let root: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'posthorn-run-'));
  write('package.json', '{"type":"module"}');
  write('npm/npm-cli.js', fakeNpm);
  write('npm/package.json', '{}');
  write('package-lock.json', lockWith('1.0.0'));
  mkdirSync(join(root, 'scripts'));
  for (const file of ['scripts/run.mjs', 'bin/heap.js']) {
    cpSync(join(import.meta.dirname, '../..', file), join(root, file));
  }
});

afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(root, { recursive: true });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

function lockWith(version: string): string {
  return JSON.stringify({
    packages: {
      '': { version: '0.1.0' },
      'node_modules/part': { version },
      'node_modules/other-os': { optional: true },
    },
  });
}

function start(...argv: string[]): { child: ChildProcess; finished: Promise<{ code: number; output: string }> } {
  const env = { ...process.env, npm_execpath: join(root, 'npm/npm-cli.js') };
  const started = spawn(process.execPath, ['scripts/run.mjs', ...argv], { cwd: root, env, stdio: 'pipe' });
  child = started;
  let output = '';
  started.stdout.on('data', (data: Buffer) => (output += data.toString()));
  started.stderr.on('data', (data: Buffer) => (output += data.toString()));
  const finished = once(started, 'close').then(([code]) => ({ code: code as number, output }));
  return { child: started, finished };
}

function npmCalls(): string[] {
  try {
    return readFileSync(join(root, 'npm-calls'), 'utf8').trimEnd().split('\n');
  } catch {
    return [];
  }
}

describe('the door of the npm scripts', () => {
  test('installs from the lock file once, and again when the lock file changed', async () => {
    write('bin/posthorn.js', `console.log('ran');`);
    expect(await start('posthorn').finished).toEqual({ code: 0, output: 'Installing dependencies (once)…\nran\n' });
    expect(await start('posthorn').finished).toEqual({ code: 0, output: 'ran\n' });
    expect(npmCalls()).toEqual([expect.stringMatching(/^ci --ignore-scripts --include=dev /)]);

    write('package-lock.json', lockWith('1.0.1'));
    expect((await start('posthorn').finished).output).toContain('Installing dependencies');
    expect(npmCalls()).toHaveLength(2);
  });

  test('stops with one line when the install fails', async () => {
    write('npm/npm-cli.js', `process.exit(3);`);
    const { code, output } = await start('posthorn').finished;
    expect(code).toBe(1);
    expect(output).toContain('The install failed');
  });

  test('hands on the arguments, and the exit code of what it started', async () => {
    write('bin/posthorn.js', `console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;`);
    const { code, output } = await start('start', '--port', '3002', 'a b').finished;
    expect(code).toBe(7);
    expect(output).toContain('["dev","--port","3002","a b"]');
  });

  test('hands on a signal once, however often it comes, and ends as the child ends', async () => {
    // SIGHUP is counted and SIGTERM asks for the count: of two waiting signals the lower number is always first.
    write(
      'bin/posthorn.js',
      `let count = 0;
       process.on('SIGHUP', () => { count++; console.log('counted'); });
       process.on('SIGTERM', () => { console.log('signals: ' + count); process.exit(0); });
       setInterval(() => {}, 60_000);
       console.log('ready');`,
    );
    const { child: started, finished } = start('start');
    const lines = said(started);
    await lines('ready');
    started.kill('SIGHUP');
    await lines('counted');
    started.kill('SIGHUP');
    started.kill('SIGTERM');
    const { code, output } = await finished;
    expect(output).toContain('signals: 1');
    expect(code).toBe(0);
  });

  test('ends what it started when npm is killed outright', async () => {
    write(
      'bin/posthorn.js',
      `process.on('SIGTERM', () => { console.log('drained'); process.exit(0); });
       setInterval(() => {}, 60_000);
       console.log('ready');`,
    );
    write(
      'npm/parent.js',
      `const { spawn } = require('node:child_process');
       const env = { ...process.env, npm_lifecycle_event: 'start' };
       spawn(process.execPath, ['scripts/run.mjs', 'start'], { env, stdio: 'inherit' });`,
    );
    const env = { ...process.env, npm_execpath: join(root, 'npm/npm-cli.js') };
    const parent = spawn(process.execPath, ['npm/parent.js'], { cwd: root, env, stdio: ['ignore', 'pipe', 'ignore'] });
    child = parent;
    const lines = said(parent);
    await lines('ready');
    parent.kill('SIGKILL');
    await lines('drained');
  });

  test('says how it is used when the verb is unknown', async () => {
    const { code, output } = await start('toString').finished;
    expect(code).toBe(2);
    expect(output).toMatch(/^Usage: .*start\|posthorn\|test/);
  });
});

/** Waits until the process has printed a text. */
function said(started: ChildProcess): (text: string) => Promise<void> {
  let output = '';
  const waiting = new Set<() => void>();
  started.stdout?.on('data', (data: Buffer) => {
    output += data.toString();
    for (const check of waiting) check();
  });
  return (text) =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!output.includes(text)) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
}
