import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';

const root = join(import.meta.dirname, '../..');
/** The one `npm` commands use: it halves the time a command takes to start. */
const compileCache = join(root, 'node_modules/.cache/compiled');

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Starts a script as a process of its own, with none of this machine's POSTHORN variables. `cwd` is a folder of the
 * test's, since data and configuration lie in the working directory unless said.
 */
export function startScript(
  script: string,
  argv: readonly string[],
  options: { env?: Record<string, string>; cwd: string },
): ChildProcessWithoutNullStreams {
  const kept = Object.entries(process.env).filter(([name]) => !/^(POSTHORN_|VITEST|NODE_|FORCE_COLOR)/.test(name));
  const env = {
    ...Object.fromEntries(kept),
    NO_COLOR: '1',
    NODE_COMPILE_CACHE: compileCache,
    TZ: 'Europe/Berlin',
    // A port that Node's fetch refuses: no command reaches a server that somebody runs on this machine.
    POSTHORN_URL: 'http://127.0.0.1:1',
    ...options.env,
  };
  return spawn(process.execPath, [resolve(root, script), ...argv], { cwd: options.cwd, env, stdio: 'pipe' });
}

/** Runs `posthorn <argv>` to its end. */
export async function runCommand(
  argv: readonly string[],
  options: { env?: Record<string, string>; cwd: string; stdin?: string },
): Promise<Ended> {
  const child = startScript('src/cli/main.ts', argv, options);
  child.stdin.end(options.stdin ?? '');
  return ended(child);
}

/** What a process wrote, once it ended. */
export async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
