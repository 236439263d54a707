import type { Logger } from 'pino';
import type { DeliveryReason, DeliveryStatus } from '../model/delivery.ts';
import { prefixes, type Id } from '../model/id.ts';
import { decide } from '../model/retry.ts';
import type { Settlement, Store } from '../store/store.ts';
import type { Exchange, Sender } from '../transport/transport.ts';
import { detailOf, notSent } from './exchange-record.ts';
import type { Failures } from './failures.ts';
import type { Line, Work } from './line.ts';
import type { Lines } from './lines.ts';
import { keysAt } from './live-endpoint.ts';
import { AttemptStamp } from './message.ts';
import { Outcomes } from './outcomes.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';

/** Attempts whose outcome the store has not taken yet, beyond which nothing new is sent. */
const MAX_UNSETTLED = 4096;
const SETTLE_AGAIN_MS = 500;
/** The longest pause that deliveries sit out in memory. */
const PATIENCE_MS = 5_000;
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 60_000;

export interface WorkerOptions {
  store: Store;
  sender: Sender;
  lines: Lines;
  subscriptions: Subscriptions;
  log: Logger;
  now: () => number;
  random: () => number;
  /** A slot came free: there may be room to claim for. */
  onFinish: (line: Line) => void;
  /** A delivery will be due in the store at this time. */
  onDue: (dueAt: number) => void;
  /** A delivery was held whose endpoint has been enabled meanwhile. */
  onHeldInVain: (live: LiveEndpoint) => void;
  /** The receiver answered 410. */
  onGone: (live: LiveEndpoint) => void;
  /** Null where no endpoint is disabled for failing. */
  failures: Failures | null;
}

/** Sends what waits in the lines, decides what an answer means, and has it settled. */
export class Worker {
  readonly outcomes = new Outcomes();
  readonly #o: WorkerOptions;
  #unsettled = 0;
  #isPumping = false;
  #isStopped = false;
  #whenIdle: (() => void) | null = null;
  readonly #pauses = new Set<NodeJS.Timeout>();

  constructor(options: WorkerOptions) {
    this.#o = options;
  }

  get unsettled(): number {
    return this.#unsettled;
  }

  /** Sends as much as slots and shares allow. Call it when work entered a line or a slot came free. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (!this.#isStopped && this.#unsettled < MAX_UNSETTLED) {
      const next = this.#o.lines.next();
      if (!next) break;
      this.#send(next.line, next.work);
    }
    this.#isPumping = false;
  }

  /** Sends nothing new; resolves when what was on the wire is settled, or after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#pauses) clearTimeout(timer);
    if (!this.#isIdle) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#whenIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.outcomes.close();
  }

  get #isIdle(): boolean {
    return this.#o.lines.inFlight === 0 && this.#unsettled === 0;
  }

  #send(line: Line, work: Work): void {
    const { subscriptions, sender, now } = this.#o;
    const live = subscriptions.find(line.endpointId);
    if (!live?.endpoint.isActive) {
      this.unsendable(line.tenant.tenantId, line.endpointId, work, live);
      this.#finish(line);
      return;
    }
    const at = now();
    let body: Buffer;
    let headers: string[];
    try {
      const stamp = new AttemptStamp(work.id, work.attemptCount + 1, at);
      body = work.message.body(live.format);
      headers = live.format.headers(work.message, body, keysAt(live, at), stamp, live.extraHeaders);
    } catch (error) {
      // Checked when the event and the endpoint came in, so this is a fault of ours: it must show, and stop nothing else.
      this.#o.log.error({ err: error, delivery: prefixes.delivery + work.id }, 'delivery.not_signed');
      this.#ended(line, work, live, notSent(at, String(error)), at);
      return;
    }
    sender.send({ url: live.endpoint.url, headers, body, timeoutMs: live.timeoutMs }, (exchange) => {
      this.#ended(line, work, live, exchange, at);
    });
  }

  /** Settles a delivery whose endpoint is disabled (held) or deleted (cancelled) without an attempt. */
  unsendable(tenantId: string, endpointId: Id, work: Work, live: LiveEndpoint | null): void {
    const status: DeliveryStatus = live ? 'held' : 'cancelled';
    const reason: DeliveryReason = live ? 'endpoint_disabled' : 'endpoint_deleted';
    this.#giveBack(tenantId, endpointId, work, status, reason, null);
  }

