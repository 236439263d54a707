import type { Id } from '../model/id.ts';
import { Line, TenantLines, type Work } from './line.ts';
import { Queue } from './queue.ts';

/** Tenants and lines passed over in one turn before the search for a free one is given up until the next change. */
const MAX_SKIPS = 64;

/** This node among those that deliver: `index` from 0 of `count`. A count of 0: it sends nothing. */
export interface Place {
  readonly index: number;
  readonly count: number;
}

/** The share of the room in memory that only lines without failures may use. */
const RESERVE = 0.1;

/** A line moves where something went on the wire no longer ago than this. */
const MOVING_MS = 250;
/** It is quick where its deliveries are no older than this when they go; with an overflow, which goes last, than that. */
const QUICK_MS = 2_000;
const QUICK_AGAIN_MS = 10_000;
/** And not much older than others': else it is its receiver that is slow, and not this node. */
const UNUSUAL = 3;
const USUAL_MS = 250;
/** Share of the newest age in what is usual. */
const NEWEST = 1 / 64;
/** More than this is a backlog like any other. */
const MAX_OVERFLOW = 2_000;

export interface LinesOptions {
  /** Exchanges at once on this node. */
  slots: number;
  /** Deliveries that wait in memory, at most. */
  capacity: number;
  /** Bytes of their payloads, at most. */
  capacityBytes: number;
}

/**
 * The lines of all endpoints on this node, and who goes next.
 *
 * Both the room in memory and the slots on the wire are shared by the rule of dynamic thresholds (Choudhury and Hahne,
 * 1998): nobody may hold more than what is still free. One loud tenant gets half, two get a third each, n leave
 * 1/(n+1) for the next one: without a number to configure, and without a tenant that finds nothing left.
 */
export class Lines {
  readonly #options: LinesOptions;
  readonly #lines = new Map<Id, Line>();
  readonly #tenants = new Map<string, TenantLines>();
  /** Tenants with something to send; those with nothing on the wire first. */
  readonly #fresh = new Queue<TenantLines>();
  readonly #ready = new Queue<TenantLines>();
  #place: Place = { index: 0, count: 1 };
  #inFlight = 0;
  #waiting = 0;
  #bytes = 0;
  /** How old deliveries are when they go on the wire for the first time, ms, whoever they are for. */
  #usualAgeMs = 0;

  constructor(options: LinesOptions) {
    this.#options = options;
  }

  get place(): Place {
    return this.#place;
  }

