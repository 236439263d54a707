import type { Attempt } from '../model/attempt.ts';
import type { Delivery, DeliveryReason, DeliveryStatus } from '../model/delivery.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Event } from '../model/event.ts';
import type { Id } from '../model/id.ts';
import type { ApiKey, EventType, Member, Plan, Session, Tenant } from '../model/tenant.ts';
import type { OutboxSource } from './outbox.ts';

/**
 * The port to durable storage. Every verb is one whole transaction; a promise resolves only after it is durable
 * (fsynced). Verbs called in the same turn, or while a commit is under way, share the next commit.
 *
 * A store that cannot write rejects with a `PosthornError` (`STORE_UNAVAILABLE`, `STORE_FULL`) and has changed nothing.
 */
export interface Store {
  /**
   * Opens or creates the store, refuses pending migrations unless `migrate`, takes the embedded store's exclusive lock,
   * begins a session (the lease token of this process) and gives orphaned deliveries back to `pending`.
   */
  open(options: { migrate: boolean; now: number }): Promise<void>;
  /** Finishes what was called, releases the lease on what is still `sending`, closes. Tolerates never-opened and twice-closed. */
  close(): Promise<void>;
  /** Throws where the store would not answer or take a write; for `/readyz`. */
  check(): Promise<void>;
  /**
   * The clock that dates everything, epoch ms: this machine's for the embedded store, the database's where several nodes
   * share one (known to within a round trip once it is open). Never goes back by itself.
   */
  now(): number;
  /** What happens to this process from outside. One listener, set before `open`. */
  listen(listener: StoreListener): void;
  /** What the nodes of one database share; null for the embedded store, which has one. */
  readonly cluster: Cluster | null;
  /** Where applications that share this database leave events; null for the embedded store, which nobody shares. */
  readonly outbox: OutboxSource | null;

  // The way of a delivery: hand-written, batched in group commits, measured in bench/.

  /**
   * Stores events with their deliveries. All entries of one call commit together, in order; where one of them repeats
   * a key with another fingerprint, nothing of this call is stored.
   */
  accept(entries: readonly AcceptEntry[]): Promise<AcceptOutcome[]>;
  /**
   * Adds further deliveries to an accepted event whose fan-out is larger than one transaction should be. Resolves to
   * false, having stored nothing, where the event stands elsewhere than at `from`: this slice was stored before.
   */
  extendFanOut(fanOut: FanOutSlice): Promise<boolean>;
  /** Events whose fan-out was cut off by a crash, oldest first. */
  unfinishedFanOuts(limit: number): Promise<{ event: Event; after: Id }[]>;
  /**
   * Writes an attempt (if one was made) and moves the delivery, where this session still holds its lease.
   * Resolves to false, having changed nothing, where it does not: somebody else took over, and their word stands.
   */
  settle(settlement: Settlement): Promise<boolean>;
  /**
   * Leases due deliveries to this session: `pending` with `dueAt <= now`, fair over tenants, then over their endpoints,
   * oldest due first within one endpoint. A call goes on in the ring where the last one stopped.
   */
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /** Moves up to `limit` deliveries of one endpoint, oldest first. Resolves to how many moved: less than `limit` = all done. */
  moveDeliveries(request: MoveRequest): Promise<number>;
  /** Endpoints that have deliveries in this status: to finish at start what a crash cut off. */
  endpointsHaving(status: 'pending' | 'held'): Promise<{ tenantId: string; endpointId: Id }[]>;
  /** Makes deliveries `pending` again (redeliver), with a schedule anew. Resolves to the ids that could move. */
  redeliver(request: RedeliverRequest): Promise<Id[]>;
  /**
   * Creates deliveries of a stored event for endpoints that had none of it. Resolves to the ids of those it stored: the
   * endpoints of the others were served meanwhile. INVALID_STATE while the event's fan-out goes on.
   */
  addDeliveries(tenantId: string, eventId: Id, deliveries: readonly NewDelivery[], now: number): Promise<Id[]>;
  /** Marks a dead letter as seen. Resolves to false where it is not a dead letter. */
  acknowledge(tenantId: string, deliveryId: Id, now: number): Promise<boolean>;
  /**
   * Deletes one slice of events older than `before` (epoch ms) with their deliveries, attempts and idempotency keys;
   * events with an open delivery stay. Resolves to the number of events deleted, where very many went at once about so
   * many: 0 = all done.
   * `beforeOf`: tenants whose events have another limit than `before`; null = theirs stay.
   */
  prune(request: { before: number; limit: number; beforeOf: ReadonlyMap<string, number | null> }): Promise<number>;
  /**
   * Forgets the data of one slice of events older than `before` (epoch ms) that have no open delivery; their history
   * stays. Resolves to the number of events whose data went: 0 = all done.
   */
  prunePayloads(request: { before: number; limit: number }): Promise<number>;

