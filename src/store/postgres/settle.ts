import { PosthornError } from '../../errors.ts';
import { isEnd } from '../../model/delivery.ts';
import type { Id } from '../../model/id.ts';
import type { Settlement } from '../store.ts';
import { asciiArray, float8Array, int4Array, int8Array, textArray } from './binary-array.ts';
import type { NamedStatement } from './connections.ts';
import type { Context } from './context.ts';
import { isOfTheStore, isOutcomeUnknown, toStoreError } from './failure.ts';
import { isInFlight, land, LAND_OPEN, LANDED, Landings, readAgain } from './flights.ts';
import type { Flight, Flights } from './flights.ts';
import type { Call } from './lane.ts';
import { rowsOf } from './rows.ts';

type SettleCall = Call<Settlement, boolean>;

/** A settlement of a delivery in flight. */
interface Flown {
  readonly flight: Flight;
  readonly input: Settlement;
}

interface KeptRow extends Record<string, unknown> {
  tenant_id: string;
  id: Id;
  endpoint_id: Id;
  at: number | null;
}

/** The first of every statement about open deliveries; `$8` is the lease. */
const COMMON = {
  tenant_id: '$1::text[]',
  id: '$2::text[]',
  number: '$3::int[]',
  started_at: '$4::bigint[]',
  duration_ms: '$5::float8[]',
  status_code: '$6::int[]',
  detail: '$7::text[]',
};
/** The usual end says what varies, and nothing else. */
const DELIVERED_ROWS = rowsOf({ ...COMMON, ended_at: '$9::bigint[]' });
const ROWS = rowsOf({
  ...COMMON,
  at: '$9::bigint[]',
  status: '$10::text[]',
  reason: '$11::text[]',
  last_error: '$12::text[]',
  attempt_count: '$13::int[]',
  count_before: '$14::int[]',
  succeeded: '$15::int[]',
  failure: '$16::text[]',
});
/**
 * Fenced by the lease, which only `sending` ones have, and by the number of attempts made before. Written so that the
 * planner does not take the lease for what finds the row.
 */
const HELD = 'd.tenant_id = s.tenant_id AND d.id = s.id AND coalesce(d.lease = $8::bigint, false)';
const TRIED = `tried AS (
    INSERT INTO posthorn.attempts (tenant_id, delivery_id, number, started_at, duration_ms, succeeded, status_code, failure, detail)
    SELECT tenant_id, id, number, started_at, duration_ms, succeeded, status_code, failure, detail FROM ours WHERE number IS NOT NULL
  )`;
const RETURNED_ATTEMPT = 's.number, s.started_at, s.duration_ms, s.succeeded, s.status_code, s.failure, s.detail';
/** Which ones were ours, where that is not all of them. */
const OURS =
  'SELECT CASE WHEN count(*) < cardinality($2::text[]) THEN coalesce(array_agg(id), ARRAY[]::text[]) END AS ours FROM ours';

/** Of `ours`, which were delivered. */
const INTO_HISTORY = `ended AS (
    INSERT INTO posthorn.ended_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, created_at, ended_at)
    SELECT tenant_id, id, event_id, endpoint_id, 'delivered', number, schedule_start, created_at, ended_at FROM ours
  ), tried AS (
    INSERT INTO posthorn.attempts (tenant_id, delivery_id, number, started_at, duration_ms, succeeded, status_code, detail)
    SELECT tenant_id, id, number, started_at, duration_ms, 1, status_code, detail FROM ours
  )`;

/** The usual end: delivered, with an attempt, and nothing else to say. */
const DELIVERED = `WITH ours AS (
    DELETE FROM posthorn.open_deliveries d USING (${DELIVERED_ROWS}) s
    WHERE ${HELD} AND d.attempt_count = s.number - 1
    RETURNING d.tenant_id, d.id, d.event_id, d.endpoint_id, d.schedule_start, d.created_at,
      s.number, s.started_at, s.duration_ms, s.status_code, s.detail, s.ended_at
  ), ${INTO_HISTORY}
  ${OURS}`;

