import { printError } from './terminal.ts';

/** What is run: a server made by `createPosthornServer`, as far as this needs to know it. */
export interface Runnable<Started> {
  start(): Promise<Started>;
  stop(): Promise<void>;
}

/** SIGHUP is what a closing terminal sends. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Signals within so short a time are one. */
const ONE_STOP_MS = 1_000;

/**
 * Starts a server, calls `started`, waits for a signal, drains. A second signal, a second later or more, ends the process at
 * once with 130.
 * Resolves to the exit code; rejects with the reason where the server does not start or stop.
 */
export async function runServer<Started>(
  server: Runnable<Started>,
  started: (outcome: Started) => void,
): Promise<number> {
  let first: () => void;
  const signalled = new Promise<null>((resolve) => (first = () => resolve(null)));
  let seen = 0;
  let firstAt = 0;
  const onSignal = (): void => {
    // One Ctrl-C, or one stop of a service, may reach a process by several ways at once.
    if (seen > 0 && performance.now() - firstAt < ONE_STOP_MS) return;
    if (++seen > 1) process.exit(130);
    firstAt = performance.now();
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
    await server.stop(); // a signal that comes late is still one of this stop's, so the listeners stay
  }
  return 0;
}
