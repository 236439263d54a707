import type { Event } from '../../model/event.ts';
import type { Id } from '../../model/id.ts';
import type { DueLine } from '../due.ts';
import { toEvent } from '../records/event-row.ts';
import type { EventRow } from '../records/event-row.ts';
import type { ClaimedDelivery, ClaimRequest, ClaimResult } from '../store.ts';
import { asciiArray, int4Array } from './binary-array.ts';
import type { NamedStatement } from './connections.ts';
import type { Context } from './context.ts';
import type { Doubtful, Doubts } from './doubts.ts';

/** Characters of event data in one answer: past it the claim stops and says that there is more. Bounds memory. */
const MAX_DATA_CHARS = 8 * 1024 * 1024;
/** The ring is filled from the database at least this often: other nodes leave work, too. */
const REFILL_MS = 15_000;
/** How long one statement may lease for, about: what it leased first is to be on its way soon, whatever the database's speed. */
const PACE_MS = 5;
const MIN_PACE = 32;
const MAX_PACE = 1_000;
/** Weight of the newest statement in what is known of the speed. */
const NEWEST = 0.2;
/** Rounds of one call: lines that had less than was thought leave room for others. */
const ROUNDS = 4;

type Line = Pick<DueLine, 'tenantId' | 'endpointId'>;

interface Share {
  readonly line: Line;
  count: number;
}

interface Row extends Omit<EventRow, 'id'>, Record<string, unknown> {
  id: Id;
  endpoint_id: Id;
  attempt_count: number;
  schedule_start: number;
  n: number;
  place: number;
  event_id: Id;
}

/** What another node is leasing at this moment is passed over; nobody waits. */
const CLAIM = `WITH lines AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS l(tenant_id, endpoint_id, count, n)
  ), picked AS MATERIALIZED (
    SELECT l.n, d.* FROM lines l CROSS JOIN LATERAL (
      SELECT tenant_id, id, due_at, size FROM posthorn.open_deliveries
      WHERE tenant_id = l.tenant_id AND endpoint_id = l.endpoint_id AND status = 'pending' AND due_at <= $4::bigint
      ORDER BY due_at, id LIMIT l.count FOR UPDATE SKIP LOCKED
    ) d
  ), bounded AS (
    SELECT n, tenant_id, id, row_number() OVER placed AS place, sum(size) OVER placed - size AS chars_before
    FROM picked WINDOW placed AS (ORDER BY n, due_at, id ROWS UNBOUNDED PRECEDING)
  ), leased AS (
    UPDATE posthorn.open_deliveries d SET status = 'sending', reason = NULL, due_at = NULL, lease = $5::bigint
    FROM bounded b WHERE b.chars_before < $6::bigint AND d.tenant_id = b.tenant_id AND d.id = b.id
    RETURNING d.tenant_id, d.id, d.event_id, d.endpoint_id, d.attempt_count, d.schedule_start, b.n, b.place
  )
  SELECT l.id, l.endpoint_id, l.attempt_count, l.schedule_start, l.n::int AS n, l.place::int AS place, l.tenant_id, l.event_id,
    e.own_id, e.type, e.occurred_at, e.category, e.group_key, e.source, e.created_at, p.data
  FROM leased l
  JOIN posthorn.events e ON e.tenant_id = l.tenant_id AND e.id = l.event_id
  JOIN posthorn.payloads p ON p.tenant_id = l.tenant_id AND p.event_id = l.event_id`;

const NEXT = `SELECT l.n::int AS n, (
    SELECT due_at FROM posthorn.open_deliveries
    WHERE tenant_id = l.tenant_id AND endpoint_id = l.endpoint_id AND status = 'pending' ORDER BY due_at LIMIT 1
  ) AS due_at FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS l(tenant_id, endpoint_id, n)`;

/** One seek for each endpoint that has something pending, however long its line. */
const HEADS = `WITH RECURSIVE heads AS (
    (SELECT tenant_id, endpoint_id, due_at FROM posthorn.open_deliveries WHERE status = 'pending'
     ORDER BY tenant_id, endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT next.* FROM heads h CROSS JOIN LATERAL (
      SELECT tenant_id, endpoint_id, due_at FROM posthorn.open_deliveries
      WHERE status = 'pending' AND (tenant_id, endpoint_id) > (h.tenant_id, h.endpoint_id)
      ORDER BY tenant_id, endpoint_id, due_at LIMIT 1
    ) next
  ) SELECT tenant_id, endpoint_id, due_at FROM heads`;