/** The same of deliveries in flight, which are at their first attempt. */
const LANDED_ROWS = rowsOf({
  tenant_id: '$8::text[]',
  id: '$9::text[]',
  event_id: '$10::text[]',
  endpoint_id: '$11::text[]',
  created_at: '$12::bigint[]',
  started_at: '$13::bigint[]',
  duration_ms: '$14::float8[]',
  status_code: '$15::int[]',
  detail: '$16::text[]',
  ended_at: '$17::bigint[]',
  /** Of its landing. */
  n: '$18::int[]',
});
const LAND_DELIVERED = `WITH ${land('s.n')}, ours AS (
    SELECT *, 1 AS number, 0 AS schedule_start FROM (${LANDED_ROWS}) s
    WHERE (SELECT count(*) FROM landed) = cardinality($6::int[]) OR s.n = ANY (ARRAY(SELECT n FROM landed))
  ), ${INTO_HISTORY}
  ${LANDED}`;

const ENDED = `WITH ours AS (
    DELETE FROM posthorn.open_deliveries d USING (${ROWS}) s
    WHERE ${HELD} AND d.attempt_count = s.count_before
    RETURNING d.tenant_id, d.id, d.event_id, d.endpoint_id, s.status, s.reason, s.attempt_count, d.schedule_start, d.created_at, s.at,
      CASE WHEN s.status = 'delivered' THEN s.last_error ELSE coalesce(s.last_error, d.last_error) END AS last_error, ${RETURNED_ATTEMPT}
  ), ended AS (
    INSERT INTO posthorn.ended_deliveries
      (tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, last_error, created_at, ended_at)
    SELECT tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, last_error, created_at, at FROM ours
  ), ${TRIED}
  ${OURS}`;

/** Tried again later, or held. */
const KEPT = `WITH ours AS (
    UPDATE posthorn.open_deliveries d
    SET status = s.status, reason = s.reason, attempt_count = s.attempt_count, due_at = s.at,
        last_error = coalesce(s.last_error, d.last_error), lease = NULL
    FROM (${ROWS}) s WHERE ${HELD} AND d.attempt_count = s.count_before
    RETURNING d.tenant_id, d.id, d.endpoint_id, s.at, ${RETURNED_ATTEMPT}
  ), ${TRIED}
  SELECT tenant_id, id, endpoint_id, at FROM ours`;

/** The first nine of the same statements; `at`: when it ended, or is due. */
function commonParameters(calls: readonly SettleCall[], node: number, at: readonly (number | null)[]): unknown[] {
  const of = <Value>(pick: (settlement: Settlement) => Value): Value[] => calls.map(({ input }) => pick(input));
  return [
    asciiArray(of(({ tenantId }) => tenantId)),
    asciiArray(of(({ deliveryId }) => deliveryId)),
    int4Array(of(({ attempt }) => attempt?.number ?? null)),
    int8Array(of(({ attempt }) => attempt?.startedAt ?? null)),
    float8Array(of(({ attempt }) => attempt?.durationMs ?? null)),
    int4Array(of(({ attempt }) => attempt?.statusCode ?? null)),
    textArray(of(({ attempt }) => attempt?.detail ?? null)),
    node,
    int8Array(at),
  ];
}

/** Of deliveries that were in flight, from `$8` on. */
function endedColumns(flown: readonly Flown[], { places, endpointIds }: Landings): unknown[] {
  const of = <Value>(pick: (settlement: Settlement) => Value): Value[] => flown.map(({ input }) => pick(input));
  return [
    asciiArray(of(({ tenantId }) => tenantId)),
    asciiArray(of(({ deliveryId }) => deliveryId)),
    asciiArray(flown.map(({ flight }) => flight.eventId)),
    asciiArray(endpointIds),
    int8Array(flown.map(({ flight }) => flight.createdAt)),
    int8Array(of(({ attempt }) => attempt!.startedAt)),
    float8Array(of(({ attempt }) => attempt!.durationMs)),
    int4Array(of(({ attempt }) => attempt!.statusCode)),
    textArray(of(({ attempt }) => attempt!.detail)),
    int8Array(of(({ now }) => now)),
    int4Array(places),
  ];
}

function whatHappened(calls: readonly SettleCall[]): unknown[] {
  const of = <Value>(pick: (settlement: Settlement) => Value): Value[] => calls.map(({ input }) => pick(input));
  return [
    asciiArray(of(({ status }) => status)),
    asciiArray(of(({ reason }) => reason)),
    textArray(of(({ lastError }) => lastError)),
    int4Array(of(({ attemptCount }) => attemptCount)),
    int4Array(of(({ attempt, attemptCount }) => (attempt ? attemptCount - 1 : attemptCount))),
    int4Array(of(({ attempt }) => (attempt ? Number(attempt.succeeded) : null))),
    textArray(of(({ attempt }) => attempt?.failure ?? null)),
  ];
}

