import type { Id } from '../model/id.ts';
import type { EventMessage } from './message.ts';
import { Queue } from './queue.ts';

/** A delivery leased by this node. */
export interface Work {
  readonly id: Id;
  readonly attemptCount: number;
  readonly scheduleStart: number;
  readonly message: EventMessage;
}

/** The fewest exchanges at once that a failing endpoint keeps, so that its backlog is still tried and settled. */
const FLOOR = 4;

/** The waiting line of one endpoint on this node. */
export class Line {
  readonly endpointId: Id;
  readonly tenant: TenantLines;
  readonly queue = new Queue<Work>();
  inFlight = 0;
  /** Deliveries that have room in memory: those waiting, and those being stored. */
  reserved = 0;
  /** Exchanges at once that its endpoint allows, from all nodes together. */
  cap: number;
  /** This node's part of them; 0: others send. */
  max: number;
  /** Exchanges at once now, between a floor and `max`: halved by a failure, one more by a success. */
  limit: number;
  /** Epoch ms until which the receiver asked to be left alone; 0 = not. */
  pausedUntil = 0;
  /** The end of the pause that all nodes know of, epoch ms; 0 = none. */
  toldUntil = 0;
  /** The store may hold due deliveries for it that no node has leased. */
  hasBacklog = false;
  /** Its backlog, where that is no more than what this node stored for want of room while the line was quick; else 0. */
  overflow = 0;
  /** True while it stands in its tenant's ring. */
  isReady = false;
  failuresInRow = 0;
  /** When something of it went on the wire last, or began to wait for that; by `performance.now`. */
  movedAt = Number.NEGATIVE_INFINITY;
  /** How old the last one was that went on the wire for the first time, ms. */
  ageMs = 0;
  /** Pauses without a success in between: each is twice as long as the one before. */
  pausesInRow = 0;
  /** When attempts since the last success began (epoch ms), where endpoints are disabled for failing; null without any. */
  failedAt: number[] | null = null;
  /** Failures since the last success that were in the store when it was asked last, where several nodes send. */
  failuresElsewhere = 0;
  /** The store is being asked for them. */
  isJudged = false;
  /** Those from before the start are among them. */
  isSeeded = false;
  /** Attempts that began before this time (epoch ms) say nothing about the endpoint as it is now. */
  afreshAt = 0;

  constructor(endpointId: Id, tenant: TenantLines, cap: number, max: number) {
    this.endpointId = endpointId;
    this.tenant = tenant;
    this.cap = cap;
    this.max = max;
    this.limit = max;
  }

  /** One that is in no trouble has all of the new part at once. What is on the wire beyond it ends by itself. */
  setMax(max: number): void {
    if (this.limit === this.max || this.limit > max) this.limit = max;
    this.max = max;
  }

  succeeded(): void {
    this.failuresInRow = 0;
    this.pausesInRow = 0;
    if (this.limit !== this.max) this.limit = Math.min(this.max, this.limit + 1);
  }

  /** What was learnt belongs to another URL, or to a time before a person looked into it. */
  forgetTroubles(at: number): void {
    this.failuresInRow = 0;
    this.pausesInRow = 0;
    this.failedAt = null;
    this.failuresElsewhere = 0;
    this.afreshAt = at;
    this.limit = this.max;
  }

  failed(): void {
    this.failuresInRow++;
    this.limit = Math.max(Math.min(FLOOR, this.max), this.limit >> 1);
  }
}

/** The lines of one tenant, and which of them could send now. */
export class TenantLines {
  readonly tenantId: string;
  readonly ready = new Queue<Line>();
  /** Those that had nothing on the wire when they became ready: they go first. */
  readonly fresh = new Queue<Line>();
  inFlight = 0;
  isReady = false;

  constructor(tenantId: string) {
    this.tenantId = tenantId;
  }
}
