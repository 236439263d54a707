import type { Socket } from 'node:net';
import { ByteSocket } from './byte-socket.ts';
import type { Timed } from './deadlines.ts';
import { ResponseReader } from './response.ts';
import type { RunningExchange } from './running-exchange.ts';
import type { Origin, Target } from './targets.ts';

/** How long a connection may wait for reuse when the server does not say: just below the 5 s that Node and Apache keep it. */
const unhintedIdleMs = 4_000;
/** So much earlier than the server says it would close. */
const hintMarginMs = 2_000;
/** Bodies up to this size go out in one piece with their head; copying a larger one costs more than a second buffer. */
const maxCopiedBytes = 16 * 1024;

/** One socket that speaks HTTP/1.1: a request, its response, the next request. */
export class Connection implements Timed {
  /** When it is closed unless it is used, while it waits; on the clock of `performance.now`. */
  deadlineAt = 0;
  wheelNext: Timed | null = null;
  wheelPrevious: Timed | null = null;

  /** On the same clock: since when it waits, or waited last. */
  idleSince = 0;

  readonly origin: Origin;
  readonly address: string;
  readonly openedAt: number;
  idle = false;
  readonly #socket: Socket;
  readonly #reader = new ResponseReader();
  #exchange: RunningExchange | null = null;

  constructor(origin: Origin, socket: Socket, address: string, onGone: (connection: Connection) => void) {
    this.origin = origin;
    this.address = address;
    this.openedAt = performance.now();
    this.#socket = socket;
    if (socket instanceof ByteSocket) socket.onBytes = (bytes, length) => this.#read(bytes, length);
    else socket.on('data', (bytes: Buffer) => this.#read(bytes, bytes.length));
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#broken(error));
    socket.on('close', () => {
      this.#broken(new Error('the connection is closed'));
      onGone(this);
    });
  }

  get isOpen(): boolean {
    return this.#socket.writable;
  }

  /** Writes the exchange's request; the exchange hears what follows. */
  carry(exchange: RunningExchange): void {
    const { target, head, request } = exchange;
    this.#exchange = exchange;
    this.#reader.begin(exchange);
    exchange.started();
    write(this.#socket, (target as Target).opening + head, request.body);
  }

  /** For how long it may wait to be used again, ms; 0 = not at all. */
  idleMs(maxIdleMs: number): number {
    const { keepAliveSeconds } = this.#reader;
    const ms = keepAliveSeconds === null ? unhintedIdleMs : keepAliveSeconds * 1_000 - hintMarginMs;
    return Math.min(ms, maxIdleMs);
  }

  /** A connection that waits does not keep the process alive. */
  wait(): void {
    this.idle = true;
    this.#socket.unref();
  }

  /** It waits no longer. */
  wake(): void {
    this.idle = false;
    this.#socket.ref();
  }

  /** Closes the socket at once; resolves when it is closed. */
  destroy(): Promise<void> {
    this.#exchange = null;
    const { closed } = this.#socket;
    this.#socket.destroy();
    return closed ? Promise.resolve() : new Promise((resolve) => this.#socket.once('close', () => resolve()));
  }

  #read(bytes: Buffer, length: number): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      void this.destroy(); // bytes that nobody asked for
      return;
    }
    exchange.heard();
    const malformed = this.#reader.read(bytes, length);
    if (malformed !== null) exchange.fail({ reason: 'bad_response', detail: malformed });
    else if (this.#reader.isDone) this.#finish(exchange);
  }

  /** What is still to be written of the request, the server did not want. */
  #finish(exchange: RunningExchange): void {
    if (exchange.settled) return;
    const isReusable = this.#reader.isPersistent && this.#socket.writableLength === 0 && this.#socket.writable;
    this.#exchange = null;
    if (!isReusable) void this.destroy();
    exchange.finished(isReusable);
  }

  #ended(): void {
    const exchange = this.#exchange;
    if (exchange !== null && this.#reader.end()) this.#finish(exchange);
    else this.#broken(new Error('closed by the receiver before the response was whole'));
    void this.destroy();
  }

  #broken(error: Error): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange !== null) exchange.broken(error);
  }
}

function write(socket: Socket, head: string, body: Buffer): void {
  if (body.length > maxCopiedBytes) {
    socket.cork();
    socket.write(head, 'latin1');
    socket.write(body);
    socket.uncork();
    return;
  }
  const whole = Buffer.allocUnsafe(head.length + body.length);
  whole.write(head, 0, 'latin1');
  body.copy(whole, head.length);
  socket.write(whole);
}
