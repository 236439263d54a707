import { fork } from 'node:child_process';
import type { ChildProcess, ForkOptions } from 'node:child_process';
import { join } from 'node:path';

/** The verbs a benchmark process answers, by name: one plain object in, one out. */
export type Verbs = Record<string, (input: never) => unknown>;

interface Question {
  id: number;
  verb: string;
  input: unknown;
}
interface Answer {
  id: number;
  output?: unknown;
  error?: string;
}

/** In the child: answers questions until the parent is gone, then ends, so that no benchmark process outlives its run. */
export function answer(verbs: Verbs): void {
  process.on('message', (message) => {
    const { id, verb, input } = message as Question;
    void reply(id, verbs[verb] as ((input: unknown) => unknown) | undefined, verb, input);
  });
  process.on('disconnect', () => process.exit(0));
  // A terminal sends Ctrl-C to every process at once; the parent decides when this one ends.
  process.on('SIGINT', () => {});
}

async function reply(id: number, run: ((input: unknown) => unknown) | undefined, verb: string, input: unknown) {
  let message: Answer;
  try {
    if (run === undefined) throw new Error(`no verb ${verb}`);
    message = { id, output: await run(input) };
  } catch (error) {
    message = { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.send?.(message);
}

/** A benchmark process, asked by name of the verb. */
export interface Peer {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Rejects with the child's error, or when the child ends before it answered. */
  ask<Output>(verb: string, input?: unknown): Promise<Output>;
}

/** In the parent: starts `file` (relative to bench/) as a process of its own. */
export function startPeer(file: string, options: ForkOptions = {}): Peer {
  const child = fork(join(import.meta.dirname, file), { execArgv: [], ...options });
  const waiting = new Map<number, { resolve: (output: never) => void; reject: (error: Error) => void }>();
  let nextId = 1;
  child.on('message', (message) => {
    const { id, output, error } = message as Answer;
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(output as never);
    else asked?.reject(new Error(`${file}: ${error}`));
  });
  function fail(reason: string): void {
    for (const { reject } of waiting.values()) reject(new Error(`${file} ${reason}`));
    waiting.clear();
  }
  child.on('error', (error) => fail(`does not start: ${error.message}`));
  child.on('exit', (code, signal) => fail(`ended (${signal ?? `exit code ${code}`})`));
  return {
    child,
    pid: child.pid ?? 0,
    ask<Output>(verb: string, input: unknown = {}) {
      return new Promise<Output>((resolve, reject) => {
        const id = nextId++;
        waiting.set(id, { resolve, reject });
        child.send({ id, verb, input } satisfies Question, (error) => {
          if (error) fail(`cannot be asked: ${error.message}`);
        });
      });
    },
  };
}
