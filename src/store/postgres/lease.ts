import { setTimeout as wait } from 'node:timers/promises';
import type { DatabaseClock } from './clock.ts';
import type { Connections } from './connections.ts';
import { endExpired, endNode, register, release, renew, staleLeases, tellOrphans } from './node-rows.ts';
import type { OtherNode, Renewal } from './node-rows.ts';

const LONGEST_BEAT_MS = 5_000;
/** Between two looks whether the others have seen this node: at first, and at most. */
const LOOK_MS = 20;
const LONGEST_LOOK_MS = 250;
/** Between two tries of something while the database is away. */
const AGAIN_MS = 250;
/** Leases without a holder are looked for so often, by the oldest node. */
const SWEEP_MS = 30_000;
/** The same after something was released: what was locked then, or was stored under the old number meanwhile. */
const SWEEP_SOON_MS = 3_000;
/** How long a node that starts waits for the others before it goes on without sending. */
const PATIENCE_MS = 1_000;
/** How long leaving may take. */
const LEAVE_MS = 3_000;
/** Renewals that were given up and may still be answered. */
const UNANSWERED = 3;

export interface Place {
  index: number;
  count: number;
}

export interface LeaseOptions {
  connections: Connections;
  /** This process sends deliveries. */
  delivers: boolean;
  leaseMs: number;
  /** For people who look into the table. */
  name: string;
  clock: DatabaseClock;
  monotonic: () => number;
  /** Called out on the channel with every renewal. */
  call: string;
  onRenewed: () => void;
  /** The place is another one, or the lease is live again. What this changes must be in force when it returns. */
  onPlace: () => void | Promise<void>;
  /** There is a new number, and what was held under the old one was given back. */
  onLost: () => void;
  /** Work of others was given back. */
  onOrphans: () => void;
  onFault: (error: unknown, what: string) => void;
}

/** A renewal of a number that may take part. */
interface Entered extends Renewal {
  number: number;
  /** When it was asked for, by the monotonic clock. */
  sentAt: number;
}

/**
 * This process's row among the nodes: its number is the lease token of all that it holds. The row is the truth: a lease
 * is lost when somebody ended the row, which anybody may once it was not renewed in time. Here it counts as live for
 * less: until a third of it is left, from before the last renewal was sent.
 *
 * Places are such that what is shared out by them is never exceeded: a node that comes waits until all others have
 * taken it into account, one that goes has stopped sending before its share is anybody else's.
 */
export class Lease {
  readonly #o: LeaseOptions;
  readonly #beatMs: number;
  #number = 0;
  /** By the monotonic clock. */
  #liveUntil = -Infinity;
  #renewedAt = -Infinity;
  #answeredAt = -Infinity;
  #place: Place = { index: 0, count: 1 };
  #others: readonly OtherNode[] = [];
  /** The newest number that the place takes into account. */
  #seen = 0;
  /** What was begun in earlier places, and is more than the present one allows, has ended. */
  #settled: Promise<unknown> = Promise.resolve();
  /** Since when renewals go well; null while they do not. At first nothing is known, and nobody is waited for. */
  #steadySince: number | null = -Infinity;
  /** When leases without a holder are looked for next, and whether also where this is not the oldest node. */
  #sweepAt = -Infinity;
  #mustSweep = true;
  #timer: NodeJS.Timeout | null = null;
  #isBeating = false;
  #isWanted = false;
  #isFailing = false;
  #unanswered = 0;
  #losing: Promise<void> | null = null;
  /** It has a number, and waits to be taken into account. */
  #isJoining = false;
  #looking: Promise<void> | null = null;
  /** A number that is not in force yet. */
  #candidate: number | null = null;
  #stopping = new AbortController();

  constructor(options: LeaseOptions) {
    this.#o = options;
    this.#beatMs = Math.min(options.leaseMs / 6, LONGEST_BEAT_MS);
    this.#stopping.abort();
  }

  /** 0 before the first one. */
  get number(): number {
    return this.#number;
  }

  get place(): Place {
    return this.#place;
  }

  /** Some live node only takes events in, and depends on others to hear that they are due. */
  get hasTakers(): boolean {
    return this.#others.some(({ delivers }) => !delivers);
  }

  isLive(): boolean {
    return this.#o.monotonic() < this.#liveUntil;
  }

