import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TERM_GRACE_MS = 20_000;

/** Everything a run started or wrote outside the repository: ended and removed whatever happens to the run. */
const running = new Map<ChildProcess, NodeJS.Signals>();
const folders = new Set<string>();

/** Notes a child to be ended with the run. `signal` asks it to end; if it does not, SIGKILL does. */
export function track<Child extends ChildProcess>(child: Child, signal: NodeJS.Signals = 'SIGTERM'): Child {
  running.set(child, signal);
  child.once('exit', () => running.delete(child));
  return child;
}

/** A new empty folder that is removed with the run. `parent`: default the system's place for temporary files. */
export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'posthorn-bench-'));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  folders.delete(folder);
}

/** Asks a child to end and waits until it has. Ends it by force after `graceMs`. Tolerates one that is gone. */
export async function end(child: ChildProcess, graceMs = TERM_GRACE_MS): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const signal = running.get(child) ?? 'SIGTERM';
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill(signal);
  });
}

/** Ends every child, by its own id, and removes every folder. Tolerates being called twice. */
export async function endAll(graceMs?: number): Promise<void> {
  await Promise.all([...running.keys()].map((child) => end(child, graceMs)));
  for (const folder of [...folders]) removeFolder(folder);
}

/** Calls `stop` on the first SIGINT or SIGTERM; on a second one kills what is left and exits at once. */
export function onInterrupt(stop: () => void): void {
  let asked = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      asked++;
      if (asked === 1) return stop();
      for (const child of running.keys()) child.kill('SIGKILL');
      process.exit(130);
    });
  }
}
