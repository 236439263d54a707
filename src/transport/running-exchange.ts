import type { Connection } from './connection.ts';
import type { Connecting, Timings } from './connector.ts';
import type { Timed } from './deadlines.ts';
import { keepHeaders } from './headers.ts';
import { nameFailure } from './reasons.ts';
import type { Failure } from './reasons.ts';
import type { ResponseHead, ResponseListener } from './response.ts';
import type { Target } from './targets.ts';
import type { Exchange, SendRequest } from './transport.ts';

const maxBodyBytes = 16 * 1024;

const noTimings: Timings = { dnsMs: null, connectMs: null, tlsMs: null };

/** What a running exchange tells the sender that started it. */
export interface ExchangeOwner {
  /** Settled, `done` not yet called. `isReusable`: the connection may carry another exchange. */
  settled(exchange: RunningExchange, isReusable: boolean): void;
}

/** One exchange from `send` to `done`: the reader's listener, the deadline's item and the record of what happened, in one object. */
export class RunningExchange implements ResponseListener, Timed {
  deadlineAt = 0;
  wheelNext: Timed | null = null;
  wheelPrevious: Timed | null = null;

  readonly request: SendRequest;
  target: Target | null = null;
  /** The request's head behind its first lines, as it is written. */
  head = '';
  connecting: Connecting | null = null;
  connection: Connection | null = null;
  settled = false;

  readonly #owner: ExchangeOwner;
  readonly #done: (exchange: Exchange) => void;
  readonly #startedAt = Date.now();
  readonly #start: number;
  #sentAt = 0;
  #firstByteAt = 0;
  #head: ResponseHead | null = null;
  #body: Buffer | null = null;
  #bodyBytes = 0;
  #truncated = false;

  constructor(request: SendRequest, done: (exchange: Exchange) => void, owner: ExchangeOwner, now: number) {
    this.request = request;
    this.#done = done;
    this.#owner = owner;
    this.#start = now;
  }

  /** Ends the exchange from this side: deadline, cancel, a destination refused, bytes that are no response. */
  fail(failure: Failure): void {
    if (this.settled) return;
    this.settled = true;
    if (this.connection === null) this.connecting?.abort();
    else void this.connection.destroy();
    this.#settle(failure, false);
  }

  /** The request is written. */
  started(): void {
    this.#sentAt = performance.now();
  }

  /** Bytes came in. */
  heard(): void {
    if (this.#firstByteAt === 0) this.#firstByteAt = performance.now();
  }

  onHead(head: ResponseHead): void {
    this.#head = head;
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (this.settled) return;
    const room = maxBodyBytes - this.#bodyBytes;
    this.#truncated = end - start > room;
    this.#keep(bytes, start, Math.min(end, start + room));
    if (!this.#truncated) return;
    void this.connection?.destroy();
    this.#settle(null, false);
  }

  /** The response is whole. */
  finished(isReusable: boolean): void {
    if (!this.settled) this.#settle(null, isReusable);
  }

  /** The connection is gone. */
  broken(error: Error): void {
    if (this.settled) return;
    this.#settle(nameFailure('exchange', error, this.connection?.address ?? ''), false);
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const size = this.#bodyBytes + end - start;
    if (this.#body === null) this.#body = Buffer.allocUnsafe(size);
    else if (this.#body.length < size) {
      // A body that drips in is copied once, not at every byte.
      const whole = Buffer.allocUnsafe(maxBodyBytes);
      this.#body.copy(whole);
      this.#body = whole;
    }
    bytes.copy(this.#body, this.#bodyBytes, start, end);
    this.#bodyBytes = size;
  }

  #settle(failure: Failure | null, isReusable: boolean): void {
    this.settled = true;
    this.#owner.settled(this, isReusable);
    const exchange = this.#record(failure);
    try {
      this.#done(exchange);
    } catch (error) {
      // A fault in the caller must not pass unseen, nor leave this connection's bytes half read.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #record(failure: Failure | null): Exchange {
    const timings = this.connecting?.timings ?? noTimings;
    const first = this.#firstByteAt;
    return {
      statusCode: this.#head?.statusCode ?? null,
      reason: failure === null ? null : failure.reason,
      detail: failure === null ? null : failure.detail,
      responseHeaders: this.#head === null ? null : keepHeaders(this.#head.headers),
      responseBody: this.#body === null ? null : this.#body.toString('utf8', 0, this.#bodyBytes),
      responseTruncated: this.#truncated,
      remoteAddress: this.connection?.address ?? null,
      startedAt: this.#startedAt,
      dnsMs: micros(timings.dnsMs),
      connectMs: micros(timings.connectMs),
      tlsMs: micros(timings.tlsMs),
      firstByteMs: first === 0 ? null : micros(first - this.#sentAt),
      totalMs: micros(performance.now() - this.#start),
      retryAfter: this.#head?.retryAfter ?? null,
    };
  }
}

/** Rounds to the microsecond: more digits are noise and cost room in the history. */
function micros(ms: number): number;
function micros(ms: number | null): number | null;
function micros(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1000) / 1000;
}