  /** Rejects where the database does not answer. */
  async start(): Promise<void> {
    if (!this.#isStopped) return;
    this.#stopping = new AbortController();
    this.#sweepAt = -Infinity;
    this.#mustSweep = true;
    try {
      await this.#join();
    } catch (error) {
      this.#stopping.abort();
      if (this.#candidate !== null) await endNode(this.#o.connections, this.#candidate).catch(() => undefined);
      throw error;
    }
    this.beatNow();
  }

  /**
   * Enters, or at least registers: where another node says nothing, it may be gone, and who takes events in need not wait
   * for its lease to run out. Until then this node has a number, and no lease that is live.
   */
  async #join(): Promise<void> {
    const entering = this.#enter(null);
    let entered = await Promise.race([entering, wait(PATIENCE_MS, null, { ref: false })]);
    if (this.#candidate === null) entered ??= await entering; // it is the database that is slow
    if (entered !== null) {
      this.#take(entered);
      void this.#acknowledge();
      return;
    }
    this.#isJoining = true;
    this.#number = this.#candidate!;
    this.#o.onFault(
      new Error('another node does not answer; it may be gone'),
      'nothing is sent before its lease has run out',
    );
    void entering
      .then(
        (late) => {
          this.#isJoining = false;
          if (this.#isStopped) return;
          // Where it was ended meanwhile, what it holds is somebody else's.
          if (late.number !== this.#number) this.#becomeAnother();
          else if (this.#take(late)) this.#tellPlace();
        },
        (error: unknown) => {
          this.#isJoining = false;
          if (this.#isStopped) return;
          this.#failed(error);
          this.#becomeAnother();
        },
      )
      .finally(() => {
        void this.#acknowledge();
        this.beatNow();
      });
  }

  #becomeAnother(): void {
    this.#losing = this.#lose().finally(() => {
      this.#losing = null;
      this.beatNow();
    });
  }

  /** Gives everything back, if the database answers in time; else it is taken over when the lease runs out. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    const { connections } = this.#o;
    this.#stopping.abort();
    this.#liveUntil = -Infinity;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    let isLate = false;
    const leaving = async (): Promise<void> => {
      await Promise.all([this.#losing, this.#looking]);
      await release(connections, [this.#number]);
      if (!isLate) await endNode(connections, this.#number);
    };
    await Promise.race([leaving().catch(() => undefined), wait(LEAVE_MS, undefined, { ref: false })]);
    isLate = true;
  }

  /** Something changed among the nodes: look at once. */
  beatNow(): void {
    if (this.#isStopped || this.#isJoining) return;
    if (this.#isBeating) this.#isWanted = true;
    else void this.#beat();
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #sleep(ms: number): void {
    if (this.#isStopped) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#beat();
    }, ms);
  }

  /** Never rejects. Does not wait for an answer longer than the next one is due: the connection may be dead. */
  async #beat(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#isBeating = true;
    this.#isWanted = false;
    if (!this.#losing && this.#unanswered < UNANSWERED) {
      const givingUp = new AbortController();
      const limit = wait(this.#beatMs, undefined, { signal: givingUp.signal }).catch(() => undefined);
      await Promise.race([this.#renew(), limit]);
      givingUp.abort();
    }
    this.#isBeating = false;
    this.#sleep(this.#isWanted ? 0 : this.#untilNext());
  }

  /** A node whose lease is about to run out is looked at right then. */
  #untilNext(): number {
    const beat = this.#steadySince === null ? Math.min(AGAIN_MS, this.#beatMs) : this.#beatMs;
    const left = this.#others.map(({ leftMs }) => leftMs + 1).filter((leftMs) => leftMs > 0);
    return Math.min(beat, ...left);
  }

  async #renew(): Promise<void> {
    this.#unanswered++;
    try {
      const number = this.#number;
      const renewed = await this.#ask(number, this.#seen);
      // Answers that were given up come late, and may come after a newer one.
      if (this.#isStopped || this.#losing || number !== this.#number || renewed.sentAt < this.#renewedAt) return;
      const now = this.#o.monotonic();
      if (this.#steadySince === null || now - this.#answeredAt > this.#o.leaseMs / 2) this.#steadySince = now;
      this.#isFailing = false;
      if (!renewed.isRenewed) {
        this.#becomeAnother();
        return;
      }
      if (this.#take({ number, ...renewed })) this.#tellPlace();
      void this.#acknowledge();
      this.#looking ??= this.#lookAround().finally(() => (this.#looking = null));
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#unanswered--;
    }
  }

  async #ask(number: number, seen: number): Promise<Renewal & { sentAt: number }> {
    const { connections, clock, monotonic, call } = this.#o;
    const sentAt = monotonic();
    const renewal = await renew(connections, number, seen, call);
    clock.sample(sentAt, monotonic(), renewal.now);
    if (renewal.isRenewed) this.#o.onRenewed();
    return { ...renewal, sentAt };
  }

  /** Puts an answer in force. True where the place changed, or the lease is live and was not. */
  #take({ number, others, sentAt }: Entered): boolean {
    const { delivers, leaseMs } = this.#o;
    const wasLive = this.isLive();
    this.#number = number;
    this.#candidate = null;
    this.#others = others;
    this.#renewedAt = sentAt;
    this.#answeredAt = this.#o.monotonic();
    this.#liveUntil = sentAt + leaseMs - leaseMs / 3;
    const delivering = others.filter((other) => other.delivers).map((other) => other.number);
    const before = this.#place;
    this.#place = {
      index: delivers ? delivering.filter((other) => other < number).length : 0,
      count: Math.max(1, delivering.length + (delivers ? 1 : 0)),
    };
    return before.index !== this.#place.index || before.count !== this.#place.count || wasLive !== this.isLive();
  }

  #tellPlace(): void {
    const before = this.#settled;
    const now = Promise.resolve(this.#o.onPlace()).catch((error: unknown) => {
      this.#o.onFault(error, 'a listener failed');
    });
    this.#settled = before.then(() => now);
  }

  /** Says that the newest node is taken into account, which waits to hear that, once this node keeps to its place. */
  async #acknowledge(): Promise<void> {
    const newest = newestOf(this.#others);
    await this.#settled;
    if (newest <= this.#seen) return;
    this.#seen = newest;
    this.beatNow();
  }

  /** Takes over from nodes whose lease ran out, and from those who died while they did so. Never rejects. */
  async #lookAround(): Promise<void> {
    try {
      const gone = await this.#findGone();
      if (gone.length > 0) await this.#takeOver(gone);
    } catch (error) {
      this.#sweepSoon();
      if (!this.#isStopped) this.#o.onFault(error, 'what nodes that are gone held is not given back yet');
    }
  }

  /** Nodes whose work is ours to give back. */
  async #findGone(): Promise<number[]> {
    const { connections, delivers, leaseMs, monotonic } = this.#o;
    const now = monotonic();
    const expired = this.#others.filter(({ leftMs }) => leftMs <= 0).map(({ number }) => number);
    // Where this node was cut off itself, the others were too: they get the time to come back.
    if (expired.length > 0 && this.#steadySince !== null && now - this.#steadySince >= leaseMs / 3) {
      const ended = await endExpired(connections, expired);
      if (ended.length > 0) {
        this.#o.onFault(new Error(`node ${ended.join(', ')}`), 'gone without a word: what it held is due again');
        return ended;
      }
    }
    if (now < this.#sweepAt) return [];
    const isOurs = this.#mustSweep || (delivers && this.#place.index === 0);
    this.#sweepAt = now + SWEEP_MS;
    this.#mustSweep = false;
    return isOurs ? staleLeases(connections) : [];
  }

  async #takeOver(gone: readonly number[]): Promise<void> {
    const { connections } = this.#o;
    this.#sweepSoon();
    await release(connections, gone);
    await tellOrphans((statement) => connections.query(statement), this.#number);
    if (this.#isStopped) return;
    this.#o.onOrphans();
    this.beatNow();
  }

  #sweepSoon(): void {
    this.#mustSweep = true;
    this.#sweepAt = this.#o.monotonic() + Math.min(SWEEP_SOON_MS, this.#o.leaseMs);
  }

  /** Somebody ended this node. Becomes a new one as soon as the database lets it. Never rejects. */
  async #lose(): Promise<void> {
    const { connections } = this.#o;
    const old = this.#number;
    this.#liveUntil = -Infinity;
    while (!this.#isStopped) {
      try {
        const entered = await this.#enter(old);
        await release(connections, [old]);
        await tellOrphans((statement) => connections.query(statement), entered.number);
        if (this.#isStopped) break;
        this.#sweepSoon();
        this.#take(entered);
        this.#o.onLost();
        this.#tellPlace();
        void this.#acknowledge();
        return;
      } catch (error) {
        this.#failed(error);
        await wait(AGAIN_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      }
    }
    if (this.#candidate !== null) await endNode(connections, this.#candidate).catch(() => undefined);
  }

  /** Registers, and waits until the nodes that deliver have seen it, or their leases ran out. */
  async #enter(previous: number | null): Promise<Entered> {
    const { delivers, leaseMs, monotonic } = this.#o;
    const until = monotonic() + leaseMs;
    let seen = 0;
    let lookMs = LOOK_MS;
    for (this.#candidate = await this.#register(previous); ; await wait(lookMs)) {
      lookMs = Math.min(lookMs * 1.5, LONGEST_LOOK_MS);
      this.#stopping.signal.throwIfAborted();
      const number: number = this.#candidate;
      const renewed = await this.#ask(number, seen);
      const { others } = renewed;
      seen = newestOf(others);
      const isAwaited = (other: OtherNode): boolean =>
        other.delivers && other.leftMs > 0 && other.number < number && other.seen < number;
      if (!renewed.isRenewed) this.#candidate = await this.#register(number);
      else if (!delivers || !others.some(isAwaited) || monotonic() >= until) return { number, ...renewed };
    }
  }

  #register(previous: number | null): Promise<number> {
    const { connections, name, delivers, leaseMs } = this.#o;
    return register(connections, { name, delivers, leaseMs, previous: this.#candidate ?? previous });
  }

  #failed(error: unknown): void {
    this.#steadySince = null;
    if (!this.#isFailing && !this.#isStopped) this.#o.onFault(error, 'the lease is not renewed');
    this.#isFailing = true;
  }
}

/** The newest one that delivers. */
function newestOf(others: readonly OtherNode[]): number {
  return Math.max(0, ...others.map(({ number, delivers }) => (delivers ? number : 0)));
}
