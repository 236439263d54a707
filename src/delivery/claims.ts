import type { Logger } from 'pino';
import { prefixes, type Id } from '../model/id.ts';
import type { Event } from '../model/event.ts';
import type { ClaimedDelivery, ClaimRequest, Store } from '../store/store.ts';
import type { Line, Work } from './line.ts';
import type { Lines } from './lines.ts';
import { EventMessage } from './message.ts';
import type { LiveEndpoint, Subscriptions } from './subscriptions.ts';
import type { Worker } from './worker.ts';

/** Deliveries leased by one call. */
const LIMIT = 512;
/** Of them, of one endpoint. */
const PER_ENDPOINT = 128;
/** How often those look again who found no room. */
const BLOCKED_MS = 100;
const AGAIN_AFTER_FAULT_MS = 1_000;
/** Everything due is looked for at least this often, whatever woke or did not wake us: clocks jump. */
const LONGEST_SLEEP_MS = 60_000;
/** The same where other nodes leave work for us, whose word of it may be lost. */
const LONGEST_SLEEP_AMONG_OTHERS_MS = 1_000;
/** How long what cannot be placed now is left to others. */
const LEFT_MS = 1_000;

export interface ClaimsOptions {
  store: Store;
  lines: Lines;
  subscriptions: Subscriptions;
  worker: () => Worker;
  /** An endpoint as the store has it, put in force; null where it is deleted. */
  refresh: (tenantId: string, endpointId: Id) => Promise<LiveEndpoint | null>;
  /** False on a node that leaves all of it to others. */
  delivers: boolean;
  log: Logger;
  now: () => number;
}

/**
 * Brings back from the store what is due again and what never had room in memory. It sleeps until the next delivery is
 * due or a line has room for its backlog, and for a minute at most.
 */
export class Claims {
  readonly #o: ClaimsOptions;
  readonly #longestSleepMs: number;
  readonly #backlog = new Set<Line>();
  #nextDueAt: number | null = null;
  /** The ring over all tenants has not been walked to its end. */
  #ringIsDue = true;
  #lastWasRing = false;
  #isRunning = false;
  /** Something changed while it ran: look again before going to sleep. */
  #again = false;
  #isStopped = false;
  /** Nothing fitted: go on as soon as something does. */
  #isBlocked = false;
  #lookedAt = 0;
  #walkedAt = 0;
  #timer: NodeJS.Timeout | null = null;
  /** By `performance.now`, which no clock that is set can move. */
  #timerEndsAt = 0;
  #idle: Promise<void> = Promise.resolve();

  constructor(options: ClaimsOptions) {
    this.#o = options;
    this.#longestSleepMs = options.store.cluster ? LONGEST_SLEEP_AMONG_OTHERS_MS : LONGEST_SLEEP_MS;
  }

  /** Looks through everything that is due. */
  start(): void {
    this.#ringIsDue = true;
    this.#kick();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#idle;
  }

  /** A delivery will be due in the store at this time (epoch ms). */
  dueAt(at: number): void {
    if (this.#nextDueAt === null || at < this.#nextDueAt) {
      this.#nextDueAt = at;
      this.#arm();
    }
  }

  /** The store holds deliveries of this line that are due and leased by nobody. */
  hasBacklog(line: Line): void {
    line.overflow = 0;
    this.#fetchSoon(line);
  }

  /** The same of one that came just now, for which there was no room. */
  overflowed(line: Line): void {
    this.#o.lines.overflowed(line);
    this.#fetchSoon(line);
  }

  #fetchSoon(line: Line): void {
    if (line.max === 0) return; // other nodes send what it has
    this.#remember(line);
    if (this.#hasRoom(line)) this.#kick();
    else if (this.#isWaiting(line)) {
      this.#isBlocked = true;
      this.#arm();
    }
  }

  /** A slot of this line came free, or its pause ended. */
  onFinish(line: Line): void {
    if ((line.hasBacklog && this.#hasRoom(line)) || (this.#isBlocked && this.#mayLookAgain())) this.#kick();
  }

  /** Those who found no room look again when there is plenty, and now and then while there is some. */
  #mayLookAgain(): boolean {
    const { lines, now } = this.#o;
    return lines.isHalfEmpty || (!lines.isFull && now() - this.#lookedAt >= BLOCKED_MS);
  }

  #isWaiting(line: Line): boolean {
    return line.pausedUntil === 0 && line.queue.length <= line.limit;
  }

  #hasRoom(line: Line): boolean {
    return this.#isWaiting(line) && this.#o.lines.room(line) > 0;
  }

