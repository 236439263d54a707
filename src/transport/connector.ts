import { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import * as tls from 'node:tls';
import { dial } from './dial.ts';
import { nameFailure } from './reasons.ts';
import type { Failure, Phase } from './reasons.ts';
import { ResolveError } from './resolve.ts';
import type { Resolver } from './resolve.ts';
import type { Classifier } from './classify.ts';
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

const timingOf: Record<Phase, keyof Timings | null> = {
  dns: 'dnsMs',
  connect: 'connectMs',
  tls: 'tlsMs',
  exchange: null,
};

/** A connection being made. */
export interface Connecting {
  readonly phase: Phase;
  readonly timings: Timings;
  /** Gives up; `done` is not called after it. */
  abort(): void;
}

/** Makes connections that the guard has approved. */
export interface Connector {
  /** Connects. `preferred`: the address that answered last time, tried first. `done` is never called before this returns. */
  connect(destination: Destination, preferred: string | null, done: (outcome: Connected | Failure) => void): Connecting;
}

/**
 * Our own connector rather than undici's with a `lookup`: that option is never asked about IP literals. Here each host
 * becomes a list of literals, every one is judged, and only judged literals are dialled, so a name that resolves
 * differently a moment later (rebinding) has no second look-up to win.
 */
export function createConnector(options: {
  classifier: Classifier;
  resolver: Resolver;
  ca?: string | Buffer;
}): Connector {
  const { classifier, resolver } = options;
  const allows = (literal: string): boolean => classifier.allows(literal);
  if (options.ca !== undefined) {
    new X509Certificate(options.ca); // throws: OpenSSL would pass over what it cannot read
  }
  const secureContext = tls.createSecureContext({
    minVersion: 'TLSv1.2',
    ...(options.ca === undefined ? {} : { ca: [...tls.getCACertificates('default'), options.ca] }),
  });

  function connect(
    destination: Destination,
    preferred: string | null,
    done: (outcome: Connected | Failure) => void,
  ): Connecting {
    const timings: Timings = { dnsMs: null, connectMs: null, tlsMs: null };
    let phase: Phase = 'dns';
    let phaseStart = performance.now();
    let aborted = false;
    let giveUp: () => void = () => {};

    function enter(nextPhase: Phase): number {
      const now = performance.now();
      const elapsed = now - phaseStart;
      phaseStart = now;
      phase = nextPhase;
      return elapsed;
    }

    async function start(): Promise<void> {
      const addresses = await lookUp(destination, resolver);
      if (aborted) {
        return;
      }
      const elapsed = enter('connect');
      timings.dnsMs = isAsked(destination) ? elapsed : null;
      if (!Array.isArray(addresses)) {
        done(addresses as Failure);
        return;
      }
      const blocked = addresses.find((address) => !allows(address));
      if (blocked !== undefined) {
        done({
          reason: 'blocked_destination',
          detail: `${destination.host} leads to ${blocked}, which is not allowed`,
        });
        return;
      }
      reach(inOrder(addresses, preferred));
    }

    function reach(addresses: readonly string[]): void {
      giveUp = dial(addresses, destination.port, allows, (dialled) => {
        timings.connectMs = enter('tls');
        if ('reason' in dialled) {
          done(dialled);
        } else if (destination.protocol === 'http:') {
          done(dialled);
        } else {
          shakeHands(dialled);
        }
      });
    }

    function shakeHands({ socket: plain, address }: Connected): void {
      const socket = tls.connect({
        socket: plain,
        secureContext,
        // `host` is what the certificate is checked against; SNI must not carry an IP (RFC 6066, section 3).
        host: destination.host,
        servername: destination.hostIsIp ? '' : destination.host,
        ALPNProtocols: ['http/1.1'],
        rejectUnauthorized: true,
      });
      const fail = (error: unknown): void => {
        if (!aborted && phase === 'tls') {
          timings.tlsMs = enter('exchange');
          socket.destroy();
          plain.destroy();
          done(nameFailure('tls', error, destination.host));
        }
      };
      giveUp = () => {
        socket.destroy();
        plain.destroy();
      };
      socket.on('error', fail);
      socket.once('close', () => fail(new Error('closed during the handshake')));
      socket.once('secureConnect', () => {
        timings.tlsMs = enter('exchange');
        done({ socket, address });
      });
    }

    void start();
    return {
      get phase() {
        return phase;
      },
      timings,
      abort() {
        aborted = true;
        const field = timingOf[phase];
        if (field !== null && (field !== 'dnsMs' || isAsked(destination))) {
          timings[field] = performance.now() - phaseStart;
        }
        giveUp();
      },
    };
  }

  return { connect };
}

/** All addresses of the destination, or why there are none. Always asynchronous. */
async function lookUp(destination: Destination, resolver: Resolver): Promise<readonly string[] | Failure> {
  const { host, hostIsIp } = destination;
  if (!isAsked(destination)) {
    return hostIsIp ? [host] : ['127.0.0.1', '::1'];
  }
  try {
    const addresses = await resolver.resolve(host);
    return addresses.length > 0 ? addresses : { reason: 'dns_not_found', detail: `no address for ${host}` };
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

/** What answered last time, then IPv4 before IPv6: receivers list their senders' IPv4 addresses. */
function inOrder(addresses: readonly string[], preferred: string | null): string[] {
  const rank = (address: string): number => (address === preferred ? 0 : address.includes(':') ? 2 : 1);
  return [...addresses].sort((a, b) => rank(a) - rank(b));
}
