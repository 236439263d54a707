import { pino, stdTimeFunctions } from 'pino';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';

/** The log of a server: JSON lines on standard output in production, plain lines on standard error in development. */
export function createLogger(config: Config): Logger {
  if (config.mode === 'dev') return pino({ level: config.logLevel, base: null }, { write: writePlainLine });
  return pino(
    { level: config.logLevel, base: null, timestamp: stdTimeFunctions.isoTime },
    // Not in step with the event loop: a slow reader of the log must not slow down deliveries.
    pino.destination({ fd: 1, sync: false }),
  );
}

function writePlainLine(json: string): void {
  const { level, time, msg, err, ...rest } = JSON.parse(json) as PlainLine;
  const facts = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const parts = [new Date(time).toLocaleTimeString('sv-SE'), pino.levels.labels[level], msg, err?.message, ...facts];
  process.stderr.write(`${parts.filter((part) => part !== undefined).join(' ')}\n`);
}

interface PlainLine {
  level: number;
  /** Epoch ms. */
  time: number;
  msg?: string;
  err?: { message?: string };
}
