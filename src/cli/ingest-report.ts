import { pino, stdTimeFunctions } from 'pino';
import type { Report } from '../ingest/ingest.ts';
import { plain, printError } from './terminal.ts';

/** A report that keeps count, and says what is left to say at the end. */
export interface CountingReport extends Report {
  end(): void;
}

const REDRAW_MS = 200;
const LINE_MS = 10_000;

/** For people at a terminal: one line that grows, and one for each thing that goes wrong. */
export function createTerminalReport(source: string): CountingReport {
  const startedAt = performance.now();
  let accepted = 0;
  let refused = 0;
  let drawnAt = 0;
  const progress = (): string => {
    const perSecond = accepted / Math.max(1, (performance.now() - startedAt) / 1000);
    const parts = [`${accepted.toLocaleString('en-GB')} published`, `${perSecond.toFixed(0)}/s`];
    if (refused > 0) parts.push(`${refused.toLocaleString('en-GB')} refused`);
    return parts.join(', ');
  };
  const draw = (): void => {
    if (performance.now() - drawnAt < REDRAW_MS) return;
    drawnAt = performance.now();
    process.stderr.write(`\r\u001b[K${progress()}`);
  };
  const say = (line: string): void => {
    process.stderr.write('\r\u001b[K');
    printError(plain(line));
    drawnAt = 0;
  };
  return {
    opened: () => say(`Reading ${source}. Ctrl-C ends it.`),
    stopping: () => say('Finishing what is in flight…'),
    accepted: (count) => {
      accepted += count;
      draw();
    },
    refused: (name, reason, fate) => {
      refused++;
      say(`${name} ${fate === 'skipped' ? 'skipped' : 'put aside'}: ${reason}`);
    },
    waiting: (reason, ms) => say(`Waiting ${(ms / 1000).toFixed(1)} s: ${reason}`),
    resumed: () => say('Posthorn takes events again.'),
    brokerLost: (reason) => say(`${reason}; trying again.`),
    brokerFound: () => say('The broker is back.'),
    end: () => say(`${progress()}.`),
  };
}

/** For machines: JSON lines on standard output, as those of the server. */
export function createLogReport(source: string): CountingReport {
  const log = pino({ base: null, timestamp: stdTimeFunctions.isoTime }, pino.destination({ fd: 1, sync: true }));
  let accepted = 0;
  let refused = 0;
  let toldAt = performance.now();
  return {
    opened: () => log.info({ source }, 'ingest.started'),
    stopping: () => log.info({ source }, 'ingest.stopping'),
    accepted: (count) => {
      accepted += count;
      if (performance.now() - toldAt < LINE_MS) return;
      toldAt = performance.now();
      log.info({ source, accepted, refused }, 'ingest.progress');
    },
    refused: (message, reason, fate) => log.warn({ message, reason, fate, refused: ++refused }, 'message.refused'),
    waiting: (reason, ms) => log.warn({ reason, waitMs: Math.round(ms) }, 'ingest.waiting'),
    resumed: () => log.info({ source }, 'ingest.resumed'),
    brokerLost: (reason) => log.warn({ source, reason }, 'broker.lost'),
    brokerFound: () => log.info({ source }, 'broker.found'),
    end: () => log.info({ source, accepted, refused }, 'ingest.stopped'),
  };
}
