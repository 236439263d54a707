import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import * as tls from 'node:tls';
import type { Classifier } from './classify.ts';
import { dial, inOrder } from './dial.ts';
import { nameFailure } from './reasons.ts';
import type { Failure, Phase } from './reasons.ts';
import { ResolveError } from './resolve.ts';
import type { Resolver } from './resolve.ts';
import type { Destination } from './url.ts';

/** A socket that is connected, checked and, for https, past its handshake. */
export interface Connected {
  socket: Socket;
  /** The checked address that answered. */
  address: string;
}

/** Durations of the phases that occurred so far. */
export interface Timings {
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
}

/** What connections are made with. */
export interface ConnectorParts {
  classifier: Classifier;
  resolver: Resolver;
  secureContext: tls.SecureContext;
}

/** What to trust: Node's own authorities and `ca` (PEM). Throws when `ca` cannot be read. */
export function createTrust(ca: string | Buffer | undefined): tls.SecureContext {
  if (ca === undefined) {
    return tls.createSecureContext({ minVersion: 'TLSv1.2' });
  }
  new X509Certificate(ca); // throws, where OpenSSL would pass over what it cannot read
  return tls.createSecureContext({ minVersion: 'TLSv1.2', ca: [...tls.getCACertificates('default'), ca] });
}

/**
 * One connection being made: look-up, TCP, TLS.
 *
 * Not `net.connect` with a `lookup`: that option is never asked about IP literals. Here each host
 * becomes a list of literals, every one is judged, and only judged literals are dialled, so a name that resolves
 * differently a moment later (rebinding) has no second look-up to win.
 */
export class Connecting {
  readonly timings: Timings = { dnsMs: null, connectMs: null, tlsMs: null };
  /** `exchange` once it is over. */
  phase: Phase = 'dns';
  readonly #parts: ConnectorParts;
  readonly #destination: Destination;
  /** Null once called: the socket's listeners keep this object for as long as it lives, and need not keep an exchange. */
  #done: ((outcome: Connected | Failure) => void) | null;
  #phaseStart = performance.now();
  #giveUp: (() => void) | null = null;

  /** `preferred`: the address that answered last time, tried first. `done` is never called before this returns. */
  constructor(
    parts: ConnectorParts,
    destination: Destination,
    preferred: string | null,
    done: (outcome: Connected | Failure) => void,
  ) {
    this.#parts = parts;
    this.#destination = destination;
    this.#done = done;
    void this.#start(preferred);
  }

  /** Gives up; `done` is not called after it. */
  abort(): void {
    this.#done = null;
    this.#enter('exchange');
    this.#giveUp?.();
  }

  async #start(preferred: string | null): Promise<void> {
    const found = await lookUp(this.#destination, this.#parts.resolver);
    if (this.phase !== 'dns') {
      return;
    }
    if ('reason' in found) {
      this.#end(found);
      return;
    }
    const { host, port } = this.#destination;
    const allows = (literal: string): boolean => this.#parts.classifier.allows(literal);
    const blocked = found.addresses.find((address) => !allows(address));
    if (blocked !== undefined) {
      this.#end({ reason: 'blocked_destination', detail: `${host} leads to ${blocked}, which is not allowed` });
      return;
    }
    this.#enter('connect');
    this.#giveUp = dial(inOrder(found.addresses, preferred), port, allows, (dialled) => {
      if ('reason' in dialled || this.#destination.protocol === 'http:') {
        this.#end(dialled);
      } else {
        this.#enter('tls');
        this.#shakeHands(dialled);
      }
    });
  }

  #shakeHands({ socket: plain, address }: Connected): void {
    const { host, hostIsIp } = this.#destination;
    const socket = tls.connect({
      socket: plain,
      secureContext: this.#parts.secureContext,
      // `host` is what the certificate is checked against; SNI must not carry an IP (RFC 6066, section 3).
      host,
      servername: hostIsIp ? '' : host,
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
    });
    const destroy = (): void => {
      socket.destroy();
      plain.destroy();
    };
    const fail = (error: Error): void => {
      if (this.phase === 'tls') {
        destroy();
        this.#end(nameFailure('tls', error, host));
      }
    };
    this.#giveUp = destroy;
    // Stays on for the socket's life, so that an error between two owners is never an uncaught one.
    socket.on('error', fail);
    socket.once('close', () => fail(new Error('closed during the handshake')));
    socket.once('secureConnect', () => this.#end({ socket, address }));
  }

  #end(outcome: Connected | Failure): void {
    const done = this.#done;
    this.#done = null;
    this.#enter('exchange');
    done?.(outcome);
  }

  /** Goes on to another phase and notes how long the one before took. */
  #enter(next: Phase): void {
    const now = performance.now();
    const elapsedMs = now - this.#phaseStart;
    if (this.phase === 'dns' && isAsked(this.#destination)) {
      this.timings.dnsMs = elapsedMs;
    } else if (this.phase === 'connect') {
      this.timings.connectMs = elapsedMs;
    } else if (this.phase === 'tls') {
      this.timings.tlsMs = elapsedMs;
    }
    this.#phaseStart = now;
    this.phase = next;
  }
}

/** All addresses of the destination, or why there are none. Always asynchronous. */
async function lookUp(
  destination: Destination,
  resolver: Resolver,
): Promise<{ addresses: readonly string[] } | Failure> {
  const { host, hostIsIp } = destination;
  if (!isAsked(destination)) {
    return { addresses: hostIsIp ? [host] : ['127.0.0.1', '::1'] };
  }
  try {
    const addresses = await resolver.resolve(host);
    return addresses.length > 0 ? { addresses } : { reason: 'dns_not_found', detail: `no address for ${host}` };
  } catch (error) {
    return error instanceof ResolveError
      ? { reason: error.reason, detail: error.message }
      : nameFailure('dns', error, host);
  }
}

/** Whether a resolver is asked: not about literals, and never about localhost (RFC 6761, section 6.3). */
function isAsked({ host, hostIsIp }: Destination): boolean {
  return !hostIsIp && host !== 'localhost' && !host.endsWith('.localhost');
}