/** Looks at flights that were not as they are known here, before the caller hears that the store is at fault. */
const LANDING_TRIES = 3;

/** Settles the calls of one batch: a statement for each kind of outcome among them; mostly there is one kind. */
export class Settling {
  readonly #c: Context;
  readonly #flights: Flights;

  constructor(context: Context, flights: Flights) {
    this.#c = context;
    this.#flights = flights;
  }

  readonly run = async (calls: readonly SettleCall[]): Promise<void> => {
    const landed: SettleCall[] = [];
    const delivered: SettleCall[] = [];
    const ended: SettleCall[] = [];
    const kept: SettleCall[] = [];
    const again: SettleCall[] = [];
    const ids = new Set<Id>();
    for (const call of calls) {
      const { tenantId, deliveryId, status, reason, lastError, attempt } = call.input;
      const isUsual = status === 'delivered' && reason === null && lastError === null && attempt;
      // A second word of the same delivery is for the next statement: of two rows that meet one, either may be taken.
      if (ids.size === ids.add(deliveryId).size) again.push(call);
      else if (!isEnd(status)) kept.push(call);
      else if (!isUsual) ended.push(call);
      else if (attempt.number === 1 && this.#flights.of(tenantId, deliveryId)) landed.push(call);
      else delivered.push(call);
    }
    if (landed.length > 0) await this.#each(landed, (those) => this.#landDelivered(those));
    if (delivered.length > 0)
      await this.#each(delivered, (those) => this.#end('settle_delivered', DELIVERED, those, []));
    if (ended.length > 0) {
      await this.#each(ended, async (those) => {
        await this.#landOpen(those);
        await this.#end('settle_ended', ENDED, those, whatHappened(those));
      });
    }
    if (kept.length > 0) {
      await this.#each(kept, async (those) => {
        await this.#landOpen(those);
        await this.#keep(those);
      });
    }
    if (again.length > 0) await this.run(again);
  };

  /** One statement for all; where that is wrong for one of them, one for each. */
  async #each(calls: readonly SettleCall[], work: (calls: readonly SettleCall[]) => Promise<void>): Promise<void> {
    try {
      await work(calls);
    } catch (error) {
      const fault = toStoreError(error);
      const isOfAll = calls.length === 1 || isOfTheStore(error);
      if (isOfAll) for (const { reject } of calls) reject(fault);
      else for (const call of calls) await this.#each([call], work);
    }
  }

  async #landDelivered(calls: readonly SettleCall[]): Promise<void> {
    await this.#answer(calls, await this.#land(calls, 'land_delivered', LAND_DELIVERED, endedColumns));
  }

  /** Those of them that are in flight get rows of their own. */
  async #landOpen(calls: readonly SettleCall[]): Promise<void> {
    await this.#land(calls, 'land_open', LAND_OPEN, () => []);
  }

  /**
   * Takes those of them that are in flight out of it; resolves to the ones that this did (null = all): others had landed
   * before, with an answer that was lost, or with the lease.
   */
  async #land(
    calls: readonly SettleCall[],
    name: string,
    sql: string,
    further: (flown: readonly Flown[], landings: Landings) => unknown[],
  ): Promise<Id[] | null> {
    const done: Id[] = [];
    let rest = this.#flown(calls);
    for (let left = LANDING_TRIES; rest.length > 0; left--) {
      const landings = new Landings();
      for (const { flight, input } of rest) landings.add(flight, input.deliveryId);
      const lease = this.#c.node();
      const parameters = [...landings.columns(lease), ...further(rest, landings)];
      const [row] = await this.#query<{ ours: number[] | null }>({ name, sql, parameters });
      const ours = row!.ours && new Set(row!.ours);
      for (const place of landings.flights.keys()) if (!ours || ours.has(place)) landings.landed(place);
      const refused: Flown[] = [];
      rest.forEach((one, i) => {
        const { deliveryId } = one.input;
        if (ours && !ours.has(landings.places[i]!)) refused.push(one);
        else {
          this.#flights.forget(deliveryId);
          done.push(deliveryId);
        }
      });
      if (refused.length === 0) break;
      if (left === 1) throw new PosthornError('STORE_UNAVAILABLE', 'Deliveries are settled elsewhere, too. Try again.');
      // A row is not as it is known here: an answer was lost, or the lease. Once more with those that it has.
      const others = landings.flights.filter((_, place) => !ours?.has(place));
      await readAgain(this.#c.connections, others, lease);
      rest = refused.filter(({ flight, input: { deliveryId } }) => {
        const isFlying = isInFlight(flight, deliveryId);
        if (!isFlying) this.#flights.forget(deliveryId);
        return isFlying;
      });
    }
    return done.length < calls.length ? done : null;
  }

  #flown(calls: readonly SettleCall[]): Flown[] {
    const flown: Flown[] = [];
    for (const { input } of calls) {
      const flight = this.#flights.of(input.tenantId, input.deliveryId);
      if (flight) flown.push({ flight, input });
    }
    return flown;
  }

  async #end(name: string, sql: string, calls: readonly SettleCall[], further: readonly unknown[]): Promise<void> {
    const endedAt = calls.map(({ input }) => input.now);
    const parameters = [...commonParameters(calls, this.#c.node(), endedAt), ...further];
    const [row] = await this.#query<{ ours: Id[] | null }>({ name, sql, parameters });
    await this.#answer(calls, row!.ours);
  }

  async #keep(calls: readonly SettleCall[]): Promise<void> {
    const dueAt = calls.map(({ input }) => input.dueAt);
    const parameters = [...commonParameters(calls, this.#c.node(), dueAt), ...whatHappened(calls)];
    const rows = await this.#query<KeptRow>({ name: 'settle_kept', sql: KEPT, parameters });
    for (const { tenant_id, endpoint_id, at } of rows) {
      if (at !== null) this.#c.due.note(tenant_id, endpoint_id, at);
    }
    await this.#answer(calls, rows.length < calls.length ? rows.map(({ id }) => id) : null);
  }

  /** Once more where the answer to the commit was lost: what went in then is found again by its attempt. */
  async #query<Row extends Record<string, unknown>>(statement: NamedStatement): Promise<Row[]> {
    try {
      return (await this.#c.connections.raw<Row>(statement)).rows;
    } catch (error) {
      if (!isOutcomeUnknown(error)) return (await this.#c.connections.query<Row>(statement)).rows;
      throw error;
    }
  }

  /** `ours`: deliveries; null = all of them. */
  async #answer(calls: readonly SettleCall[], ours: readonly Id[] | null): Promise<void> {
    const settled = ours && new Set(ours);
    const refused = settled ? calls.filter(({ input }) => !settled.has(input.deliveryId)) : [];
    const written = await this.#written(refused.map(({ input }) => input));
    for (const { input, resolve } of calls)
      resolve(!settled || settled.has(input.deliveryId) || written.has(input.deliveryId));
  }

  /** Of refused settlements those whose very attempt is in the store: they were settled, and only the answer was lost. */
  async #written(refused: readonly Settlement[]): Promise<Set<Id>> {
    const tried = refused.filter(({ attempt }) => attempt !== null);
    if (tried.length === 0) return new Set();
    const { rows } = await this.#c.connections.query<{ delivery_id: Id }>({
      name: 'settle_written',
      sql: `SELECT a.delivery_id FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::float8[], $6::int[], $7::text[])
              AS s(tenant_id, delivery_id, number, started_at, duration_ms, succeeded, detail)
            JOIN posthorn.attempts a ON a.tenant_id = s.tenant_id AND a.delivery_id = s.delivery_id AND a.number = s.number
              AND a.started_at = s.started_at AND a.duration_ms = s.duration_ms AND a.succeeded = s.succeeded AND a.detail = s.detail`,
      parameters: [
        asciiArray(tried.map(({ tenantId }) => tenantId)),
        asciiArray(tried.map(({ deliveryId }) => deliveryId)),
        int4Array(tried.map(({ attempt }) => attempt!.number)),
        int8Array(tried.map(({ attempt }) => attempt!.startedAt)),
        float8Array(tried.map(({ attempt }) => attempt!.durationMs)),
        int4Array(tried.map(({ attempt }) => Number(attempt!.succeeded))),
        textArray(tried.map(({ attempt }) => attempt!.detail)),
      ],
    });
    return new Set(rows.map((row) => row.delivery_id));
  }
}