  // Records people edit and read: written once for every dialect.

  readonly endpoints: {
    /** Every endpoint that is not deleted, secrets unsealed. */
    all(): Promise<Endpoint[]>;
    /** One endpoint, deleted ones too where asked; null if unknown. */
    get(
      tenantId: string,
      id: Id,
      options?: { deleted?: boolean },
    ): Promise<(Endpoint & { deletedAt: number | null }) | null>;
    /**
     * Stores it unless that would break one of the conditions, all in one transaction: `limited`, the tenant has
     * `limit` endpoints or more; `repeated`, the idempotency key was used before (nothing is stored, the first one is
     * named); `taken`, some tenant has, or had, an endpoint with this id, or this tenant one with this own id.
     */
    create(endpoint: Endpoint, options?: CreateEndpointOptions): Promise<CreateEndpointOutcome>;
    /**
     * Replaces the row and its secrets, where it still is as it was at `ifUpdatedAt` (its `updatedAt`, which grows with
     * every change). Resolves to false, having changed nothing, where somebody else was quicker, or it is deleted.
     */
    update(endpoint: Endpoint, ifUpdatedAt: number): Promise<boolean>;
    /** Keeps the row for its history and forgets the secrets. */
    remove(tenantId: string, id: Id, now: number): Promise<void>;
  };
  readonly events: {
    get(tenantId: string, id: Id): Promise<Event | null>;
    /** The id behind a publisher's own id. */
    findOwnId(tenantId: string, dedupeKey: string): Promise<Id | null>;
    list(filter: EventFilter, page: Page): Promise<Event[]>;
    /** Events of a tenant accepted from `from` on (epoch ms), counted no further than `limit`. */
    count(tenantId: string, from: number, limit: number): Promise<number>;
  };
  readonly deliveries: {
    get(tenantId: string, id: Id): Promise<DeliveryRow | null>;
    list(filter: DeliveryFilter, page: Page): Promise<DeliveryRow[]>;
    /** How many deliveries the filter matches, counted no further than `limit`. */
    count(filter: DeliveryFilter, limit: number): Promise<number>;
    countByStatus(filter: DeliveryFilter): Promise<Record<DeliveryStatus, number>>;
    attempts(tenantId: string, deliveryId: Id): Promise<Attempt[]>;
    /**
     * Attempts of a tenant by the time they began, newest first: those of the newest 10,000 deliveries that match. With
     * what a list shows of their delivery.
     */
    listAttempts(filter: AttemptFilter, page: { limit: number; offset: number }): Promise<AttemptRow[]>;
    /** Failed attempts of an endpoint that began at `since` (epoch ms) or later, of its newest 10,000 deliveries. */
    countFailures(tenantId: string, endpointId: Id, since: number): Promise<number>;
    /** Which tenant a delivery belongs to, for callers who act for all of them; null if unknown. */
    tenantOf(id: Id): Promise<string | null>;
    /** Duration and outcome of the newest attempts of an endpoint, at most `limit`. */
    recentAttempts(tenantId: string, endpointId: Id, limit: number): Promise<Attempt[]>;
  };
  readonly eventTypes: {
    all(): Promise<EventType[]>;
    get(name: string): Promise<EventType | null>;
    put(eventType: EventType): Promise<void>;
    remove(name: string): Promise<void>;
  };
  readonly plans: {
    all(): Promise<Plan[]>;
    /** Creates or replaces; where it `isDefault`, no other one is any more. */
    put(plan: Plan): Promise<void>;
    /** Resolves to false, having changed nothing, where a tenant has it. */
    remove(name: string): Promise<boolean>;
  };
  readonly members: {
    all(): Promise<Member[]>;
    get(tenantId: string, id: Id): Promise<Member | null>;
    /** Resolves to false, having stored nothing, where the tenant has a member with this email. */
    create(member: Member): Promise<boolean>;
    /**
     * Replaces the row where it still is as it was at `ifUpdatedAt`, unless no owner would be left. ALREADY_EXISTS where
     * another member has this email.
     */
    update(member: Member, ifUpdatedAt: number): Promise<MemberOutcome>;
    /** Removes the member and its sessions, and revokes its personal keys. */
    remove(tenantId: string, id: Id, now: number): Promise<Extract<MemberOutcome, 'done' | 'last_owner'>>;
  };
  readonly sessions: {
    /** Those that last beyond `now`. */
    all(now: number): Promise<Session[]>;
    get(hash: string): Promise<Session | null>;
    /** Also forgets the ones that have ended. */
    create(session: Session): Promise<void>;
    remove(hash: string): Promise<void>;
  };
  readonly tenants: {
    all(): Promise<Tenant[]>;
    get(id: string): Promise<Tenant | null>;
    /** Stores it; `present` where it exists, `no_plan` where its plan does not: then nothing changes. */
    create(tenant: Tenant): Promise<'done' | 'present' | 'no_plan'>;
    /** Changes the fields that are given, and no others. `no_plan`: there is no such plan, and nothing changes. */
    update(id: string, fields: Partial<Pick<Tenant, 'name' | 'wireFormat' | 'plan'>>): Promise<'done' | 'no_plan'>;
  };
  readonly apiKeys: {
    /** Every key with its hash, revoked ones too. */
    all(): Promise<(ApiKey & { hash: string })[]>;
    get(id: Id): Promise<(ApiKey & { hash: string }) | null>;
    create(key: ApiKey & { hash: string }): Promise<void>;
    revoke(id: Id, now: number): Promise<void>;
    touch(uses: readonly { id: Id; lastUsedAt: number }[]): Promise<void>;
  };
}

