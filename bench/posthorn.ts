import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { heapEnv, heapFlags } from '../bin/heap.js';
import { end, removeFolder, temporaryFolder, track } from './processes.ts';

const root = join(import.meta.dirname, '..');
const READY_WITHIN_MS = 15_000;
const KEPT_OUTPUT = 4000;

export const apiKey = 'dev-api-key-local';

export interface PosthornOptions {
  /** Default: a new temporary folder, removed when it stops. */
  dataDir?: string;
  /** Where Node writes a CPU profile of every thread when the process ends. */
  profileDir?: string | null;
  /** Parent of the temporary folder. */
  workDir?: string | null;
  /** Settings of its own, such as POSTHORN_DATABASE_URL. */
  env?: Readonly<Record<string, string>>;
}

/** A Posthorn of this clone, started as a user would start it, and its API. */
export interface Posthorn {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  /** One API call; throws with status and body unless the answer is 2xx. */
  call<Output>(method: string, path: string, body?: object): Promise<Output>;
  /** Registers an endpoint; resolves to its id. */
  register(url: string, events: string[]): Promise<string>;
  /** SIGTERM, which drains. Removes the data folder unless it was given. */
  stop(): Promise<void>;
}

/** Spawns without waiting; `ready` says when /readyz answers 200, and rejects with the output where it never does. */
export async function spawnPosthorn(options: PosthornOptions = {}): Promise<Posthorn & { ready(): Promise<void> }> {
  const port = await freePort();
  const dataDir = options.dataDir ?? temporaryFolder(options.workDir ?? undefined);
  // As `npm start` does it.
  const argv = ['--disable-warning=ExperimentalWarning', ...heapFlags, join(root, 'bin/posthorn.js'), 'dev'];
  const env: NodeJS.ProcessEnv = { ...heapEnv, ...environment(port, dataDir), ...options.env };
  // By the environment, because the store's threads do not take the command line's flags.
  if (options.profileDir != null) env.NODE_OPTIONS = `--cpu-prof "--cpu-prof-dir=${options.profileDir}"`;
  const child = track(spawn(process.execPath, argv, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] }));
  let output = '';
  const keep = (text: string): void => void (output = (output + text).slice(-KEPT_OUTPUT));
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);

  const base = `http://127.0.0.1:${port}`;
  async function call<Output>(method: string, path: string, body?: object): Promise<Output> {
    const headers: Record<string, string> = { authorization: `Bearer ${apiKey}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const response = await fetch(base + path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as Output;
  }

  return {
    child,
    pid: child.pid ?? 0,
    port,
    dataDir,
    call,
    async register(url, events) {
      const { id } = await call<{ id: string }>('POST', '/v1/webhooks', { url, events });
      return id;
    },
    async stop() {
      await end(child);
      if (options.dataDir === undefined) removeFolder(dataDir);
    },
    async ready() {
      const giveUpAt = Date.now() + READY_WITHIN_MS;
      while (!(await answers(`${base}/readyz`))) {
        const gone = child.exitCode !== null || child.signalCode !== null;
        if (gone || Date.now() > giveUpAt) {
          throw new Error(`Posthorn ${gone ? 'ended' : 'is not ready after 15 s'}; its output:\n${output}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

/** Spawns and waits until it is ready. */
export async function startPosthorn(options: PosthornOptions = {}): Promise<Posthorn> {
  const posthorn = await spawnPosthorn(options);
  await posthorn.ready();
  return posthorn;
}

/** Settings of the caller's shell must not change what is measured. */
function environment(port: number, dataDir: string): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (name.startsWith('POSTHORN_')) delete env[name];
  return {
    // As `npm start` sets it.
    NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'compiled'),
    ...env,
    POSTHORN_PORT: String(port),
    POSTHORN_DATA_DIR: dataDir,
    POSTHORN_LOG_LEVEL: 'warn',
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