  /** Settles a delivery without an attempt. */
  #giveBack(
    tenantId: string,
    endpointId: Id,
    work: Work,
    status: DeliveryStatus,
    reason: DeliveryReason | null,
    dueAt: number | null,
  ): void {
    this.#settle(
      {
        tenantId,
        deliveryId: work.id,
        attempt: null,
        status,
        reason,
        attemptCount: work.attemptCount,
        dueAt,
        lastError: null,
        now: this.#o.now(),
      },
      endpointId,
    );
  }

  #ended(line: Line, work: Work, live: LiveEndpoint, exchange: Exchange, sentAt: number): void {
    const { subscriptions, random, now } = this.#o;
    if (exchange.reason === 'cancelled' && this.#isStopped) return; // its lease ends with the session
    const at = now();
    const number = work.attemptCount + 1;
    const decision = decide(
      { statusCode: exchange.statusCode, failure: exchange.reason, retryAfter: exchange.retryAfter },
      number - work.scheduleStart,
      number,
      live.retry,
      at,
      random(),
    );

    let status: DeliveryStatus;
    let reason: DeliveryReason | null = null;
    let dueAt: number | null = null;
    if (decision.kind === 'delivered') {
      status = 'delivered';
      line.succeeded(live.concurrency);
      line.failedAt = null;
    } else {
      // The endpoint may have changed while the exchange was under way: what is true now decides what comes next.
      const present = subscriptions.find(line.endpointId);
      if (!present) {
        status = 'cancelled';
        reason = 'endpoint_deleted';
      } else if (decision.kind === 'dead_letter' && decision.disable && present.endpoint.url !== live.endpoint.url) {
        status = 'pending'; // it is the old URL that is gone
        dueAt = at;
      } else if (decision.kind === 'dead_letter') {
        status = 'dead_letter';
        reason = decision.reason;
        if (decision.disable) this.#o.onGone(present);
      } else if (!present.endpoint.isActive) {
        status = 'held';
        reason = 'endpoint_disabled';
      } else {
        status = 'pending';
        dueAt = decision.dueAt;
      }
      if (present?.endpoint.url === live.endpoint.url) {
        this.#learn(line, live, exchange, decision.kind === 'retry' ? decision.pauseUntil : null, at);
        if (exchange.reason !== 'cancelled') this.#o.failures?.note(line, live, sentAt);
      }
    }

    const lastError = status === 'delivered' ? null : (exchange.reason ?? String(exchange.statusCode));
    this.#settle(
      {
        tenantId: line.tenant.tenantId,
        deliveryId: work.id,
        attempt: {
          deliveryId: work.id,
          number,
          startedAt: exchange.startedAt,
          durationMs: exchange.totalMs,
          succeeded: status === 'delivered',
          statusCode: exchange.statusCode,
          failure: exchange.reason,
          detail: JSON.stringify(detailOf(exchange)),
        },
        status,
        reason,
        attemptCount: number,
        dueAt,
        lastError,
        now: at,
      },
      line.endpointId,
    );
    if (this.#o.log.isLevelEnabled(status === 'delivered' ? 'debug' : 'info')) {
      this.#report(line, work, exchange, number, status, reason, dueAt);
    }
    this.#finish(line);
  }

  /** What a failure tells about the endpoint as a whole: send less at once, or leave it alone for a while. */
  #learn(line: Line, live: LiveEndpoint, exchange: Exchange, pauseUntil: number | null, at: number): void {
    const { statusCode, reason } = exchange;
    if (reason === null && statusCode !== null && statusCode < 500 && statusCode !== 429) {
      line.succeeded(live.concurrency); // it answers, and quickly enough: a refusal concerns this event alone
      return;
    }
    line.failed(live.concurrency);
    if (reason === null && (statusCode === 429 || statusCode === 503)) {
      // All that were on the wire say the same: without a time of the receiver's own, one pause answers them all.
      if (pauseUntil === null && line.pausedUntil > at) return;
      this.#pause(
        line,
        pauseUntil ?? at + Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(6, line.pausesInRow)),
        at,
      );
    }
  }

  #pause(line: Line, until: number, at: number): void {
    if (until <= line.pausedUntil) return;
    if (line.pausedUntil <= at) line.pausesInRow++; // a longer one of the same burst is not another
    line.pausedUntil = until;
    if (until - at > PATIENCE_MS) {
      const { tenantId } = line.tenant;
      for (const work of this.#o.lines.drain(line))
        this.#giveBack(tenantId, line.endpointId, work, 'pending', null, until);
      this.#o.onFinish(line);
    }
    const timer = setTimeout(
      () => {
        this.#pauses.delete(timer);
        if (line.pausedUntil !== until) return; // asked for longer meanwhile: a later timer ends it
        this.#resume(line);
      },
      Math.min(until - at, 2 ** 31 - 1),
    );
    this.#pauses.add(timer);
  }

  /**
   * The endpoint is another one from now on, or was looked after: what was learnt of it holds no longer.
   * @returns whether that was to leave it alone for so long that its deliveries wait in the store
   */
  startAfresh(live: LiveEndpoint): boolean {
    const line = this.#o.lines.find(live.endpoint.id);
    if (!line) return false;
    const at = this.#o.now();
    const wasPausedLong = line.pausedUntil - at > PATIENCE_MS;
    line.forgetTroubles(live.concurrency, at);
    this.#resume(line);
    return wasPausedLong;
  }

  /** Gives the deliveries of a line back, because its endpoint is disabled, or deleted (`live` null). */
  clear(line: Line, live: LiveEndpoint | null): void {
    const { tenantId } = line.tenant;
    for (const work of this.#o.lines.drain(line)) this.unsendable(tenantId, line.endpointId, work, live);
    this.#o.onFinish(line);
  }

  /** Ends a pause. */
  #resume(line: Line): void {
    line.pausedUntil = 0;
    this.#o.lines.makeReady(line);
    this.pump();
    this.#o.onFinish(line);
  }

  #finish(line: Line): void {
    this.#o.lines.finish(line);
    if (line.inFlight === 0 && !this.#o.subscriptions.find(line.endpointId)) this.#o.lines.forget(line.endpointId);
    this.pump();
    this.#o.onFinish(line); // behind the pump: only now is there room where the next one stood
    if (this.#isIdle) this.#whenIdle?.();
  }

  #settle(settlement: Settlement, endpointId: Id): void {
    this.#unsettled++;
    this.#o.store.settle(settlement).then(
      (isOurs) => {
        this.#unsettled--;
        if (this.outcomes.size > 0 && isOurs) this.outcomes.tell(settlement);
        // Not before: a claim in between would not find it, and nobody would look again.
        if (settlement.dueAt !== null) this.#o.onDue(settlement.dueAt);
        if (settlement.status === 'held') {
          const live = this.#o.subscriptions.find(endpointId);
          if (live?.endpoint.isActive) this.#o.onHeldInVain(live);
        }
        if (!isOurs) this.#o.log.warn({ delivery: prefixes.delivery + settlement.deliveryId }, 'delivery.lease_lost');
        if (this.#unsettled === MAX_UNSETTLED - 1) this.pump();
        if (this.#whenIdle && this.#isIdle) this.#whenIdle();
      },
      (error: unknown) => {
        // What happened must not be forgotten while the store is away: the outcome waits here and is written later.
        // Not once stopping: then the lease ends with the session, and the next start sends once more.
        this.#o.log.warn(
          { delivery: prefixes.delivery + settlement.deliveryId, error: String(error) },
          'delivery.not_settled',
        );
        const again = (): void => {
          this.#unsettled--;
          if (!this.#isStopped) this.#settle(settlement, endpointId);
          else if (this.#isIdle) this.#whenIdle?.();
        };
        if (this.#isStopped) again();
        else setTimeout(again, SETTLE_AGAIN_MS);
      },
    );
  }

  #report(
    line: Line,
    work: Work,
    exchange: Exchange,
    attemptNumber: number,
    status: DeliveryStatus,
    reason: DeliveryReason | null,
    dueAt: number | null,
  ): void {
    const level = status === 'delivered' ? 'debug' : 'info';
    this.#o.log[level](
      {
        tenant: line.tenant.tenantId,
        delivery: prefixes.delivery + work.id,
        event: work.message.id,
        type: work.message.type,
        endpoint: prefixes.endpoint + line.endpointId,
        attemptNumber,
        status,
        reason,
        statusCode: exchange.statusCode,
        failure: exchange.reason,
        durationMs: exchange.totalMs,
        nextAttemptAt: dueAt === null ? null : new Date(dueAt).toISOString(),
      },
      'delivery.attempted',
    );
  }
}