/** A node shows the others only what they may have to act on. */
export interface StoreListener {
  /** This process's leases are void and what it held is due again: its writer died, or its lease ran out unrenewed. */
  leasesLost(): void;
  /** Work of a node that is gone is there to be taken: deliveries are due, fan-outs are unfinished. */
  orphansFound(): void;
  /** Other nodes changed these records. After a long silence it may be `everything`. */
  recordsChanged(changes: readonly RecordChange[] | 'everything'): void;
  /**
   * This node's place among those that deliver is another one now, and counts from the call on. A new node begins when
   * the promise is resolved: when what was begun in the old place and is more than the new one allows has ended.
   */
  placeChanged(): void | Promise<void>;
  /** Another node learnt that an endpoint is to be left alone until then (epoch ms), or, with 0, no longer. */
  endpointPaused(tenantId: string, endpointId: Id, until: number): void;
}

/** `key`: an endpoint's, member's or API key's id, a plan's, tenant's or event type's name, a session's hash. */
export interface RecordChange {
  kind: 'endpoint' | 'event_type' | 'plan' | 'tenant' | 'member' | 'session' | 'api_key';
  /** '' for what belongs to no tenant. */
  tenantId: string;
  key: string;
}

/** What the nodes of one database tell each other. */
export interface Cluster {
  /**
   * Looks now what other nodes have changed, instead of within half a second. Resolves once the listener was told of
   * every change committed before the call.
   */
  catchUp(): Promise<void>;
  /**
   * False from the moment at which this node's lease could run out before an exchange ends: nothing that it holds may
   * be sent. By a clock that nobody sets, so it is true of a process that was stopped and continued, too.
   */
  isLeaseLive(): boolean;
  /** This node's place among the live ones that deliver: `index` from 0, in the order of age. `{0, 1}` when alone. */
  place(): { index: number; count: number };
  /** Tells the others to leave an endpoint alone until then (epoch ms); 0 = no longer. Never rejects. */
  pause(tenantId: string, endpointId: Id, until: number): Promise<void>;
  /** Pauses that are in force now, for a node that starts. */
  pauses(): Promise<{ tenantId: string; endpointId: Id; until: number }[]>;
  /**
   * Adds to counters that all nodes share; resolves to their totals, in order. A counter is forgotten some time after
   * its window. `window`: epoch ms at which the minute or day began.
   */
  count(uses: readonly { name: string; window: number; add: number }[]): Promise<number[]>;
  /** Sees to it that such a counter is no lower than `to`. */
  raise(counter: { name: string; window: number; to: number }): Promise<void>;
}

/** `stale`: somebody else was quicker. `last_owner`: a tenant with owners keeps one. Nothing changed but with `done`. */
export type MemberOutcome = 'done' | 'stale' | 'last_owner';

export interface CreateEndpointOptions {
  /** Endpoints that the tenant may have at most, this one included; null = any number. */
  limit?: number | null;
  /** Idempotency key, hashed, and what else the request said, hashed; kept for 24 hours. */
  dedupe?: { key: string; fingerprint: string } | null;
}

export type CreateEndpointOutcome =
  | { kind: 'created' }
  | { kind: 'limited' }
  | { kind: 'taken' }
  /** `sameBody`: the fingerprints are equal. The endpoint may have been deleted since. */
  | { kind: 'repeated'; endpointId: Id; sameBody: boolean };

export interface AttemptFilter {
  tenantId: string;
  endpointId?: Id;
  eventId?: Id;
  succeeded?: boolean;
}

/** An attempt with what a list shows of its delivery. */
export interface AttemptRow extends Attempt {
  delivery: DeliveryRow;
}

