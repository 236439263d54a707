import type { Id } from '../model/id.ts';

/** One endpoint that has `pending` deliveries. */
export interface DueLine {
  readonly tenantId: string;
  readonly endpointId: Id;
  /** Epoch ms: none of its deliveries is due earlier. It may be too early (then a look finds nothing), never too late. */
  dueAt: number;
  /** Its time has come: it stands in the ring. */
  isReady: boolean;
}

interface Waiting {
  at: number;
  line: DueLine;
}

export interface Share {
  limit: number;
  perEndpoint: number;
  except: ReadonlySet<Id>;
}

/**
 * Which endpoints have something due: kept in the writer's memory, because finding them by seeks would step over every
 * endpoint whose retries lie in the future, at every claim. It is rebuilt from the index `deliveries_due`, one seek per
 * endpoint, at open and after a transaction was rolled back.
 */
export class DueRing {
  readonly #lines = new Map<string, Map<Id, DueLine>>();
  /** Binary heap by time. Entries whose time is not their line's any more are dropped when they come up. */
  readonly #heap: Waiting[] = [];
  /** Ready lines by tenant; insertion order is the ring's. */
  readonly #ready = new Map<string, Map<Id, DueLine>>();

  clear(): void {
    this.#lines.clear();
    this.#heap.length = 0;
    this.#ready.clear();
  }

  /** A delivery of this endpoint is `pending`, due at this time (epoch ms). */
  note(tenantId: string, endpointId: Id, dueAt: number): void {
    let ofTenant = this.#lines.get(tenantId);
    if (!ofTenant) this.#lines.set(tenantId, (ofTenant = new Map<Id, DueLine>()));
    let line = ofTenant.get(endpointId);
    if (!line) {
      line = { tenantId, endpointId, dueAt, isReady: false };
      ofTenant.set(endpointId, line);
    } else if (line.isReady || line.dueAt <= dueAt) return;
    this.#wait(line, dueAt);
  }

  /** Nothing of this line is due now; its next one is due at `dueAt`, or there is none (null). */
  exhausted(line: DueLine, dueAt: number | null): void {
    if (line.isReady) {
      line.isReady = false;
      remove(this.#ready, line);
    }
    if (dueAt === null) remove(this.#lines, line);
    else this.#wait(line, dueAt);
  }

  /** Epoch ms of the earliest delivery not yet due, as far as is known; null = none. */
  nextAt(): number | null {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      if (this.#isCurrent(first)) return first.at;
      this.#pop();
    }
    return null;
  }

  /**
   * Hands out what is due at `now`: equal shares to tenants, within them to their endpoints, going on behind those
   * served last. `take(line, count)` returns how many it took; fewer than `count` means that no more were due (and it
   * has called {@link exhausted}). Resolves to whether the limit cut the round short.
   */
  handOut(now: number, share: Share, take: (line: DueLine, count: number) => number): boolean {
    this.#advance(now);
    let remaining = share.limit;
    let round = this.#queues(share.except);
    while (remaining > 0 && round.length > 0) {
      const each = Math.max(1, Math.floor(remaining / round.length));
      for (const queue of round) {
        if (remaining === 0) break;
        remaining -= this.#serve(queue, Math.min(each, remaining), share.perEndpoint, take);
      }
      round = round.filter((queue) => queue.lines.length > queue.at);
    }
    return round.length > 0;
  }

  #serve(queue: Queue, quota: number, perEndpoint: number, take: (line: DueLine, count: number) => number): number {
    let left = quota;
    rotate(this.#ready, queue.tenantId);
    while (left > 0 && queue.lines.length > queue.at) {
      const end = queue.lines.length;
      const each = Math.max(1, Math.floor(left / (end - queue.at)));
      while (left > 0 && queue.at < end) {
        const entry = queue.lines[queue.at++]!;
        const asked = Math.min(each, left, perEndpoint - entry.taken);
        const taken = take(entry.line, asked);
        left -= taken;
        entry.taken += taken;
        if (entry.line.isReady) rotate(this.#ready.get(queue.tenantId)!, entry.line.endpointId);
        if (taken === asked && entry.taken < perEndpoint) queue.lines.push(entry);
      }
    }
    return quota - left;
  }

  #queues(except: ReadonlySet<Id>): Queue[] {
    const queues: Queue[] = [];
    for (const [tenantId, ready] of this.#ready) {
      const lines = [];
      for (const line of ready.values()) if (!except.has(line.endpointId)) lines.push({ line, taken: 0 });
      if (lines.length > 0) queues.push({ tenantId, lines, at: 0 });
    }
    return queues;
  }

  #advance(now: number): void {
    for (let first = this.#heap[0]; first && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      const { line } = first;
      if (!this.#isCurrent(first)) continue;
      line.isReady = true;
      let ready = this.#ready.get(line.tenantId);
      if (!ready) this.#ready.set(line.tenantId, (ready = new Map<Id, DueLine>()));
      ready.set(line.endpointId, line);
    }
  }

  /** Whether its line still waits for this very time. */
  #isCurrent({ line, at }: Waiting): boolean {
    return !line.isReady && line.dueAt === at && this.#lines.get(line.tenantId)?.get(line.endpointId) === line;
  }

  #wait(line: DueLine, dueAt: number): void {
    line.dueAt = dueAt;
    const heap = this.#heap;
    let at = heap.push({ at: dueAt, line }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.at <= heap[at]!.at) break;
      [heap[parent], heap[at]] = [heap[at]!, heap[parent]!];
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && heap[child]!.at < heap[least]!.at) least = child;
      }
      if (least === at) return;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }
}

interface Queue {
  tenantId: string;
  lines: { line: DueLine; taken: number }[];
  at: number;
}

function remove(from: Map<string, Map<Id, DueLine>>, line: DueLine): void {
  const ofTenant = from.get(line.tenantId);
  if (ofTenant?.delete(line.endpointId) && ofTenant.size === 0) from.delete(line.tenantId);
}

/** To the end of the ring. */
function rotate<V>(ring: Map<string, V>, key: string): void {
  const value = ring.get(key);
  if (value === undefined) return;
  ring.delete(key);
  ring.set(key, value);
}