  #arm(): void {
    if (this.#isStopped || this.#isRunning || !this.#o.delivers) return;
    const now = this.#o.now();
    // Where nothing fits, what is due is due for as long as that lasts.
    const soonest = this.#isBlocked ? now + BLOCKED_MS : now;
    const due = Math.min(this.#nextDueAt ?? Number.POSITIVE_INFINITY, now + this.#longestSleepMs);
    // And a backlog that finds no room is looked at now and then, whether or not anything ends meanwhile.
    const at = this.#isBlocked && this.#backlog.size > 0 ? soonest : Math.max(soonest, due);
    const waitMs = Math.max(0, at - now);
    const endsAt = performance.now() + waitMs;
    if (this.#timer && this.#timerEndsAt <= endsAt) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timerEndsAt = endsAt;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (waitMs === this.#longestSleepMs) this.#ringIsDue = true;
      this.#kick();
    }, waitMs);
  }

  #kick(): void {
    if (this.#isStopped || !this.#o.delivers) return;
    this.#again = true;
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#idle = this.#run().then(
      () => {
        this.#isRunning = false;
        if (this.#again) this.#kick();
        else this.#arm();
      },
      (error: unknown) => {
        this.#isRunning = false;
        this.#ringIsDue = true;
        this.#o.log.warn({ error: String(error) }, 'claim.failed');
        setTimeout(() => {
          this.#kick();
        }, AGAIN_AFTER_FAULT_MS).unref();
      },
    );
  }

