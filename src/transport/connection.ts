import type { Socket } from 'node:net';
import { Client } from 'undici';
import { withIdentity } from './headers.ts';
import { ConnectionGone } from './running-exchange.ts';
import type { RunningExchange } from './running-exchange.ts';
import type { Origin } from './targets.ts';

/** Response heads larger than this are refused. */
const maxHeaderBytes = 16 * 1024;

/** How long a connection may wait for reuse when the server does not say: just below the 5 s that Node and Apache keep it. */
const unhintedIdleMs = 4_000;

/**
 * One socket with undici's HTTP/1.1 on it. One `Client` for each socket rather than a `Pool`: the pool searches its
 * clients one by one at every dispatch, and would dial by itself, outside the guard.
 */
export class Connection {
  readonly origin: Origin;
  readonly address: string;
  readonly openedAt: number;
  /** Carried an exchange before the present one. */
  used = false;
  idle = false;
  readonly #client: Client;

  constructor(
    origin: Origin,
    socket: Socket,
    address: string,
    options: { maxIdleMs: number; onGone: (connection: Connection) => void },
  ) {
    this.origin = origin;
    this.address = address;
    this.openedAt = performance.now();
    let handedOver = false;
    this.#client = new Client(origin.url, {
      // The connected, checked socket is handed over once. undici must be called back in a later microtask: it ignores
      // the news of a socket while it is still asking for one.
      connect: (_options, callback) => {
        const first = !handedOver;
        handedOver = true;
        queueMicrotask(() =>
          first ? callback(null, socket) : callback(new ConnectionGone('connection closed'), null),
        );
      },
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: Math.min(unhintedIdleMs, options.maxIdleMs),
      keepAliveMaxTimeout: options.maxIdleMs,
    });
    this.#client.on('disconnect', () => options.onGone(this));
    // A socket that died before it was handed over never connects, so it never disconnects either.
    this.#client.on('connectionError', () => options.onGone(this));
  }

  /** Writes the exchange's request; the exchange hears what follows. */
  carry(exchange: RunningExchange, path: string): void {
    const { headers, body } = exchange.request;
    exchange.connection = this;
    this.#client.dispatch({ path, method: 'POST', headers: withIdentity(headers), body, blocking: false }, exchange);
  }

  /** Closes the socket at once. */
  destroy(): Promise<void> {
    return this.#client.destroy();
  }
}
