import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Id } from '../../model/id.ts';
import type { Cluster, RecordChange, StoreListener } from '../store.ts';
import { ChangeFeed } from './change-feed.ts';
import type { Told } from './change-feed.ts';
import { DatabaseClock } from './clock.ts';
import type { Connections } from './connections.ts';
import { count, raise } from './counters.ts';
import type { Use } from './counters.ts';
import { forgetExpired } from './expired-rows.ts';
import { Lease } from './lease.ts';
import type { Place } from './lease.ts';
import { Notices } from './notices.ts';
import { pauseOf, readPauses, tellPause } from './pauses.ts';
import type { Pause } from './pauses.ts';

/** How long a start waits until it hears; what it misses then it finds by itself, later. */
const LISTENING_MS = 1_000;
const FORGET_EVERY_MS = 600_000;
/** How often a node that hears nothing asks what others left for it. */
const DEAF_EVERY_MS = 1_000;
/** Calls to look for orphans within this time are one. */
const GATHER_MS = 50;

export interface NodesOptions {
  connections: Connections;
  /** This process sends deliveries (role deliver), or only takes events in. */
  delivers: boolean;
  leaseMs: number;
  /** For people who look into the table `nodes`. */
  name: string;
  /** What is told before {@link Nodes.start} resolves is not: whoever starts looks at everything then. */
  listener: () => StoreListener;
  onFault: (error: unknown, what: string) => void;
  /** This machine's clocks, epoch ms and monotonic ms. */
  wall?: () => number;
  monotonic?: () => number;
}

/**
 * This process as one of the nodes that share a database: its lease, the database's clock, and what nodes tell each
 * other. Everything goes on by itself while the database is away, and after it.
 */
export class Nodes implements Cluster {
  readonly #o: NodesOptions;
  readonly #clock: DatabaseClock;
  readonly #lease: Lease;
  readonly #notices: Notices;
  readonly #feed: ChangeFeed;
  readonly #outboxListeners = new Set<() => void>();
  #timers: NodeJS.Timeout[] = [];
  #gathering: NodeJS.Timeout | null = null;
  #isOrphanDue = false;
  #isRunning = false;
  #stopping = new AbortController();

