import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { loopbackOnly } from '../e2e/process.ts';
import { Client } from '../e2e/server.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const OPERATOR_KEY = 'operator-key-of-the-fault-tests-only';

/** Long enough for a busy machine, short enough for a test. */
export const LEASE_MS = 4_000;

export interface NodeOptions {
  databaseUrl: string;
  /** Settings by their variable, without `POSTHORN_`: `ROLE`. */
  settings?: Readonly<Record<string, string>>;
  /** Modules to load before it. */
  preload?: readonly URL[];
  /** Further environment. */
  env?: Readonly<Record<string, string>>;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
}

/** One `posthorn serve` of a cluster. */
export interface ClusterNode {
  child: ChildProcess;
  client: Client;
  /** What it logged so far. */
  output(): string;
  /** Sends a signal; resolves at once. */
  signal(name: NodeJS.Signals): void;
  /** Sends a signal and resolves to how it ended. */
  end(name: NodeJS.Signals): Promise<Ended>;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a node on a free port; resolves when it listens, and rejects with its output where it ends before. */
export async function startNode(options: NodeOptions): Promise<ClusterNode> {
  const { child, ended, output } = spawnPosthorn(['serve'], options);
  const base = await new Promise<string>((resolve, reject) => {
    const look = (): void => {
      const found = /"address":"(http:[^"]+)"/.exec(output());
      if (found) resolve(found[1]!);
    };
    child.stdout?.on('data', look);
    void ended.then(() => {
      reject(new Error(`the node ended: ${output()}`));
    });
  });
  return {
    child,
    client: new Client(base, { authorization: `Bearer ${OPERATOR_KEY}` }),
    output,
    signal: (name) => void child.kill(name),
    end(name) {
      child.kill(name);
      if (name !== 'SIGSTOP') child.kill('SIGCONT'); // a stopped process takes no other signal than SIGKILL
      return ended;
    },
  };
}

/** Runs a command to its end: `['migrate']`. */
export function runPosthorn(argv: readonly string[], options: NodeOptions): Promise<Ended> {
  return spawnPosthorn(argv, options).ended;
}

/** Makes the schema. Throws where that fails. */
export async function migrate(options: NodeOptions): Promise<void> {
  const { code, output } = await runPosthorn(['migrate'], options);
  if (code !== 0) throw new Error(`posthorn migrate ended with ${code}: ${output}`);
}

function spawnPosthorn(argv: readonly string[], { databaseUrl, settings = {}, preload = [], env = {} }: NodeOptions) {
  const imports = preload.flatMap(({ href }) => ['--import', href]);
  const all = {
    DATABASE_URL: databaseUrl,
    HOST: '127.0.0.1',
    PORT: '0',
    OPERATOR_KEY,
    MASTER_KEY: 'a master key for the fault tests only',
    ALLOW_HTTP: 'true',
    ALLOW_LOOPBACK: 'true',
    ALLOW_PORTS: 'any',
    CREATE_TENANTS: 'true',
    LEASE: `${LEASE_MS}ms`,
    TIMEOUT: '2s',
    RETRY_SCHEDULE: '200ms,500ms,1s,1s,2s,2s',
    LOG_LEVEL: 'info',
    ...settings,
  };
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('POSTHORN_'));
  const posthorn = Object.entries(all).map(([name, value]) => [`POSTHORN_${name}`, value] as const);
  const child = spawn(process.execPath, [...loopbackOnly, ...imports, MAIN, ...argv], {
    cwd: tmpdir(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries([...inherited, ...posthorn]), NO_COLOR: '1', ...env },
  });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal, output });
    });
  });
  return { child, ended, output: () => output };
}
