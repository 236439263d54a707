import { Connection } from './connection.ts';
import { Connecting, createTrust } from './connector.ts';
import type { Connected, ConnectorParts } from './connector.ts';
import { Deadlines } from './deadlines.ts';
import { headerLines } from './headers.ts';
import { timeoutReasons } from './reasons.ts';
import type { Failure } from './reasons.ts';
import { createResolver } from './resolve.ts';
import { RunningExchange } from './running-exchange.ts';
import type { ExchangeOwner } from './running-exchange.ts';
import { Targets } from './targets.ts';
import type { Origin, Target } from './targets.ts';
import type { Sender, SenderOptions } from './transport.ts';
import { createGuard } from './url.ts';

/** A connection is closed at this age, so that a receiver whose DNS changes is followed. */
const maxAgeMs = 5 * 60_000;

/** A connection that was read so short a time ago has nothing unread, but for what crosses the next request anyway. */
const justReadMs = 1;

/** As often in a row connections of an origin must have been fit to be used again before that is done at once. */
const enoughTrust = 32;

const defaultMaxIdleMs = 30_000;
const defaultMaxIdleConnections = 1_024;

/** Makes a sender. Throws when the policy or `ca` cannot be read. */
export function createSender(options: SenderOptions): Sender {
  const guard = createGuard(options.policy);
  const resolver = options.resolver ?? createResolver();
  const parts: ConnectorParts = { classifier: guard.classifier, resolver, secureContext: createTrust(options.ca) };
  const targets = new Targets(guard);
  const maxIdleMs = options.maxIdleMs ?? defaultMaxIdleMs;
  const maxIdleConnections = options.maxIdleConnections ?? defaultMaxIdleConnections;
  const connections = new Set<Connection>();
  /** Over all origins, the longest idle first. */
  const idle = new Set<Connection>();
  const deadlines = new Deadlines<RunningExchange>(strike);
  const idleDeadlines = new Deadlines<Connection>(discard);
  /** Given a connection that waited, since the event loop's last check phase. */
  let reusing: RunningExchange[] = [];
  let closed: Promise<void> | null = null;
  let onDrained: (() => void) | null = null;

  const owner: ExchangeOwner = { settled };

  function strike(exchange: RunningExchange): void {
    const phase = exchange.connection === null ? (exchange.connecting?.phase ?? 'dns') : 'exchange';
    const detail = `no complete response within ${exchange.request.timeoutMs} ms; stopped in phase ${phase}`;
    exchange.fail({ reason: timeoutReasons[phase], detail });
  }

  function settled(exchange: RunningExchange, isReusable: boolean): void {
    deadlines.clear(exchange);
    if (isReusable) {
      exchange.connection!.origin.trust++;
      park(exchange.connection!);
    }
    if (deadlines.size === 0) onDrained?.();
  }

  function park(connection: Connection): void {
    const idleMs = connection.idleMs(maxIdleMs);
    if (closed !== null || idleMs <= 0) {
      discard(connection);
      return;
    }
    connection.wait();
    connection.origin.idle.push(connection);
    idle.add(connection);
    const now = performance.now();
    connection.idleSince = now;
    idleDeadlines.set(connection, now, now + idleMs);
    if (idle.size > maxIdleConnections) {
      for (const longestIdle of idle) {
        discard(longestIdle);
        break;
      }
    }
  }

  /** A waiting connection to the origin, the last used one first: the others then grow old and go. */
  function take(origin: Origin, now: number): Connection | null {
    for (let connection = origin.idle.pop(); connection !== undefined; connection = origin.idle.pop()) {
      unpark(connection);
      if (now - connection.openedAt < maxAgeMs) {
        return connection;
      }
      discard(connection);
    }
    return null;
  }

  function unpark(connection: Connection): void {
    connection.wake();
    idle.delete(connection);
    idleDeadlines.clear(connection);
  }

  function discard(connection: Connection): void {
    forget(connection);
    void connection.destroy();
  }

  function forget(connection: Connection): void {
    connections.delete(connection);
    if (connection.idle) {
      unpark(connection);
      const index = connection.origin.idle.indexOf(connection);
      if (index !== -1) {
        connection.origin.idle.splice(index, 1);
      }
    }
  }

  /** Closed by the server, or in trouble: what comes behind an answer of this origin is looked at again. */
  function gone(connection: Connection): void {
    if (connections.has(connection)) connection.origin.trust = 0;
    forget(connection);
  }

  function open(exchange: RunningExchange): void {
    const { destination, origin } = exchange.target as Target;
    exchange.connection = null;
    exchange.connecting = new Connecting(parts, destination, origin.preferredAddress, (outcome) => {
      if ('reason' in outcome) {
        exchange.fail(outcome);
      } else {
        use(exchange, outcome);
      }
    });
  }

  function use(exchange: RunningExchange, { socket, address }: Connected): void {
    const { origin } = exchange.target as Target;
    origin.preferredAddress = address;
    const connection = new Connection(origin, socket, address, gone);
    connections.add(connection);
    exchange.connection = connection;
    connection.carry(exchange);
  }

  /**
   * Not at once: what the server sent without being asked, or that it closed, may wait to be read, and must not pass for the
   * answer to this request. Between two check phases the event loop reads all sockets; one alone may come right behind a
   * reading that began before. Under load these turns of the loop are what a slot is held for: an origin that never sends
   * or closes unasked is spared them while its connections are handed from one exchange to the next.
   */
  function reuse(exchange: RunningExchange, connection: Connection, now: number): void {
    exchange.connection = connection;
    if (connection.origin.trust >= enoughTrust && now - connection.idleSince < justReadMs && connection.isOpen) {
      connection.carry(exchange);
      return;
    }
    if (reusing.push(exchange) > 1) return;
    setImmediate(() => {
      setImmediate(writeAll, reusing);
      reusing = [];
    });
  }

  function writeAll(exchanges: readonly RunningExchange[]): void {
    for (const exchange of exchanges) {
      if (exchange.settled) continue;
      const connection = exchange.connection!;
      if (connection.isOpen) connection.carry(exchange);
      else open(exchange);
    }
  }

  function refuse(exchange: RunningExchange, failure: Failure): void {
    queueMicrotask(() => exchange.fail(failure));
  }

  async function shutDown(graceMs: number): Promise<void> {
    if (deadlines.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        onDrained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const exchange of deadlines.items()) {
      exchange.fail({ reason: 'cancelled', detail: 'the sender was closed' });
    }
    deadlines.stop();
    idleDeadlines.stop();
    if (options.resolver === undefined) {
      resolver.close();
    }
    await Promise.all([...connections].map((connection) => connection.destroy()));
  }

  return {
    send(request, done) {
      const now = performance.now();
      const exchange = new RunningExchange(request, done, owner, now);
      deadlines.set(exchange, now, now + Math.max(0, request.timeoutMs));
      if (closed !== null) {
        refuse(exchange, { reason: 'cancelled', detail: 'the sender is closed' });
        return;
      }
      const head = headerLines(request.headers, request.body.length);
      if (typeof head !== 'string') {
        refuse(exchange, { reason: 'cancelled', detail: head.wrong });
        return;
      }
      exchange.head = head;
      const target = targets.find(request.url);
      if ('refused' in target) {
        refuse(exchange, { reason: 'blocked_destination', detail: target.refused });
        return;
      }
      exchange.target = target;
      const connection = take(target.origin, now);
      if (connection === null) {
        open(exchange);
      } else {
        reuse(exchange, connection, now);
      }
    },
    close(graceMs) {
      closed ??= shutDown(graceMs);
      return closed;
    },
    inFlight() {
      return deadlines.size;
    },
  };
}
