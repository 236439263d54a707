import { spawn } from 'node:child_process';
import type { Identity } from './binaries.ts';

/** Ends what its process leaves behind. */
export interface Watchdog {
  /** There is nothing left to end. */
  dismiss(): void;
}

/**
 * Starts a process that outlives this one, however it ends (SIGKILL too): then it sends SIGQUIT to the server whose id is
 * the first line of `pidFile`, and removes `folder`, in which that file is.
 */
export function watch(folder: string, pidFile: string, identity: Identity): Watchdog {
  const script = 'read -r _; if read -r pid <"$1"; then kill -QUIT "$pid"; sleep 1; fi; rm -rf "$0"';
  const child = spawn('sh', ['-c', script, folder, pidFile], {
    ...identity,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  return { dismiss: () => void child.kill() };
}
