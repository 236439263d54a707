import type { Statement } from '../records/driver.ts';
import type { Connections } from './connections.ts';

/** Before the first and any later try to connect; the database may be away. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 1_000;
/** Calls of ours that came back to nobody: then the connection is dead, or behind a pooler, where another is no better. */
const UNHEARD = 3;
const LONGEST_DEAF_WAIT_MS = 60_000;
/** PostgreSQL cuts longer names off. */
const CHANNEL_LENGTH = 63;

/**
 * What is said on the channel. `changes`: the feed has news; `due`: deliveries are there to be claimed; `outbox`: rows
 * are there to be relayed.
 */
export type Notice = 'changes' | 'due' | 'outbox';

/**
 * SQL of the channel's name, `posthorn_<schema>`: inside the quotes, {@link Connections.inSchema} puts the schema.
 * Two schemas whose names differ only behind the 54th byte share a channel, which does no harm: all here are hints.
 */
export const CHANNEL_SQL = `left('posthorn_' || translate('posthorn.', '".', ''), ${CHANNEL_LENGTH})`;

/** The same name for `LISTEN`. */
export function channelOf(schema: string): string {
  return `posthorn_${schema.replaceAll(/[".]/g, '')}`.slice(0, CHANNEL_LENGTH);
}

/** Tells every node that listens, once the transaction around it commits. */
export function noticeStatement(notice: Notice): Statement {
  return { sql: `SELECT pg_notify(${CHANNEL_SQL}, $1::text)`, parameters: [notice] };
}

export interface NoticesOptions {
  connections: Connections;
  /** What this process calls out at its heartbeats, to hear whether it hears. */
  call: string;
  onNotice: (notice: string) => void;
}

/**
 * A connection that listens. All that it brings is a hint: whoever relies on it looks for itself now and then. It
 * comes back by itself, with growing pauses.
 */
export class Notices {
  readonly #o: NoticesOptions;
  #client: ReturnType<Connections['single']> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #waitMs = FIRST_WAIT_MS;
  #deafWaitMs = FIRST_WAIT_MS;
  #unheard = 0;
  #isListening = false;
  #isStopped = true;

  constructor(options: NoticesOptions) {
    this.#o = options;
  }

  /** False while nothing can be heard, as far as it is known. */
  get isHearing(): boolean {
    return this.#isListening && this.#unheard < UNHEARD;
  }

  /** Resolves when it listens, or when the first try to came to nothing. Never rejects. */
  async start(): Promise<void> {
    if (!this.#isStopped) return;
    this.#isStopped = false;
    await this.#connect();
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#drop();
  }

  /** Our own call went out; it should come back soon. */
  called(): void {
    if (!this.#isListening) return;
    this.#unheard++;
    if (this.#unheard < UNHEARD) return;
    this.#drop();
    this.#reconnect(this.#deafWaitMs);
    this.#deafWaitMs = Math.min(2 * this.#deafWaitMs, LONGEST_DEAF_WAIT_MS);
  }

  async #connect(): Promise<void> {
    const client = this.#o.connections.single();
    this.#client = client;
    client.once('end', () => {
      if (this.#client !== client) return;
      this.#client = null;
      this.#isListening = false;
      this.#reconnect();
    });
    client.on('notification', ({ payload }) => {
      if (this.#client === client) this.#hear(payload ?? '');
    });
    try {
      await client.connect();
      await client.query(`LISTEN "${channelOf(this.#o.connections.schema)}"`);
    } catch {
      // The database is away, which the heartbeat reports.
      if (this.#client !== client) return;
      this.#drop();
      this.#reconnect();
      return;
    }
    if (this.#client !== client) return;
    this.#isListening = true;
    this.#unheard = 0;
    // What was said meanwhile was not heard.
    this.#o.onNotice('changes');
    this.#o.onNotice('due');
    this.#o.onNotice('outbox');
  }

  #hear(payload: string): void {
    if (payload !== this.#o.call) {
      this.#o.onNotice(payload);
      return;
    }
    this.#unheard = 0;
    this.#waitMs = FIRST_WAIT_MS;
    this.#deafWaitMs = FIRST_WAIT_MS;
  }

  #reconnect(waitMs = this.#waitMs): void {
    if (this.#isStopped || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#connect();
    }, waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
  }

  /** A dead peer would not answer a farewell: the socket goes at once. */
  #drop(): void {
    const client = this.#client;
    this.#client = null;
    this.#isListening = false;
    if (!client) return;
    void client.end().catch(() => undefined);
    setTimeout(() => {
      destroy(client);
    }, FIRST_WAIT_MS).unref();
  }
}

/** `pg` waits for the server to hang up, which a frozen one never does. */
function destroy(client: object): void {
  (client as { connection?: { stream?: { destroy?: () => void } } }).connection?.stream?.destroy?.();
}
