import type { Socket } from 'node:net';
import { Client } from 'undici';
import { withIdentity } from './headers.ts';
import { ConnectionGone } from './running-exchange.ts';
import type { RunningExchange } from './running-exchange.ts';
import type { Origin } from './targets.ts';

/** Response heads larger than this are refused. */
const maxHeadBytes = 16 * 1024;
/** All that is read of one exchange: head, the 16 KiB of a body that are kept, its framing, trailers. */
const maxExchangeBytes = 128 * 1024;
/** Bytes handed to the parser at once, so that the bounds strike soon. */
const pieceBytes = 4 * 1024;

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
  #exchange: RunningExchange | null = null;
  #exchangeBytes = 0;

  constructor(
    origin: Origin,
    socket: Socket,
    address: string,
    options: { maxIdleMs: number; onGone: (connection: Connection) => void },
  ) {
    this.origin = origin;
    this.address = address;
    this.openedAt = performance.now();
    this.#bound(socket);
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
      // Never reached: undici would make an error for every header beyond it, some 3 µs each, and go on reading.
      maxHeaderSize: 2 * maxExchangeBytes,
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
    this.#exchange = exchange;
    this.#exchangeBytes = 0;
    this.#client.dispatch({ path, method: 'POST', headers: withIdentity(headers), body, blocking: false }, exchange);
  }

  /** Lets undici read in pieces, and no more of one exchange than its bounds allow. */
  #bound(socket: Socket): void {
    const read = socket.read.bind(socket);
    socket.read = (): Buffer | null => {
      if (socket.destroyed || this.#exchange?.settled === true) return null;
      const chunk = read(Math.min(pieceBytes, socket.readableLength) || undefined) as Buffer | null;
      if (chunk === null || this.#exchange === null) return chunk;
      this.#exchangeBytes += chunk.length;
      if (this.#exchangeBytes <= maxHeadBytes) return chunk;
      const what = this.#exchange.hasHead ? null : `a response head larger than ${maxHeadBytes} bytes`;
      if (what === null && this.#exchangeBytes <= maxExchangeBytes) return chunk;
      const detail = what ?? `a response larger than ${maxExchangeBytes} bytes, most of it no body`;
      this.#exchange.fail({ reason: 'bad_response', detail });
      return null;
    };
  }

  /** Closes the socket at once. */
  destroy(): Promise<void> {
    return this.#client.destroy();
  }
}
