import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client } from './server.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** Posthorn as a process of its own. */
export interface PosthornProcess {
  child: ChildProcess;
  client: Client;
  /** What it printed so far, both streams. */
  output: () => string;
  /** Sends a signal and resolves to how it ended. */
  end: (signal: NodeJS.Signals) => Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** What a process that must not reach out is started with. */
export const loopbackOnly = ['--import', new URL('../../scripts/loopback-only.mjs', import.meta.url).href];

/**
 * Starts `posthorn dev` on a free port and resolves when it answers; rejects with its output where it ends before.
 * @param nodeFlags for Node itself
 */
export async function startProcess(
  dataDir: string,
  flags: readonly string[] = [],
  nodeFlags: readonly string[] = [],
): Promise<PosthornProcess> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('POSTHORN_')));
  const child = spawn(process.execPath, [...nodeFlags, MAIN, 'dev', '--port', '0', '--data-dir', dataDir, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, NO_COLOR: '1' },
  });
  let printed = '';
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const address = await new Promise<string>((resolve, reject) => {
    const look = (chunk: Buffer): void => {
      printed += chunk.toString();
      const found = /http:\/\/(?:127\.0\.0\.1|localhost):\d+/.exec(printed);
      if (found) resolve(found[0]);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    void ended.then(({ code }) => {
      reject(new Error(`ended with ${code}: ${printed}`));
    });
  });
  return {
    child,
    client: new Client(address),
    output: () => printed,
    end: async (signal) => {
      child.kill(signal);
      return ended;
    },
  };
}