/**
 * Leases what is due. Which endpoints have something due each node keeps in memory, as the embedded store does: it knows
 * what it made pending itself, and looks now and then, and when it is told, what others left.
 */
export class Claiming {
  readonly #c: Context;
  readonly #doubts: Doubts;
  #isStale = true;
  #filledAt = Number.NEGATIVE_INFINITY;
  /** Deliveries that are leased in {@link PACE_MS}, as far as is known. */
  #pace = 2 * MIN_PACE;

  constructor(context: Context, doubts: Doubts) {
    this.#c = context;
    this.#doubts = doubts;
  }

  /** Others made something due: the next claim looks. */
  lookAgain(): void {
    this.#isStale = true;
  }

  async claim(asked: ClaimRequest): Promise<ClaimResult> {
    const request = { ...asked, limit: Math.min(asked.limit, Math.round(this.#pace)) };
    const into = new Taken();
    let more = true;
    try {
      more = request.only ? await this.#claimOnly(into, request, request.only) : await this.#claimRing(into, request);
    } catch (error) {
      // Which lines have what is not known any more. What was leased before that is, and has to be sent.
      this.#isStale = true;
      if (into.deliveries.length === 0) throw error;
    }
    return { deliveries: into.deliveries, more, nextDueAt: this.#c.due.nextAt() };
  }

  /** The lines named share the limit equally, whoever stands first; what some leave goes to those that have more. */
  async #claimOnly(into: Taken, request: ClaimRequest, only: readonly Line[]): Promise<boolean> {
    let hungry = only
      .filter(({ endpointId }) => !request.except.has(endpointId))
      .map((line) => ({ line, taken: 0, count: 0, isEmpty: false }));
    let left = request.limit;
    for (let round = 0; round < ROUNDS && left > 0 && hungry.length > 0; round++) {
      let unasked = left;
      for (const [i, share] of hungry.entries()) {
        share.count = Math.min(Math.ceil(unasked / (hungry.length - i)), request.perEndpoint - share.taken);
        unasked -= share.count;
      }
      const shares = hungry.filter(({ count }) => count > 0);
      const taken = await this.#take(into, shares, request.now);
      shares.forEach((share, i) => {
        share.isEmpty = taken[i]! < share.count;
        share.taken += taken[i]!;
        left -= taken[i]!;
      });
      if (into.isFull) return true;
      hungry = hungry.filter((share) => !share.isEmpty && share.taken < request.perEndpoint);
    }
    return hungry.length > 0;
  }

  async #claimRing(into: Taken, request: ClaimRequest): Promise<boolean> {
    const { due } = this.#c;
    if (this.#isStale || performance.now() - this.#filledAt >= REFILL_MS) await this.#fill();
    const takenOf = new Map<DueLine, number>();
    let left = request.limit;
    for (let round = 0; round < ROUNDS; round++) {
      const shares = new Map<DueLine, Share & { line: DueLine }>();
      const wasCut = due.handOut(request.now, { ...request, limit: left }, (line, count) => {
        const share = shares.get(line) ?? { line, count: 0 };
        const room = request.perEndpoint - (takenOf.get(line) ?? 0) - share.count;
        const more = Math.min(count, room);
        share.count += more;
        if (share.count > 0) shares.set(line, share);
        return more;
      });
      if (shares.size === 0) return wasCut;
      const asked = [...shares.values()];
      const taken = await this.#take(into, asked, request.now);
      asked.forEach(({ line }, i) => takenOf.set(line, (takenOf.get(line) ?? 0) + taken[i]!));
      left -= taken.reduce((sum, count) => sum + count, 0);
      if (into.isFull) return true;
      const exhausted = asked.filter(({ count }, i) => taken[i]! < count);
      await this.#exhaust(exhausted.map(({ line }) => line));
      if (left === 0 || exhausted.length === 0) return wasCut;
    }
    return true;
  }

  /** Leases these shares; resolves to how many of each there were. */
  async #take(into: Taken, shares: readonly Share[], now: number): Promise<number[]> {
    const taken = shares.map(() => 0);
    if (shares.length === 0) return taken;
    const node = this.#c.node();
    const beganAt = performance.now();
    const rows = await this.#lease(node, {
      name: 'claim',
      sql: CLAIM,
      parameters: [
        asciiArray(shares.map(({ line }) => line.tenantId)),
        asciiArray(shares.map(({ line }) => line.endpointId)),
        int4Array(shares.map(({ count }) => count)),
        now,
        node,
        Math.max(0, MAX_DATA_CHARS - into.dataChars),
      ],
    });
    this.#learnPace(rows.length, performance.now() - beganAt);
    // Leased under a lease that was lost meanwhile: they are given back with it.
    if (node !== this.#c.node()) return taken;
    rows.sort((a, b) => a.place - b.place);
    for (const row of rows) {
      taken[row.n - 1]!++;
      into.add(row);
    }
    return taken;
  }

  /** Of few rows nothing is learnt: what they take is the round trip's. */
  #learnPace(rows: number, tookMs: number): void {
    if (rows < MIN_PACE) return;
    const pace = this.#pace + NEWEST * ((rows * PACE_MS) / tookMs - this.#pace);
    this.#pace = Math.min(MAX_PACE, Math.max(MIN_PACE, pace));
  }