  async #run(): Promise<void> {
    const { lines, store, now } = this.#o;
    while (!this.#isStopped) {
      this.#again = false;
      this.#lookedAt = now();
      if (store.cluster?.isLeaseLive() === false) {
        // What is leased now could be another node's before it is sent.
        this.#isBlocked = true;
        this.#ringIsDue = true;
        return;
      }
      this.#forgetWhatOthersSend();
      const waiting = [...this.#backlog].filter((line) => this.#isWaiting(line));
      const roomy = waiting.filter((line) => lines.room(line) > 0);
      this.#isBlocked = lines.isFull || roomy.length < waiting.length;
      if (lines.isFull) return;
      const ringIsDue =
        this.#ringIsDue ||
        (this.#nextDueAt !== null && this.#nextDueAt <= now()) ||
        (store.cluster !== null && now() - this.#walkedAt >= this.#longestSleepMs);
      if (ringIsDue && !(this.#lastWasRing && roomy.length > 0)) await this.#walkRing();
      else if (roomy.length > 0) await this.#fetchBacklog(roomy.slice(0, LIMIT / 4));
      else return;
    }
  }

  async #walkRing(): Promise<void> {
    this.#lastWasRing = true;
    this.#walkedAt = this.#o.now();
    const except = new Map<Id, Line>();
    for (const line of this.#o.lines.all()) {
      // Lines that fetch their backlog by themselves, are full or paused, or are other nodes', would only take places.
      if (line.hasBacklog || line.pausedUntil > 0 || this.#o.lines.room(line) < PER_ENDPOINT)
        except.set(line.endpointId, line);
    }
    this.#nextDueAt = null; // set again by what is settled while the claim is under way
    const result = await this.#claim({
      limit: LIMIT,
      perEndpoint: PER_ENDPOINT,
      only: null,
      except: new Set(except.keys()),
    });
    this.#ringIsDue = result.more;
    if (result.nextDueAt !== null) this.dueAt(result.nextDueAt);
    for (const line of except.values()) {
      if (line.hasBacklog) continue;
      // What waits for room in a quick one may go on waiting: there may be nothing in the store, and hardly much.
      if (this.#o.lines.isQuick(line)) line.overflow = Math.max(1, line.overflow);
      this.#remember(line);
    }
    for (const [endpointId, count] of result.counts) {
      const line = this.#o.lines.find(endpointId);
      if (line && count >= PER_ENDPOINT) this.#remember(line);
    }
  }

  #forgetWhatOthersSend(): void {
    for (const line of this.#backlog) {
      if (line.max > 0) continue;
      line.hasBacklog = false;
      line.overflow = 0;
      this.#backlog.delete(line);
    }
  }

  #remember(line: Line): void {
    if (line.max === 0) return;
    line.hasBacklog = true;
    this.#backlog.add(line);
  }

  async #fetchBacklog(candidates: readonly Line[]): Promise<void> {
    this.#lastWasRing = false;
    for (const line of candidates) line.hasBacklog = false; // set again by whoever spills while the claim is under way
    const perEndpoint = PER_ENDPOINT;
    const result = await this.#claim({
      limit: LIMIT,
      perEndpoint,
      only: candidates.map((line) => ({ tenantId: line.tenant.tenantId, endpointId: line.endpointId })),
      except: new Set(),
    }).catch((error: unknown) => {
      for (const line of candidates) this.#remember(line);
      throw error;
    });
    const cutShort = result.more || result.total >= LIMIT;
    // Behind all others, and those that got nothing before those that got something.
    const isServed = (line: Line): boolean => result.counts.has(line.endpointId);
    for (const line of candidates.toSorted((a, b) => Number(isServed(a)) - Number(isServed(b)))) {
      const count = result.counts.get(line.endpointId) ?? 0;
      this.#backlog.delete(line);
      if (line.hasBacklog || count >= perEndpoint || cutShort) this.#remember(line);
      else line.overflow = 0;
    }
    if (result.nextDueAt !== null) this.dueAt(result.nextDueAt);
  }

  async #claim(
    request: Omit<ClaimRequest, 'now'>,
  ): Promise<{ counts: Map<Id, number>; total: number; more: boolean; nextDueAt: number | null }> {
    const { store, now } = this.#o;
    const { deliveries, more, nextDueAt } = await store.claim({ ...request, now: now() });
    const counts = new Map<Id, number>();
    const messages = new Map<Event, EventMessage>();
    for (const claimed of deliveries) {
      counts.set(claimed.endpointId, (counts.get(claimed.endpointId) ?? 0) + 1);
      this.#take(claimed, messages);
    }
    this.#o.worker().pump();
    return { counts, total: deliveries.length, more, nextDueAt };
  }

  #take(claimed: ClaimedDelivery, messages: Map<Event, EventMessage>): void {
    const { store, subscriptions } = this.#o;
    const { event } = claimed;
    let message = messages.get(event);
    if (!message) messages.set(event, (message = new EventMessage(event)));
    const work = { id: claimed.id, attemptCount: claimed.attemptCount, scheduleStart: claimed.scheduleStart, message };
    const live = subscriptions.find(claimed.endpointId);
    if (live || store.cluster === null) this.#place(event.tenantId, claimed.endpointId, work, live);
    else void this.#placeUnknown(event.tenantId, claimed.endpointId, work);
  }

  #place(tenantId: string, endpointId: Id, work: Work, live: LiveEndpoint | null): void {
    const { lines, worker, now } = this.#o;
    const { settling } = worker();
    if (!live?.endpoint.isActive) {
      settling.unsendable(tenantId, endpointId, work, live);
      return;
    }
    const line = lines.line(tenantId, endpointId, live.concurrency);
    if (line.max === 0) {
      settling.release(tenantId, endpointId, work, now());
      return;
    }
    if (work.attemptCount === 0 && line.overflow > 0) line.overflow--;
    lines.reserve(line, work.message.data.length);
    lines.enter(line, work);
  }

  /** Its endpoint may have been made by another node a moment ago: only the store knows that it is deleted. */
  async #placeUnknown(tenantId: string, endpointId: Id, work: Work): Promise<void> {
    const { refresh, worker, log, now } = this.#o;
    try {
      this.#place(tenantId, endpointId, work, await refresh(tenantId, endpointId));
      worker().pump();
    } catch (error) {
      log.warn({ endpoint: prefixes.endpoint + endpointId, error: String(error) }, 'endpoint.not_found_out');
      worker().settling.release(tenantId, endpointId, work, now() + LEFT_MS);
    }
  }
}
