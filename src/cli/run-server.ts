import { printError } from './terminal.ts';

/** What is run: a server made by `createPosthornServer`, as far as this needs to know it. */
export interface Runnable<Started> {
  start(): Promise<Started>;
  stop(): Promise<void>;
}

/** SIGHUP is what a closing terminal sends. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Starts a server, calls `started`, waits for a signal, drains. A second signal ends the process at once with 130.
 * Resolves to the exit code; rejects with the reason where the server does not start or stop.
 */
export async function runServer<Started>(
  server: Runnable<Started>,
  started: (outcome: Started) => void,
): Promise<number> {
  let first: () => void;
  const signalled = new Promise<null>((resolve) => (first = () => resolve(null)));
  let seen = 0;
  const onSignal = (): void => {
    if (++seen > 1) process.exit(130);
    printError('Draining…');
    first();
  };
  for (const signal of signals) process.on(signal, onSignal);
  try {
    const outcome = await Promise.race([server.start(), signalled]);
    if (outcome !== null) {
      started(outcome);
      await signalled;
    }
  } finally {
    await server.stop();
    for (const signal of signals) process.off(signal, onSignal);
  }
  return 0;
}
