import type { Logger } from 'pino';
import { prefixes } from '../model/id.ts';
import type { Store } from '../store/store.ts';
import type { Line } from './line.ts';
import type { LiveEndpoint } from './subscriptions.ts';

/** Failures from before the start that are looked up, at most. */
const MAX_SEEDED = 1_000;
/** Until what failed here is in the store. */
const WRITTEN_MS = 100;

/** When an endpoint that only fails is disabled: so many failed attempts within so many ms, and no success among them. */
export interface DisableAfter {
  readonly failures: number;
  readonly withinMs: number;
}

export interface FailuresOptions {
  store: Pick<Store, 'deliveries' | 'cluster'>;
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
    if (this.#o.store.cluster) {
      this.#judgeTogether(line, live, failedAt);
      return;
    }
    if (!line.isSeeded) {
      line.isSeeded = true;
      void this.#seed(line, live, failedAt);
    }
    this.#judge(line, live, failedAt);
  }

  #judge(line: Line, live: LiveEndpoint, failedAt: number[]): void {
    this.#forgetOld(failedAt);
    if (failedAt.length < this.#o.disableAfter.failures) return;
    line.failedAt = null;
    this.#o.onFailing(live);
  }

  #forgetOld(failedAt: number[]): void {
    const since = this.#o.now() - this.#o.disableAfter.withinMs;
    while (failedAt.length > 0 && failedAt[0]! < since) failedAt.shift();
  }

  /**
   * Several nodes send to it, and a success of one counts for all: the store knows of every attempt. It is asked when so
   * many have failed here that, with as many at each of the others, there could be enough; then again when as many more
   * have failed here as were still lacking, divided by the nodes.
   */
  #judgeTogether(line: Line, live: LiveEndpoint, failedAt: number[]): void {
    const { store, disableAfter, log } = this.#o;
    const nodes = Math.max(1, store.cluster!.place().count);
    this.#forgetOld(failedAt);
    const enough = Math.ceil(Math.max(1, disableAfter.failures - line.failuresElsewhere) / nodes);
    if (line.isJudged || failedAt.length < enough) return;
    line.isJudged = true;
    this.#countAll(line, live)
      .then((failures) => {
        if (line.failedAt !== failedAt) return; // a success, or a person, came between
        if (failures >= disableAfter.failures) {
          line.failedAt = null;
          this.#o.onFailing(live);
          return;
        }
        // These are in the store's count: from here on what comes on top of it is counted.
        line.failuresElsewhere = failures;
        failedAt.length = 0;
      })
      .catch((error: unknown) => {
        log.warn({ endpoint: prefixes.endpoint + live.endpoint.id, error: String(error) }, 'failures.not_counted');
      })
      .finally(() => {
        line.isJudged = false;
      });
  }

  /** Failed attempts of all nodes since the last success and the last change by hand. */
  async #countAll(line: Line, live: LiveEndpoint): Promise<number> {
    const { store, disableAfter, now } = this.#o;
    const { tenantId, id: endpointId, updatedAt } = live.endpoint;
    await new Promise((resolve) => setTimeout(resolve, WRITTEN_MS));
    const newest = { limit: 1, offset: 0 };
    const [success] = await store.deliveries.listAttempts({ tenantId, endpointId, succeeded: true }, newest);
    const at = now();
    const sinceOneSecret = live.keys.map(({ expiresAt }) => (expiresAt !== null && expiresAt <= at ? expiresAt : 0));
    const since = [at - disableAfter.withinMs, updatedAt, line.afreshAt, ...sinceOneSecret];
    if (success) since.push(success.startedAt + 1);
    return store.deliveries.countFailures(tenantId, endpointId, Math.max(...since));
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
