import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A server of somebody else's, started for a test. */
export interface Child {
  /** What it printed so far, both streams. */
  output: () => string;
  /** Ends it as SIGKILL does, with all that it started. */
  kill: () => Promise<void>;
  /** Asks it to stop, and waits. */
  stop: () => Promise<void>;
}

/** Ends its whole group once nobody holds its standard input: also where the test is killed. */
const WATCHED = `exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -KILL 0; } &
wait $server`;

/**
 * Starts a server in a process group of its own, and resolves when it prints `ready`. Rejects with what it printed where
 * it ends before.
 */
export function startChild(
  argv: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; ready: RegExp },
): Promise<Child> {
  const child = spawn('sh', ['-c', WATCHED, 'sh', ...argv], {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: 'pipe',
    detached: true,
  });
  let printed = '';
  // Its pipes are closed when the last of the group is gone.
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.stdin.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    const look = (text: string): void => {
      printed += text;
      if (!options.ready.test(printed)) return;
      resolve({
        output: () => printed,
        kill: () => {
          child.stdin.end();
          return gone;
        },
        stop: () => {
          process.kill(-child.pid!, 'SIGTERM');
          return gone;
        },
      });
    };
    child.stdout.setEncoding('utf8').on('data', look);
    child.stderr.setEncoding('utf8').on('data', look);
    child.once('error', reject);
    child.once('exit', (code) => {
      child.stdin.end();
      reject(new Error(`${argv[0]} ended with ${code}: ${printed}`));
    });
  });
}

/** A port of 127.0.0.1 that is free now, for a server that has to come back to it. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
