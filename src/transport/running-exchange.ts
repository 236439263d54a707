import type { Dispatcher } from 'undici';
import type { Connection } from './connection.ts';
import type { Connecting, Timings } from './connector.ts';
import type { Timed } from './deadlines.ts';
import { keepHeaders } from './headers.ts';
import { nameFailure } from './reasons.ts';
import type { Failure } from './reasons.ts';
import type { Target } from './targets.ts';
import type { Exchange, SendRequest } from './transport.ts';

const maxBodyBytes = 16 * 1024;

/** 1xx responses passed over before the real one. Early hints come once or twice; more is a way to keep us busy. */
const maxInformational = 8;

const noTimings: Timings = { dnsMs: null, connectMs: null, tlsMs: null };

/** What a running exchange tells the sender that started it. */
export interface ExchangeOwner {
  /** The kept-alive connection was gone before a byte was written: try another. */
  lost(exchange: RunningExchange): void;
  /** Settled, `done` not yet called. `reusable`: the connection may carry another exchange. */
  settled(exchange: RunningExchange, reusable: boolean): void;
}

/** What undici gets when it asks for a second socket for a connection: there is one socket, and it is gone. */
export class ConnectionGone extends Error {
  override name = 'ConnectionGone';
  readonly code = 'ECONNRESET';
}

/** One exchange from `send` to `done`: undici's handler, the deadline's item and the record of what happened, in one object. */
export class RunningExchange implements Dispatcher.DispatchHandler, Timed {
  deadlineAt = 0;
  wheelNext: Timed | null = null;
  wheelPrevious: Timed | null = null;

  readonly request: SendRequest;
  target: Target | null = null;
  connecting: Connecting | null = null;
  connection: Connection | null = null;
  settled = false;

  readonly #owner: ExchangeOwner;
  readonly #done: (exchange: Exchange) => void;
  readonly #startedAt = Date.now();
  readonly #start: number;
  #sentAt = 0;
  #firstByteAt = 0;
  #controller: Dispatcher.DispatchController | null = null;
  #informational = 0;
  #statusCode: number | null = null;
  #headers: string[] | null = null;
  #retryAfter: string | null = null;
  #keepAlive = false;
  #body: Buffer | null = null;
  #bodyBytes = 0;
  #truncated = false;

  constructor(request: SendRequest, done: (exchange: Exchange) => void, owner: ExchangeOwner, now: number) {
    this.request = request;
    this.#done = done;
    this.#owner = owner;
    this.#start = now;
  }

  /** The head of the response arrived whole. */
  get hasHead(): boolean {
    return this.#statusCode !== null;
  }

  /** Ends the exchange from this side: deadline, cancel, a destination refused. */
  fail(failure: Failure): void {
    if (this.settled) {
      return;
    }
    this.#release();
    this.#settle(failure, false);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#sentAt = performance.now();
  }

  onResponseStarted(): void {
    if (this.#firstByteAt === 0) {
      this.#firstByteAt = performance.now();
    }
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.settled) {
      return;
    }
    if (statusCode < 200) {
      this.#informational += 1;
      if (this.#informational > maxInformational) {
        this.fail({ reason: 'bad_response', detail: `more than ${maxInformational} responses of the 1xx kind` });
      }
      return;
    }
    this.#statusCode = statusCode;
    this.#headers = keepHeaders((controller.rawHeaders ?? []) as (Buffer | string)[]);
    const retryAfter = headers['retry-after'];
    this.#retryAfter = (Array.isArray(retryAfter) ? retryAfter[0] : retryAfter) ?? null;
    const { connection } = headers;
    this.#keepAlive = connection === undefined || !/\bclose\b/i.test(String(connection));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.settled) {
      return;
    }
    const room = maxBodyBytes - this.#bodyBytes;
    if (chunk.length > room) {
      this.#truncated = true;
      this.#keep(chunk.subarray(0, room));
      this.#release();
      this.#settle(null, false);
      return;
    }
    this.#keep(chunk);
  }

  onResponseEnd(): void {
    if (!this.settled) {
      this.#settle(null, this.#keepAlive);
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.settled) {
      return;
    }
    if (error instanceof ConnectionGone && this.connection?.used === true) {
      this.#owner.lost(this);
      return;
    }
    const failure = nameFailure(this.#statusCode === null ? 'exchange' : 'body', error, this.connection?.address ?? '');
    if (this.#controller === null) {
      // Refused before it began, possibly within `send`, whose caller must not hear of it before `send` returned.
      queueMicrotask(() => this.fail(failure));
    } else {
      this.#settle(failure, false);
    }
  }

  #keep(chunk: Buffer): void {
    if (this.#body === null) {
      this.#body = chunk;
    } else {
      // A body that drips in would pin one read buffer for each byte: from the second piece on it is copied.
      if (this.#body.length < maxBodyBytes) {
        const whole = Buffer.allocUnsafe(maxBodyBytes);
        this.#body.copy(whole);
        this.#body = whole;
      }
      chunk.copy(this.#body, this.#bodyBytes);
    }
    this.#bodyBytes += chunk.length;
  }

  #settle(failure: Failure | null, reusable: boolean): void {
    this.settled = true;
    this.#owner.settled(this, reusable);
    const exchange = this.#record(failure);
    try {
      this.#done(exchange);
    } catch (error) {
      // undici swallows what its handlers throw: a fault in the caller must not pass unseen.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #record(failure: Failure | null): Exchange {
    const timings = this.connecting?.timings ?? noTimings;
    const first = this.#firstByteAt;
    return {
      statusCode: this.#statusCode,
      reason: failure === null ? null : failure.reason,
      detail: failure === null ? null : failure.detail,
      responseHeaders: this.#headers,
      responseBody: this.#body === null ? null : this.#body.toString('utf8', 0, this.#bodyBytes),
      responseTruncated: this.#truncated,
      remoteAddress: this.connection?.address ?? null,
      startedAt: this.#startedAt,
      dnsMs: micros(timings.dnsMs),
      connectMs: micros(timings.connectMs),
      tlsMs: micros(timings.tlsMs),
      firstByteMs: first === 0 ? null : micros(first - this.#sentAt),
      totalMs: micros(performance.now() - this.#start),
      retryAfter: this.#retryAfter,
    };
  }

  /** Lets go of whatever still works for this exchange. What it reports from now on is ignored. */
  #release(): void {
    this.settled = true;
    if (this.connection === null) {
      this.connecting?.abort();
    } else if (this.#controller === null) {
      void this.connection.destroy();
    } else {
      this.#controller.abort(new Error('the exchange is over'));
    }
  }
}

/** Rounds to the microsecond: more digits are noise and cost room in the history. */
function micros(ms: number): number;
function micros(ms: number | null): number | null;
function micros(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 1000) / 1000;
}
