import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { CommitFinder } from './commits.ts';

/** `up`: what the client says. `down`: what the server answers. */
export type Direction = 'up' | 'down' | 'both';

/** A TCP proxy in front of PostgreSQL that fails on purpose. Its port stays the same, whatever happens behind it. */
export interface FaultProxy {
  readonly port: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Answers to commits that were withheld so far by {@link dropAnswers}. */
  readonly dropped: number;
  url(database?: string, user?: string): string;
  /** Where new connections go from now on. */
  target(port: number): void;
  /** Lets everything pass again: what was frozen goes on, what was delayed is not. */
  pass(): void;
  /** Holds the bytes of all connections, new ones too, until `pass`. */
  freeze(direction?: Direction): void;
  /** Holds every chunk back for so long, ms, in both directions. */
  delay(ms: number): void;
  /** Ends every open connection with RST. */
  reset(): void;
  /** Ends every connection with RST, and new ones too, until `pass`. */
  refuse(): void;
  /** Ends each connection with RST after so many bytes from the client, until `pass`. */
  dropAfter(bytes: number): void;
  /**
   * Lets every `nth` commit (a COMMIT, or the end of a statement without a transaction) reach the server and be carried
   * out, and ends the connection with RST instead of passing on the answer; until `pass`.
   */
  dropAnswers(nth: number): void;
  /** Resolves once so many answers were withheld. */
  whenDropped(count: number): Promise<void>;
  close(): Promise<void>;
}

interface Pair {
  client: Socket;
  server: Socket;
  commits: CommitFinder;
  sentBytes: number;
  /** Bytes held while frozen. */
  held: { up: Buffer[]; down: Buffer[] };
  /** A commit is on its way whose answer must not arrive. */
  isAnswerDropped: boolean;
}

export async function startProxy(targetPort: number): Promise<FaultProxy> {
  const pairs = new Set<Pair>();
  const waiting = new Set<() => void>();
  let upstream = targetPort;
  let frozen: Direction | null = null;
  let delayMs = 0;
  let isRefusing = false;
  let limitBytes = Infinity;
  let dropNth = 0;
  let commits = 0;
  let dropped = 0;

  const cut = (pair: Pair): void => {
    pairs.delete(pair);
    for (const socket of [pair.client, pair.server]) {
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
    }
  };

  const isFrozen = (direction: 'up' | 'down'): boolean => frozen === 'both' || frozen === direction;

  function write(pair: Pair, direction: 'up' | 'down', chunk: Buffer): void {
    const to = direction === 'up' ? pair.server : pair.client;
    if (isFrozen(direction) || pair.held[direction].length > 0) pair.held[direction].push(chunk);
    else if (!to.destroyed) to.write(chunk);
  }

  function carry(pair: Pair, direction: 'up' | 'down', chunk: Buffer): void {
    if (delayMs === 0) write(pair, direction, chunk);
    // Timers of one length fire in the order in which they were set.
    else setTimeout(write, delayMs, pair, direction, chunk);
  }

  function onUp(pair: Pair, chunk: Buffer): void {
    const found = pair.commits.count(chunk);
    for (let n = 0; n < found && dropNth > 0; n++) if (++commits % dropNth === 0) pair.isAnswerDropped = true;
    const room = limitBytes - pair.sentBytes;
    pair.sentBytes += chunk.length;
    if (chunk.length > room) {
      if (room > 0) pair.server.write(chunk.subarray(0, room));
      cut(pair);
    } else carry(pair, 'up', chunk);
  }

  function onDown(pair: Pair, chunk: Buffer): void {
    if (!pair.isAnswerDropped) {
      carry(pair, 'down', chunk);
      return;
    }
    // The server has answered, so it has committed; the client will never know.
    cut(pair);
    dropped++;
    for (const check of [...waiting]) check();
  }

  const listener = createServer((client) => {
    client.setNoDelay(true);
    client.on('error', () => undefined);
    if (isRefusing) {
      client.resetAndDestroy();
      return;
    }
    const server = createConnection({ port: upstream, host: '127.0.0.1', noDelay: true });
    const pair: Pair = {
      client,
      server,
      commits: new CommitFinder(),
      sentBytes: 0,
      held: { up: [], down: [] },
      isAnswerDropped: false,
    };
    pairs.add(pair);
    server.on('error', () => {
      cut(pair);
    });
    client.on('data', (chunk) => {
      onUp(pair, chunk);
    });
    server.on('data', (chunk) => {
      onDown(pair, chunk);
    });
    // What ends while frozen is noticed by nobody until the freeze is over.
    const closeBoth = (): void => {
      if (frozen !== null) return;
      pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    client.on('close', closeBoth);
    server.on('close', closeBoth);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;

  const resetAll = (): void => {
    for (const pair of pairs) cut(pair);
  };

  return {
    port,
    get open() {
      return pairs.size;
    },
    get dropped() {
      return dropped;
    },
    url: (database = 'postgres', user = 'postgres') => `postgres://${user}@127.0.0.1:${port}/${database}`,
    target(next) {
      upstream = next;
    },
    pass() {
      frozen = null;
      delayMs = 0;
      isRefusing = false;
      limitBytes = Infinity;
      dropNth = 0;
      for (const pair of pairs) {
        for (const chunk of pair.held.up.splice(0)) pair.server.write(chunk);
        for (const chunk of pair.held.down.splice(0)) pair.client.write(chunk);
        if (pair.client.destroyed || pair.server.destroyed) cut(pair);
      }
    },
    freeze(direction = 'both') {
      frozen = direction;
    },
    delay(ms) {
      delayMs = ms;
    },
    reset: resetAll,
    refuse() {
      isRefusing = true;
      resetAll();
    },
    dropAfter(bytes) {
      limitBytes = bytes;
      for (const pair of pairs) pair.sentBytes = 0;
    },
    dropAnswers(nth) {
      dropNth = nth;
    },
    whenDropped: (count) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (dropped < count) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    async close() {
      resetAll();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