  /**
   * Divides every endpoint's exchanges among the nodes anew. For those that shrink to nothing the work in line is the
   * caller's to give back; what is on the wire ends by itself, and nothing new begins until it is below the new part.
   */
  set place(place: Place) {
    this.#place = place;
    for (const line of this.#lines.values()) this.#divide(line);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** True where nothing more fits in memory: a publish waits. */
  get isFull(): boolean {
    return this.#waiting >= this.#options.capacity || this.#bytes >= this.#options.capacityBytes;
  }

  /** True where so much fits that those who found no room should look again. */
  get isHalfEmpty(): boolean {
    return this.#waiting < this.#options.capacity / 2 && this.#bytes < this.#options.capacityBytes / 2;
  }

  /** The line of an endpoint; `cap`: exchanges at once that it allows, for a line that is new. */
  line(tenantId: string, endpointId: Id, cap: number): Line {
    let line = this.#lines.get(endpointId);
    if (!line) {
      let tenant = this.#tenants.get(tenantId);
      if (!tenant) this.#tenants.set(tenantId, (tenant = new TenantLines(tenantId)));
      this.#lines.set(endpointId, (line = new Line(endpointId, tenant, cap, partOf(cap, this.#place))));
    }
    return line;
  }

  find(endpointId: Id): Line | null {
    return this.#lines.get(endpointId) ?? null;
  }

  /** An endpoint allows so many exchanges at once from now on. */
  setCap(endpointId: Id, cap: number): void {
    const line = this.#lines.get(endpointId);
    if (!line || line.cap === cap) return;
    line.cap = cap;
    this.#divide(line);
  }

  #divide(line: Line): void {
    line.setMax(partOf(line.cap, this.#place));
    this.makeReady(line);
  }

  all(): IterableIterator<Line> {
    return this.#lines.values();
  }

  /** Forgets the line of a deleted endpoint once it is empty. */
  forget(endpointId: Id): void {
    const line = this.#lines.get(endpointId);
    if (line && line.inFlight === 0 && line.reserved === 0 && line.queue.length === 0) this.#lines.delete(endpointId);
  }

  /** Places in memory that nobody has. */
  get free(): number {
    return this.#options.capacity - this.#waiting;
  }

  /** How many more deliveries this line may take into memory now. */
  room(line: Line): number {
    const { capacity, capacityBytes } = this.#options;
    if (this.#bytes >= capacityBytes || line.max === 0) return 0;
    let { free } = this;
    if (line.failuresInRow > 0 || line.pausedUntil > 0) free -= capacity * RESERVE;
    return Math.max(0, Math.floor(free - line.reserved));
  }

  /** A delivery of this line went on the wire; `ageMs`: null where not for the first time. */
  went(line: Line, ageMs: number | null): void {
    line.movedAt = performance.now();
    if (ageMs === null) return;
    line.ageMs = ageMs;
    this.#usualAgeMs += (ageMs - this.#usualAgeMs) * NEWEST;
  }

  /** True where what comes now goes soon: its receiver keeps up, and what was stored for want of room is little. */
  isQuick(line: Line): boolean {
    const { cap, failuresInRow, pausedUntil, movedAt, ageMs, overflow, hasBacklog } = line;
    // Where one goes at a time its order may matter: those who waited could come behind others that did not.
    if (cap === 1) return false;
    if (failuresInRow > 0 || pausedUntil > 0 || performance.now() - movedAt > MOVING_MS) return false;
    if (overflow > 0) return ageMs <= QUICK_AGAIN_MS;
    return !hasBacklog && ageMs <= Math.min(QUICK_MS, Math.max(USUAL_MS, UNUSUAL * this.#usualAgeMs));
  }

  /** A delivery of this line was stored for want of room. */
  overflowed(line: Line): void {
    line.overflow = this.isQuick(line) && line.overflow < MAX_OVERFLOW ? line.overflow + 1 : 0;
  }

  /** True where nothing older is in the store, and there is room for so many. */
  mayEnter(line: Line, count: number): boolean {
    return !line.hasBacklog && this.room(line) >= count;
  }

  /** Takes room for one delivery before it is stored, so that it is there when the commit returns. */
  reserve(line: Line, bytes: number): void {
    line.reserved++;
    this.#waiting++;
    this.#bytes += bytes;
  }

  /** Gives room back: the delivery went on the wire, or was not stored after all. */
  release(line: Line, bytes: number): void {
    line.reserved--;
    this.#waiting--;
    this.#bytes -= bytes;
  }

  /** Puts a delivery that has room into its line. */
  enter(line: Line, work: Work): void {
    line.queue.push(work);
    this.makeReady(line);
  }

  /** Puts a line into its tenant's ring if it could send something. */
  makeReady(line: Line): void {
    if (line.isReady || line.queue.length === 0 || line.inFlight >= line.limit || line.pausedUntil > 0) return;
    line.isReady = true;
    const { tenant } = line;
    (line.inFlight === 0 ? tenant.fresh : tenant.ready).push(line);
    if (!tenant.isReady) {
      tenant.isReady = true;
      (tenant.inFlight === 0 ? this.#fresh : this.#ready).push(tenant);
    }
  }

  /**
   * The next delivery to send, or null: none waits, no slot is free, or those that wait hold their share already.
   * Takes a slot; give it back with {@link finish}.
   */
  next(): { line: Line; work: Work } | null {
    for (let skips = 0, turn = this.#ready.length; skips < MAX_SKIPS && turn >= 0;) {
      const free = this.#options.slots - this.#inFlight;
      if (free <= 0) return null;
      let tenant = this.#fresh.shift();
      if (!tenant) {
        turn--;
        tenant = this.#ready.shift();
      }
      if (!tenant) return null;
      if (tenant.inFlight >= free) {
        this.#ready.push(tenant);
        skips++;
        continue;
      }
      // The same rule once more inside the tenant: no line holds more than what the tenant has left.
      const share = free - tenant.inFlight;
      let line = tenant.fresh.shift() ?? tenant.ready.shift();
      for (let left = tenant.ready.length; line && line.inFlight >= share && left > 0 && skips < MAX_SKIPS; left--) {
        skips++;
        tenant.ready.push(line);
        line = tenant.ready.shift();
      }
      if (!line) {
        tenant.isReady = false;
        continue;
      }
      if (line.inFlight >= share) {
        skips++;
        tenant.ready.push(line);
        this.#ready.push(tenant);
        continue;
      }
      line.isReady = false;
      // Without another line it leaves the rings, and stands with the fresh ones again if it is one by then.
      if (tenant.fresh.length + tenant.ready.length > 0) this.#ready.push(tenant);
      else tenant.isReady = false;
      if (line.inFlight >= line.limit || line.pausedUntil > 0) continue;
      const work = line.queue.shift();
      if (!work) continue;
      this.release(line, work.message.data.length);
      this.#inFlight++;
      tenant.inFlight++;
      line.inFlight++;
      this.makeReady(line);
      return { line, work };
    }
    return null;
  }

  /** An exchange ended: its slot is free. */
  finish(line: Line): void {
    this.#inFlight--;
    line.tenant.inFlight--;
    line.inFlight--;
    this.makeReady(line);
  }

  /** Empties a line, as when its endpoint is disabled or deleted: the work is the caller's to settle. */
  drain(line: Line): Work[] {
    const drained: Work[] = [];
    for (let work = line.queue.shift(); work; work = line.queue.shift()) {
      this.release(line, work.message.data.length);
      drained.push(work);
    }
    return drained;
  }
}

/**
 * This node's part of the exchanges that an endpoint allows. All parts together are the whole, and nobody's grows when
 * another node comes: whoever learns of it late sends no more than before.
 */
export function partOf(cap: number, { index, count }: Place): number {
  if (count === 0) return 0;
  return Math.floor(cap / count) + (index < cap % count ? 1 : 0);
}