export interface NewDelivery {
  id: Id;
  endpointId: Id;
  /** `sending`: born leased to this session. `pending`: for whoever claims it when it is due. */
  status: 'sending' | 'pending' | 'held';
  /** Of a `pending` one: epoch ms; absent = at once. */
  dueAt?: number;
  /** Of a `held` one; absent = `endpoint_disabled`. */
  reason?: 'endpoint_disabled' | 'over_quota';
}

export interface AcceptEntry {
  event: Event;
  /** Idempotency key and own id, hashed with their kind; the same key with another fingerprint is a conflict. */
  dedupe: readonly { key: string; fingerprint: string }[];
  deliveries: readonly NewDelivery[];
  /** Not null: more deliveries follow with {@link Store.extendFanOut}, for endpoints after this id. */
  fanOutAfter: Id | null;
}

export type AcceptOutcome =
  | { kind: 'accepted' }
  /** The key was used before: this event, and whether the fingerprint was the same. Nothing was stored. */
  | { kind: 'duplicate'; eventId: Id; ownId: string | null; deliveries: number; sameBody: boolean };

export interface FanOutSlice {
  tenantId: string;
  eventId: Id;
  deliveries: readonly NewDelivery[];
  /** Where this slice begins. */
  from: Id;
  /** Where the next slice begins; null = complete. */
  after: Id | null;
  now: number;
}

export interface Settlement {
  tenantId: string;
  deliveryId: Id;
  attempt: Attempt | null;
  status: DeliveryStatus;
  reason: DeliveryReason | null;
  /** Attempts made over the delivery's life, this one included. */
  attemptCount: number;
  /** Epoch ms of the next attempt when `pending`, else null. */
  dueAt: number | null;
  /** Null keeps what is there, except that a delivered one has none. */
  lastError: string | null;
  /** Epoch ms of this settlement. */
  now: number;
}

export interface ClaimRequest {
  now: number;
  /** Deliveries in all. */
  limit: number;
  /** Deliveries of any one endpoint. */
  perEndpoint: number;
  /** Only these endpoints, in this order; null = the fair ring over all. */
  only: readonly { tenantId: string; endpointId: Id }[] | null;
  /** Endpoint ids to pass over: their lines are full, or paused. */
  except: ReadonlySet<Id>;
}

export interface ClaimedDelivery {
  id: Id;
  endpointId: Id;
  attemptCount: number;
  scheduleStart: number;
  event: Event;
}

export interface ClaimResult {
  deliveries: ClaimedDelivery[];
  /** The ring was left before its end (limit reached): call again. */
  more: boolean;
  /** Epoch ms of the earliest `pending` delivery not yet due at `now`; null = none. */
  nextDueAt: number | null;
}

export interface MoveRequest {
  tenantId: string;
  endpointId: Id;
  from: 'pending' | 'held';
  to: 'pending' | 'held' | 'cancelled';
  reason: DeliveryReason | null;
  limit: number;
  /** Only those made before then (epoch ms); absent = whenever they were made. */
  before?: number;
  now: number;
}

export interface RedeliverRequest {
  tenantId: string;
  deliveryIds: readonly Id[];
  /** Only those that are in one of these; absent = in any that has a way there. */
  from?: readonly DeliveryStatus[];
  /** Epoch ms of the first one's next attempt; the following ones `spacingMs` later each. */
  dueAt: number;
  spacingMs: number;
}

/** Newest first; `before`: only ids lower than this one. */
export interface Page {
  limit: number;
  before: Id | null;
  /** Rows to pass over, for faces that page by number; 0 elsewhere. */
  offset?: number;
  /** Deliveries come with their newest attempt: one look-up a row, in the same query. */
  withLastAttempt?: boolean;
}

export interface EventFilter {
  tenantId: string;
  type?: string;
  group?: string;
  /** Epoch ms, inclusive from, exclusive to; by acceptance. */
  from?: number;
  to?: number;
}

export interface DeliveryFilter {
  tenantId: string;
  status?: readonly DeliveryStatus[];
  endpointId?: Id;
  eventId?: Id;
  eventType?: string;
  /** The group of its event. */
  group?: string;
  /** Has been tried at least once (true) or not yet (false). */
  attempted?: boolean;
  /** Epoch ms, inclusive from, exclusive to; by creation. */
  from?: number;
  to?: number;
  acknowledged?: boolean;
}

/** A delivery with what a list shows of its event. */
export interface DeliveryRow extends Delivery {
  eventType: string;
  eventOwnId: string | null;
  eventGroup: string | null;
  eventCategory: string | null;
  endpointOwnId: string | null;
  /** Where the endpoint is now, or was when it was deleted. */
  endpointUrl: string;
  /** The newest attempt, null before the first; only where it was asked for. */
  lastAttempt?: Attempt | null;
}
