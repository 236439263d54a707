import type { Logger } from 'pino';
import type { DeliveryReason, DeliveryStatus } from '../model/delivery.ts';
import { prefixes } from '../model/id.ts';
import { decide } from '../model/retry.ts';
import type { Cluster, Store } from '../store/store.ts';
import type { Exchange, Sender } from '../transport/transport.ts';
import { detailOf, notSent } from './exchange-record.ts';
import type { Failures } from './failures.ts';
import type { Line, Work } from './line.ts';
import type { Lines } from './lines.ts';
import { keysAt } from './live-endpoint.ts';
import { AttemptStamp } from './message.ts';
import { Pauses } from './pauses.ts';
import { Settling } from './settling.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';

/** How often it is looked whether the lease holds again. */
const LEASE_LOOK_MS = 100;

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
  readonly settling: Settling;
  readonly pauses: Pauses;
  readonly #o: WorkerOptions;
  readonly #cluster: Cluster | null;
  #isPumping = false;
  #isStopped = false;
  #whenIdle: (() => void) | null = null;
  #leaseTimer: NodeJS.Timeout | null = null;
  /** Lines that have more on the wire than is their part since there are more nodes; null without any. */
  #excess: Set<Line> | null = null;
  readonly #whenInPlace: (() => void)[] = [];

  constructor(options: WorkerOptions) {
    this.#o = options;
    this.#cluster = options.store.cluster;
    this.settling = new Settling({
      ...options,
      onRoom: () => {
        this.pump();
      },
      onSettled: () => {
        if (this.#isIdle) this.#whenIdle?.();
      },
    });
    this.pauses = new Pauses({
      ...options,
      cluster: this.#cluster,
      settling: this.settling,
      onRoom: (line) => {
        this.pump();
        options.onFinish(line);
      },
    });
  }

  /** Sends as much as slots and shares allow. Call it when work entered a line or a slot came free. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (!this.#isStopped && !this.settling.isFull) {
      if (this.#cluster?.isLeaseLive() === false) {
        this.#awaitLease();
        break;
      }
      const next = this.#o.lines.next();
      if (!next) break;
      this.#send(next.line, next.work);
    }
    this.#isPumping = false;
  }

  /** The store was not heard of for so long that others may send what waits here: nothing goes until it is ours for sure. */
  #awaitLease(): void {
    this.#leaseTimer ??= setTimeout(() => {
      this.#leaseTimer = null;
      this.pump();
    }, LEASE_LOOK_MS).unref();
  }

  /** Nothing is ours any more: what waits in line is forgotten, and what is on the wire is not ours to settle. */
  leasesLost(): void {
    const { lines, onFinish } = this.#o;
    this.settling.leasesLost();
    for (const line of lines.all()) {
      lines.drain(line);
      onFinish(line);
    }
  }

  /**
   * Gives back what waits in lines of endpoints that other nodes send to, and sends what may go now. Resolves when no
   * endpoint has more on the wire from here than this node's part.
   */
  async placeChanged(): Promise<void> {
    const { lines, now, onFinish } = this.#o;
    for (const line of lines.all()) {
      if (line.inFlight > line.max) (this.#excess ??= new Set()).add(line);
      if (line.max > 0 || line.queue.length === 0) continue;
      for (const work of lines.drain(line)) this.settling.release(line.tenant.tenantId, line.endpointId, work, now());
      onFinish(line);
    }
    this.pump();
    if (this.#excess) await new Promise<void>((resolve) => this.#whenInPlace.push(resolve));
  }

  /** Something ended: what is beyond this node's part may have. */
  #lookAtExcess(excess: Set<Line>): void {
    for (const line of excess) if (line.inFlight <= line.max) excess.delete(line);
    if (excess.size > 0) return;
    this.#excess = null;
    for (const resolve of this.#whenInPlace.splice(0)) resolve();
  }

  /** Sends nothing new; resolves when what was on the wire is settled, or after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    this.settling.stop();
    this.pauses.stop();
    if (this.#leaseTimer) clearTimeout(this.#leaseTimer);
    if (!this.#isIdle) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#whenIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.settling.outcomes.close();
  }

  get #isIdle(): boolean {
    return this.#o.lines.inFlight === 0 && this.settling.isIdle;
  }

  #send(line: Line, work: Work): void {
    const { subscriptions, sender, now } = this.#o;
    const live = subscriptions.find(line.endpointId);
    if (!live?.endpoint.isActive) {
      this.settling.unsendable(line.tenant.tenantId, line.endpointId, work, live);
      this.#finish(line);
      return;
    }
    const at = now();
    this.#o.lines.went(line, work.attemptCount === 0 ? at - work.message.event.createdAt : null);
    const { lease } = this.settling;
    let body: Buffer;
    let headers: string[];
    try {
      const stamp = new AttemptStamp(work.id, work.attemptCount + 1, at);
      body = work.message.body(live.format);
      headers = live.format.headers(work.message, body, keysAt(live, at), stamp, live.extraHeaders);
    } catch (error) {
      // Checked when the event and the endpoint came in, so this is a fault of ours: it must show, and stop nothing else.
      this.#o.log.error({ err: error, delivery: prefixes.delivery + work.id }, 'delivery.not_signed');
      this.#ended(line, work, live, notSent(at, String(error)), at, lease);
      return;
    }
    sender.send({ url: live.endpoint.url, headers, body, timeoutMs: live.timeoutMs }, (exchange) => {
      this.#ended(line, work, live, exchange, at, lease);
    });
  }

  #ended(line: Line, work: Work, live: LiveEndpoint, exchange: Exchange, sentAt: number, lease: number): void {
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
      line.succeeded();
      line.failedAt = null;
      line.failuresElsewhere = 0;
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
        if (decision.disable) {
          this.pauses.gone(line, at);
          this.#o.onGone(present);
        }
      } else if (!present.endpoint.isActive) {
        status = 'held';
        reason = 'endpoint_disabled';
      } else {
        status = 'pending';
        dueAt = decision.dueAt;
      }
      if (present?.endpoint.url === live.endpoint.url) {
        this.#learn(line, exchange, decision.kind === 'retry' ? decision.pauseUntil : null, at);
        if (exchange.reason !== 'cancelled') this.#o.failures?.note(line, live, sentAt);
      }
    }

    const lastError = status === 'delivered' ? null : (exchange.reason ?? String(exchange.statusCode));
    this.settling.settle(
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
      lease,
    );
    if (this.#o.log.isLevelEnabled(status === 'delivered' ? 'debug' : 'info')) {
      this.#report(line, work, exchange, number, status, reason, dueAt);
    }
    this.#finish(line);
  }

  /** What a failure tells about the endpoint as a whole: send less at once, or leave it alone for a while. */
  #learn(line: Line, exchange: Exchange, pauseUntil: number | null, at: number): void {
    const { statusCode, reason } = exchange;
    if (reason === null && statusCode !== null && statusCode < 500 && statusCode !== 429) {
      line.succeeded(); // it answers, and quickly enough: a refusal concerns this event alone
      return;
    }
    line.failed();
    if (reason === null && (statusCode === 429 || statusCode === 503)) this.pauses.asked(line, pauseUntil, at);
  }

  /** Gives the deliveries of a line back, because its endpoint is disabled, or deleted (`live` null). */
  clear(line: Line, live: LiveEndpoint | null): void {
    const { tenantId } = line.tenant;
    for (const work of this.#o.lines.drain(line)) this.settling.unsendable(tenantId, line.endpointId, work, live);
    this.#o.onFinish(line);
  }

  #finish(line: Line): void {
    this.#o.lines.finish(line);
    if (this.#excess) this.#lookAtExcess(this.#excess);
    if (line.inFlight === 0 && !this.#o.subscriptions.find(line.endpointId)) this.#o.lines.forget(line.endpointId);
    this.pump();
    this.#o.onFinish(line); // behind the pump: only now is there room where the next one stood
    if (this.#isIdle) this.#whenIdle?.();
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