  constructor(options: NodesOptions) {
    const { connections, delivers, leaseMs, name, onFault, monotonic = () => performance.now() } = options;
    this.#o = options;
    this.#clock = new DatabaseClock(options.wall, monotonic);
    const call = `call ${randomBytes(9).toString('base64url')}`;
    this.#notices = new Notices({
      connections,
      call,
      onNotice: (notice) => {
        this.#hear(notice);
      },
    });
    this.#feed = new ChangeFeed({
      connections,
      node: () => this.#lease.number,
      onChanges: (changes) => {
        this.#changed(changes);
      },
      onFault: (error) => {
        onFault(error, 'changes of other nodes are not read');
      },
    });
    this.#lease = new Lease({
      connections,
      delivers,
      leaseMs,
      name,
      clock: this.#clock,
      monotonic,
      call,
      onRenewed: () => {
        this.#notices.called();
      },
      onPlace: () => {
        let settled: void | Promise<void> = undefined;
        this.#tell((listener) => {
          settled = listener.placeChanged();
        });
        return settled;
      },
      onLost: () => {
        this.#tell((listener) => {
          listener.leasesLost();
        });
      },
      onOrphans: () => {
        this.#orphansFound();
      },
      onFault,
    });
  }

  /**
   * Resolves when this node has a lease, and all others have taken it into account; rejects where the database does not
   * answer.
   */
  async start(): Promise<void> {
    this.#stopping = new AbortController();
    const listening = this.#notices.start();
    try {
      await this.#lease.start();
      await this.#feed.start();
      await Promise.race([listening, wait(LISTENING_MS, undefined, { ref: false })]);
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#isRunning = true;
    this.#timers = [
      setInterval(() => {
        if (this.#o.delivers && this.#lease.hasTakers && !this.#notices.isHearing) this.#orphansFound();
      }, DEAF_EVERY_MS),
      setInterval(() => void this.#forget(), FORGET_EVERY_MS).unref(),
    ];
  }

  /** Gives back what this node holds and ends it, as far as the database answers in time. Tolerates being called twice. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#stopping.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    if (this.#gathering) clearTimeout(this.#gathering);
    this.#gathering = null;
    this.#feed.stop();
    this.#notices.stop();
    await this.#lease.stop();
  }

  /** The lease token: another one after the lease was lost, from right before `leasesLost` on. 0 before the start. */
  get number(): number {
    return this.#lease.number;
  }

  /** The database's clock, epoch ms. */
  now(): number {
    return this.#clock.now();
  }

  catchUp(): Promise<void> {
    return this.#feed.catchUp();
  }

  isLeaseLive(): boolean {
    return this.#lease.isLive();
  }

  place(): Place {
    return this.#lease.place;
  }

  async pause(tenantId: string, endpointId: Id, until: number): Promise<void> {
    try {
      await tellPause(this.#o.connections, this.number, { tenantId, endpointId, until });
    } catch (error) {
      if (this.#isRunning) this.#o.onFault(error, 'a pause was not told to the other nodes');
    }
  }

  pauses(): Promise<Pause[]> {
    return readPauses(this.#o.connections, this.now());
  }

  count(uses: readonly Use[]): Promise<number[]> {
    return count(this.#o.connections, uses);
  }

  raise(counter: { name: string; window: number; to: number }): Promise<void> {
    return raise(this.#o.connections, counter);
  }

  /**
   * Calls `listener` when somebody says that the outbox has rows; a hint, so look for yourself now and then.
   * @returns ends it
   */
  onOutbox(listener: () => void): () => void {
    this.#outboxListeners.add(listener);
    return () => this.#outboxListeners.delete(listener);
  }

  #hear(notice: string): void {
    if (notice === 'changes') this.#feed.poke();
    else if (notice === 'due' && this.#o.delivers) this.#orphansFound();
    else if (notice === 'outbox') for (const listener of this.#outboxListeners) this.#guard(listener);
  }

  #changed(changes: Told[] | 'everything'): void {
    if (changes === 'everything') {
      this.#tell((listener) => {
        listener.recordsChanged('everything');
      });
      this.#orphansFound();
      this.#lease.beatNow();
      void this.#readPauses();
      return;
    }
    const records: RecordChange[] = [];
    let isOrphaned = false;
    for (const change of changes) {
      if (change.kind === 'pause') this.#paused(pauseOf(change));
      else if (change.kind === 'orphans') isOrphaned = true;
      else if (change.kind === 'nodes') this.#lease.beatNow();
      else records.push(change as RecordChange);
    }
    if (records.length > 0) {
      this.#tell((listener) => {
        listener.recordsChanged(records);
      });
    }
    if (isOrphaned) this.#orphansFound();
  }

  /** After a gap: those that ended meanwhile end by themselves. */
  async #readPauses(): Promise<void> {
    try {
      for (const pause of await this.pauses()) this.#paused(pause);
    } catch (error) {
      if (this.#isRunning) this.#o.onFault(error, 'pauses are not read');
    }
  }

  #paused({ tenantId, endpointId, until }: Pause): void {
    this.#tell((listener) => {
      listener.endpointPaused(tenantId, endpointId, until);
    });
  }

  /** The first of several calls goes through at once, the others as one a moment later. */
  #orphansFound(): void {
    if (this.#gathering) {
      this.#isOrphanDue = true;
      return;
    }
    if (!this.#isRunning) return;
    this.#isOrphanDue = false;
    this.#gathering = setTimeout(() => {
      this.#gathering = null;
      if (this.#isOrphanDue) this.#orphansFound();
    }, GATHER_MS);
    this.#tell((listener) => {
      listener.orphansFound();
    });
  }

  #tell(what: (listener: StoreListener) => void): void {
    if (!this.#isRunning) return;
    this.#guard(() => {
      what(this.#o.listener());
    });
  }

  /** What a listener throws is nobody's here. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#o.onFault(error, 'a listener failed');
    }
  }

  async #forget(): Promise<void> {
    try {
      await forgetExpired(this.#o.connections, this.now(), this.#stopping.signal);
    } catch (error) {
      if (this.#isRunning) this.#o.onFault(error, 'what has expired was not deleted');
    }
  }
}
