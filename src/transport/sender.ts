import { Connection } from './connection.ts';
import { Connecting, createTrust } from './connector.ts';
import type { Connected, ConnectorParts } from './connector.ts';
import { Deadlines } from './deadlines.ts';
import { findOwnHeader } from './headers.ts';
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
  let closed: Promise<void> | null = null;
  let onDrained: (() => void) | null = null;

  const owner: ExchangeOwner = { lost: open, settled };

  function strike(exchange: RunningExchange): void {
    const phase = exchange.connection === null ? (exchange.connecting?.phase ?? 'dns') : 'exchange';
    const detail = `no complete response within ${exchange.request.timeoutMs} ms; stopped in phase ${phase}`;
    exchange.fail({ reason: timeoutReasons[phase], detail });
  }

  function settled(exchange: RunningExchange, reusable: boolean): void {
    deadlines.clear(exchange);
    const { connection } = exchange;
    if (connection !== null && reusable && closed === null) {
      park(connection);
    }
    if (deadlines.size === 0) {
      onDrained?.();
    }
  }

  function park(connection: Connection): void {
    if (!connections.has(connection)) {
      return;
    }
    connection.used = true;
    connection.idle = true;
    connection.origin.idle.push(connection);
    idle.add(connection);
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
      connection.idle = false;
      idle.delete(connection);
      if (now - connection.openedAt < maxAgeMs) {
        return connection;
      }
      discard(connection);
    }
    return null;
  }

  function discard(connection: Connection): void {
    forget(connection);
    void connection.destroy();
  }

  function forget(connection: Connection): void {
    connections.delete(connection);
    if (connection.idle) {
      connection.idle = false;
      idle.delete(connection);
      const index = connection.origin.idle.indexOf(connection);
      if (index !== -1) {
        connection.origin.idle.splice(index, 1);
      }
    }
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
    const { destination, origin } = exchange.target as Target;
    origin.preferredAddress = address;
    const connection = new Connection(origin, socket, address, { maxIdleMs, onGone: forget });
    connections.add(connection);
    connection.carry(exchange, destination.path);
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
      const ownHeader = findOwnHeader(request.headers);
      if (ownHeader !== null) {
        refuse(exchange, { reason: 'cancelled', detail: `header ${ownHeader} may not be set on a request` });
        return;
      }
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
        connection.carry(exchange, target.destination.path);
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
