import type { Id } from '../model/id.ts';
import type { Cluster } from '../store/store.ts';
import type { Line } from './line.ts';
import type { Lines } from './lines.ts';
import type { Settling } from './settling.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';

/** The longest pause that deliveries sit out in memory. */
const PATIENCE_MS = 5_000;
const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 60_000;
/** Shorter pauses, and what makes one longer by less, are each node's own business. */
const TOLD_MS = 1_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface PausesOptions {
  cluster: Cluster | null;
  lines: Lines;
  subscriptions: Subscriptions;
  settling: Settling;
  now: () => number;
  /** Less waits in this line, or it may go on. */
  onRoom: (line: Line) => void;
}

/** Leaves endpoints alone for as long as they ask, whichever node they asked. */
export class Pauses {
  readonly #o: PausesOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  #isStopped = false;

  constructor(options: PausesOptions) {
    this.#o = options;
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** A receiver answered 429 or 503 at `at`; `until`: what it asked for (epoch ms), null = it named no time. */
  asked(line: Line, until: number | null, at: number): void {
    // All that were on the wire say the same: without a time of the receiver's own, one pause answers them all.
    if (until === null && line.pausedUntil > at) return;
    const end = until ?? at + Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(6, line.pausesInRow));
    if (end <= line.pausedUntil) return;
    if (line.pausedUntil <= at) line.pausesInRow++; // a longer one of the same burst is not another
    const { cluster } = this.#o;
    if (cluster && end - at > TOLD_MS && end - line.toldUntil > TOLD_MS) {
      line.toldUntil = end;
      void cluster.pause(line.tenant.tenantId, line.endpointId, end);
    }
    this.#pause(line, end, at);
  }

  /** A receiver answered 410 at `at`: it is left alone while its endpoint is being disabled. */
  gone(line: Line, at: number): void {
    if (line.pausedUntil < at + FIRST_PAUSE_MS) this.#pause(line, at + FIRST_PAUSE_MS, at);
  }

  /** Another node was asked. `until`: epoch ms; 0 = the pause is over. */
  heard(tenantId: string, endpointId: Id, until: number): void {
    const { lines, subscriptions, now } = this.#o;
    const live = subscriptions.get(tenantId, endpointId);
    if (!live || this.#isStopped) return;
    const line = lines.line(tenantId, endpointId, live.concurrency);
    line.toldUntil = until;
    const at = now();
    if (until > Math.max(at, line.pausedUntil)) this.#pause(line, until, at);
    else if (until === 0 && line.pausedUntil > 0) this.#end(line);
  }

  /**
   * The endpoint is another one from now on, or was looked after: what was learnt of it holds no longer.
   * @param isTold whether the other nodes are to know; else they know as we do
   * @returns whether that was to leave it alone for so long that its deliveries wait in the store
   */
  startAfresh({ endpoint }: LiveEndpoint, isTold: boolean): boolean {
    const { lines, cluster, now } = this.#o;
    if (isTold) void cluster?.pause(endpoint.tenantId, endpoint.id, 0);
    const line = lines.find(endpoint.id);
    if (!line) return false;
    const at = now();
    const wasPausedLong = line.pausedUntil - at > PATIENCE_MS;
    line.toldUntil = 0;
    line.forgetTroubles(at);
    this.#end(line);
    return wasPausedLong;
  }

  #pause(line: Line, until: number, at: number): void {
    const { lines, settling, onRoom } = this.#o;
    line.pausedUntil = until;
    if (until - at > PATIENCE_MS) {
      for (const work of lines.drain(line)) settling.release(line.tenant.tenantId, line.endpointId, work, until);
      onRoom(line);
    }
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        if (line.pausedUntil !== until) return; // asked for longer meanwhile: a later timer ends it
        this.#end(line);
      },
      Math.min(until - at, LONGEST_TIMER_MS),
    );
    this.#timers.add(timer);
  }

  #end(line: Line): void {
    line.pausedUntil = 0;
    this.#o.lines.makeReady(line);
    this.#o.onRoom(line);
  }
}
