import type { Logger } from 'pino';
import { prefixes } from '../model/id.ts';
import type { Store } from '../store/store.ts';
import type { Line } from './line.ts';
import type { LiveEndpoint } from './subscriptions.ts';

/** Failures from before the start that are looked up, at most. */
const MAX_SEEDED = 1_000;

/** When an endpoint that only fails is disabled: so many failed attempts within so many ms, and no success among them. */
export interface DisableAfter {
  readonly failures: number;
  readonly withinMs: number;
}

export interface FailuresOptions {
  store: Pick<Store, 'deliveries'>;
  disableAfter: DisableAfter;
  log: Logger;
  now: () => number;
  onFailing: (live: LiveEndpoint) => void;
}

/** Counts what fails at an endpoint since its last success, so that one nobody looks after is disabled some day. */
export class Failures {
  readonly #o: FailuresOptions;
  readonly #startedAt: number;

  constructor(options: FailuresOptions) {
    this.#o = options;
    this.#startedAt = options.now();
  }

  /** An attempt made at `sentAt` (epoch ms) has failed, at the URL that the endpoint still has. */
  note(line: Line, live: LiveEndpoint, sentAt: number): void {
    if (sentAt < line.afreshAt) return;
    // In formats with one signature every other attempt is then signed with a secret that its receiver may not have.
    const secrets = live.keys.filter(({ expiresAt }) => expiresAt === null || expiresAt > sentAt);
    if (secrets.length > 1) return;
    const failedAt = (line.failedAt ??= []);
    failedAt.push(sentAt);
    if (!line.isSeeded) {
      line.isSeeded = true;
      void this.#seed(line, live, failedAt);
    }
    this.#judge(line, live, failedAt);
  }

  #judge(line: Line, live: LiveEndpoint, failedAt: number[]): void {
    const { disableAfter, now, onFailing } = this.#o;
    const since = now() - disableAfter.withinMs;
    while (failedAt.length > 0 && failedAt[0]! < since) failedAt.shift();
    if (failedAt.length < disableAfter.failures) return;
    line.failedAt = null;
    onFailing(live);
  }

  /** Once an endpoint and start: what failed before the start, since the last success and the last change by hand. */
  async #seed(line: Line, live: LiveEndpoint, failedAt: number[]): Promise<void> {
    const { store, disableAfter, log, now } = this.#o;
    const { tenantId, id, createdAt, updatedAt } = live.endpoint;
    if (createdAt >= this.#startedAt && updatedAt >= this.#startedAt) return;
    try {
      const of = { tenantId, endpointId: id };
      const limit = Math.min(MAX_SEEDED, disableAfter.failures);
      const [[success], failed] = await Promise.all([
        store.deliveries.listAttempts({ ...of, succeeded: true }, { limit: 1, offset: 0 }),
        store.deliveries.listAttempts({ ...of, succeeded: false }, { limit, offset: 0 }),
      ]);
      if (line.failedAt !== failedAt) return; // a success, or a person, came between
      const since = Math.max(now() - disableAfter.withinMs, updatedAt, success?.startedAt ?? 0);
      const before = failed.map(({ startedAt }) => startedAt).filter((at) => at > since && at < this.#startedAt);
      failedAt.unshift(...before.reverse());
      this.#judge(line, live, failedAt);
    } catch (error) {
      log.warn({ endpoint: prefixes.endpoint + id, error: String(error) }, 'failures.not_counted');
    }
  }
}
