import { tmpdir } from 'node:os';
import { ended, startScript, type Ended } from '../cli/run-command.ts';

/** One line of its log. */
export interface LogLine {
  msg: string;
  [fact: string]: unknown;
}

/** `posthorn ingest` as a process of its own. */
export interface IngestProcess {
  pid: number;
  /** Log lines so far. */
  log: () => LogLine[];
  /** Resolves to the first line of its log that fits, also one that is there already; rejects where it ends before. */
  logged: (fits: (line: LogLine) => boolean) => Promise<LogLine>;
  /** Sends a signal and waits for its end. */
  end: (signal: NodeJS.Signals) => Promise<Ended>;
  ended: Promise<Ended>;
}

export function startIngest(argv: readonly string[], env: Record<string, string> = {}): IngestProcess {
  const child = startScript('src/cli/main.ts', ['ingest', '--json', ...argv], { cwd: tmpdir(), env });
  child.stdin.end();
  const over = ended(child);
  let text = '';
  const waiting = new Set<() => void>();
  child.stdout.on('data', (chunk: string) => {
    text += chunk;
    for (const look of [...waiting]) look();
  });
  const log = (): LogLine[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LogLine);
  return {
    pid: child.pid!,
    log,
    logged: (fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = log().find(fits);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
        void over.then(({ code, stdout, stderr }) => reject(new Error(`ended with ${code}: ${stdout}${stderr}`)));
      }),
    end: async (signal) => {
      child.kill(signal);
      return over;
    },
    ended: over,
  };
}