  /** What it leases is known before the commit: where the answer to that is lost, it is given back. */
  async #lease(node: number, statement: NamedStatement): Promise<Row[]> {
    let rows: Row[] = [];
    const leased = (): Doubtful[] => rows.map((row) => ({ tenantId: row.tenant_id, id: row.id }));
    try {
      await this.#c.connections.transaction(async (run) => {
        rows = [];
        ({ rows } = await run<Row>(statement));
      });
    } catch (error) {
      this.#doubts.giveUp(leased(), node);
      throw error;
    }
    if (this.#doubts.areAny) this.#doubts.claimed(leased());
    return rows;
  }

  /** Nothing of these lines is due now, or another node has it: when their next one is. */
  async #exhaust(lines: readonly DueLine[]): Promise<void> {
    if (lines.length === 0) return;
    // Out of the ring before the look: what is settled meanwhile puts them in again, and must not be overwritten.
    for (const line of lines) this.#c.due.exhausted(line, null);
    const { rows } = await this.#c.connections.query<{ n: number; due_at: number | null }>({
      name: 'claim_next',
      sql: NEXT,
      parameters: [
        asciiArray(lines.map(({ tenantId }) => tenantId)),
        asciiArray(lines.map(({ endpointId }) => endpointId)),
      ],
    });
    for (const { n, due_at } of rows) {
      const { tenantId, endpointId } = lines[n - 1]!;
      if (due_at !== null) this.#c.due.note(tenantId, endpointId, due_at);
    }
  }

  async #fill(): Promise<void> {
    this.#isStale = false;
    try {
      const { rows } = await this.#c.connections.query<{ tenant_id: string; endpoint_id: Id; due_at: number }>({
        name: 'claim_heads',
        sql: HEADS,
        parameters: [],
      });
      for (const { tenant_id, endpoint_id, due_at } of rows) this.#c.due.note(tenant_id, endpoint_id, due_at);
      this.#filledAt = performance.now();
    } catch (error) {
      this.#isStale = true;
      throw error;
    }
  }
}

/** Deliveries of one event share its object. */
class Taken {
  readonly deliveries: ClaimedDelivery[] = [];
  readonly #events = new Map<string, Event>();
  dataChars = 0;

  get isFull(): boolean {
    return this.dataChars >= MAX_DATA_CHARS;
  }

  add(row: Row): void {
    const key = `${row.tenant_id}\0${row.event_id}`;
    this.dataChars += row.data.length;
    let event = this.#events.get(key);
    if (!event) {
      event = toEvent({ ...row, id: row.event_id });
      this.#events.set(key, event);
    }
    const { id, endpoint_id: endpointId, attempt_count: attemptCount, schedule_start: scheduleStart } = row;
    this.deliveries.push({ id, endpointId, attemptCount, scheduleStart, event });
  }
}
