import type { Socket } from 'node:net';
import { ByteSocket } from './byte-socket.ts';
import { mostTelling, nameFailure } from './reasons.ts';
import type { Failure } from './reasons.ts';

/** A silent address holds the next one back this long (RFC 8305 recommends 250 ms). */
const nextAddressMs = 250;

/** Addresses tried for one connection; a DNS answer may hold hundreds. */
const maxTried = 6;

/** Outcome of a dial: a connected socket, or why there is none. */
export type Dialled = { socket: Socket; address: string } | Failure;

/**
 * Connects to the first of the addresses that answers: tries them in turn, the next one when the last failed or has been
 * silent for 250 ms. `addresses` are checked IP literals, not empty; nothing is resolved here. `allows` is asked again
 * about the address the kernel says it connected to. Returns a function that gives up; `done` is not called after it.
 */
export function dial(
  addresses: readonly string[],
  port: number,
  allows: (literal: string) => boolean,
  done: (dialled: Dialled) => void,
): () => void {
  const candidates = addresses.slice(0, maxTried);
  const trying = new Set<Socket>();
  const failures: Failure[] = [];
  let next = 0;
  let timer: NodeJS.Timeout | undefined;

  function giveUp(): void {
    clearTimeout(timer);
    next = candidates.length;
    for (const socket of trying) {
      socket.destroy();
    }
    trying.clear();
  }

  function tryNext(): void {
    clearTimeout(timer);
    const address = candidates[next];
    if (address === undefined) {
      return;
    }
    next += 1;
    const socket = new ByteSocket();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    trying.add(socket);
    // Stays on for the socket's life, so that an error between two owners is never an uncaught one.
    socket.on('error', (error) => fail(socket, nameFailure('connect', error, where(address, port))));
    socket.once('connect', () => arrive(socket, address));
    socket.connect({ host: address, port });
    if (next < candidates.length) {
      timer = setTimeout(tryNext, nextAddressMs);
    }
  }

  function arrive(socket: Socket, address: string): void {
    const reached = socket.remoteAddress;
    if (reached === undefined) {
      fail(socket, { reason: 'connect_reset', detail: `closed at once ${where(address, port)}` });
    } else if (!allows(reached)) {
      fail(socket, { reason: 'blocked_destination', detail: `connected to ${reached}, which is not allowed` });
    } else {
      trying.delete(socket);
      giveUp();
      done({ socket, address });
    }
  }

  function fail(socket: Socket, failure: Failure): void {
    socket.destroy();
    if (!trying.delete(socket)) {
      return;
    }
    failures.push(failure);
    if (next < candidates.length) {
      tryNext();
    } else if (trying.size === 0) {
      done(mostTelling(failures));
    }
  }

  tryNext();
  return giveUp;
}

/** What answered last time, then IPv4 before IPv6: receivers list their senders' IPv4 addresses. */
export function inOrder(addresses: readonly string[], preferred: string | null): string[] {
  const rank = (address: string): number => (address === preferred ? 0 : address.includes(':') ? 2 : 1);
  return [...addresses].sort((a, b) => rank(a) - rank(b));
}

function where(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
