import type { Id } from '../../model/id.ts';
import type { AcceptEntry } from '../store.ts';
import { asciiArray, int4Array, int8Array } from './binary-array.ts';
import type { Connections } from './connections.ts';
import { rowsOf } from './rows.ts';

/**
 * Deliveries that share a row at most: its bits fit an integer, and the row stays below the 2 kB from which PostgreSQL
 * compresses rows and puts parts of them elsewhere.
 */
export const FLIGHT_SIZE = 24;

export interface FlightKey {
  readonly tenantId: string;
  readonly eventId: Id;
  /** Of its first delivery. */
  readonly id: Id;
}

/** Deliveries of one event that the node which accepted it sends itself: one row of `flights` until the last has landed. */
export interface Flight extends FlightKey {
  readonly createdAt: number;
  /** Characters of the event's payload. */
  readonly size: number;
  readonly deliveryIds: Id[];
  readonly endpointIds: Id[];
  /** Bit n is set while the delivery with index n is in flight. */
  inFlight: number;
  lease: number;
}

/** The row's key, of `f` and `s`. */
export const SAME_FLIGHT = 'f.tenant_id = s.tenant_id AND f.event_id = s.event_id AND f.id = s.id';

/** The flights of these events, as far as their deliveries are born leased. */
export function flightsOf(entries: readonly AcceptEntry[], lease: number): Flight[] {
  const flights: Flight[] = [];
  for (const { event, deliveries } of entries) {
    let flight: Flight | null = null;
    for (const { id, endpointId, status } of deliveries) {
      if (status !== 'sending') continue;
      if (flight === null || flight.deliveryIds.length === FLIGHT_SIZE) {
        flight = {
          ...{ tenantId: event.tenantId, eventId: event.id, id, createdAt: event.createdAt, size: event.data.length },
          ...{ deliveryIds: [], endpointIds: [], inFlight: 0, lease },
        };
        flights.push(flight);
      }
      flight.inFlight |= 1 << flight.deliveryIds.length;
      flight.deliveryIds.push(id);
      flight.endpointIds.push(endpointId);
    }
  }
  return flights;
}

/** Rows of {@link flightColumns}, which are the parameters from `$first` on. */
export function flightRows(first: number): string {
  const $ = (offset: number): string => `$${first + offset}`;
  return `SELECT tenant_id, event_id, id, created_at, size, in_flight,
      string_to_array(delivery_ids, ',') AS delivery_ids, string_to_array(endpoint_ids, ',') AS endpoint_ids
    FROM (${rowsOf({
      tenant_id: `${$(0)}::text[]`,
      event_id: `${$(1)}::text[]`,
      id: `${$(2)}::text[]`,
      created_at: `${$(3)}::bigint[]`,
      size: `${$(4)}::int[]`,
      in_flight: `${$(5)}::int[]`,
      delivery_ids: `${$(6)}::text[]`,
      endpoint_ids: `${$(7)}::text[]`,
    })}) u`;
}

/** Arrays of arrays would all have to be of one length: lists of ids are texts with commas. */
export function flightColumns(flights: readonly Flight[]): Buffer[] {
  return [
    ...flightKeys(flights),
    int8Array(flights.map(({ createdAt }) => createdAt)),
    int4Array(flights.map(({ size }) => size)),
    int4Array(flights.map(({ inFlight }) => inFlight)),
    asciiArray(flights.map(({ deliveryIds }) => deliveryIds.join(','))),
    asciiArray(flights.map(({ endpointIds }) => endpointIds.join(','))),
  ];
}

/** Of tenant, event and id. */
export function flightKeys(flights: readonly FlightKey[]): [Buffer, Buffer, Buffer] {
  return [
    asciiArray(flights.map(({ tenantId }) => tenantId)),
    asciiArray(flights.map(({ eventId }) => eventId)),
    asciiArray(flights.map(({ id }) => id)),
  ];
}

/**
 * The flights that `which` finds (`SELECT tenant_id, event_id, id`) end where they are: their deliveries are open, due at
 * `dueAt`, for whoever claims them. Returns the lines that have some of them.
 */
export function giveBackFlights(which: string, dueAt: string): string {
  return `WITH gone AS (
      DELETE FROM posthorn.flights f USING (${which}) s WHERE ${SAME_FLIGHT} RETURNING f.*
    ), back AS (
      INSERT INTO posthorn.open_deliveries
        (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, due_at, created_at, size)
      SELECT tenant_id, delivery_id, event_id, endpoint_id, 'pending', 0, 0, ${dueAt}, created_at, size
      FROM (${deliveriesOf('gone', 'in_flight')}) d
      RETURNING tenant_id, endpoint_id
    )
    SELECT DISTINCT tenant_id, endpoint_id FROM back`;
}

/** The deliveries of these rows of `flights` whose bits are set. */
function deliveriesOf(rows: string, bits: string): string {
  return `SELECT r.tenant_id, d.delivery_id, r.event_id, d.endpoint_id, r.created_at, r.size
    FROM ${rows} r CROSS JOIN LATERAL unnest(r.delivery_ids, r.endpoint_ids) WITH ORDINALITY AS d(delivery_id, endpoint_id, place)
    WHERE r.${bits} & (1 << (d.place - 1)::integer) <> 0`;
}

const LANDINGS = rowsOf({
  tenant_id: '$1::text[]',
  event_id: '$2::text[]',
  id: '$3::text[]',
  bits: '$4::int[]',
  is_last: '$5::int[]',
  n: '$6::int[]',
});
const FENCED = `${SAME_FLIGHT} AND coalesce(f.lease = $7::bigint, false)`;
/**
 * The first statements of whatever takes deliveries out of flight: `$1` to `$7` are {@link Landings.columns}. With the last of
 * its deliveries a flight is gone; which ones are the last the row knows, and a landing that says otherwise is none.
 * `landed` has what is `returned` of the landings that were true.
 */
export function land(returned: string): string {
  return `gone AS (
    DELETE FROM posthorn.flights f USING (SELECT * FROM (${LANDINGS}) s WHERE is_last = 1) s
    WHERE ${FENCED} AND f.in_flight = s.bits RETURNING ${returned}
  ), less AS (
    UPDATE posthorn.flights f SET in_flight = f.in_flight & ~s.bits FROM (SELECT * FROM (${LANDINGS}) s WHERE is_last = 0) s
    WHERE ${FENCED} AND f.in_flight & s.bits = s.bits AND f.in_flight <> s.bits RETURNING ${returned}
  ), landed AS (
    SELECT * FROM gone UNION ALL SELECT * FROM less
  )`;
}

/** Which landings were true, where that is not all of them. */
export const LANDED =
  'SELECT CASE WHEN count(*) < cardinality($6::int[]) THEN coalesce(array_agg(n), ARRAY[]::int[]) END AS ours FROM landed';

/** To be tried again, held or ended otherwise: rows of the open deliveries, under the same lease. */
export const LAND_OPEN = `WITH ${land('s.n, s.bits, f.*')}, opened AS (
    INSERT INTO posthorn.open_deliveries
      (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, lease, created_at, size)
    SELECT tenant_id, delivery_id, event_id, endpoint_id, 'sending', 0, 0, $7::bigint, created_at, size
    FROM (${deliveriesOf('landed', 'bits')}) d
  )
  ${LANDED}`;

/** The flights of this node, by their deliveries. */
export class Flights {
  readonly #byDelivery = new Map<Id, Flight>();

  /** They are stored. */
  begin(flights: readonly Flight[]): void {
    for (const flight of flights) for (const id of flight.deliveryIds) this.#byDelivery.set(id, flight);
  }

  /** Null of a delivery that has a row of its own, or is not this node's. */
  of(tenantId: string, deliveryId: Id): Flight | null {
    const flight = this.#byDelivery.get(deliveryId);
    return flight?.tenantId === tenantId ? flight : null;
  }

  clear(): void {
    this.#byDelivery.clear();
  }

  /** The lease was lost: what was under it is somebody else's. */
  forgetOthers(lease: number): void {
    for (const [id, flight] of this.#byDelivery) if (flight.lease !== lease) this.#byDelivery.delete(id);
  }

  /** It has landed, or is somebody else's. */
  forget(deliveryId: Id): void {
    this.#byDelivery.delete(deliveryId);
  }
}

/** Deliveries that leave their flights together: a landing for each flight. */
export class Landings {
  readonly flights: Flight[] = [];
  /** The landing of each delivery, in the order in which they were added. */
  readonly places: number[] = [];
  readonly endpointIds: Id[] = [];
  readonly #bits: number[] = [];
  readonly #placeOf = new Map<Flight, number>();

  add(flight: Flight, deliveryId: Id): void {
    let place = this.#placeOf.get(flight);
    if (place === undefined) {
      place = this.flights.push(flight) - 1;
      this.#placeOf.set(flight, place);
      this.#bits.push(0);
    }
    const index = flight.deliveryIds.indexOf(deliveryId);
    this.#bits[place]! |= 1 << index;
    this.places.push(place);
    this.endpointIds.push(flight.endpointIds[index]!);
  }

  /** Tenant, event and id, bits, whether they are all that is left of it, place; and the lease. */
  columns(lease: number): unknown[] {
    return [
      ...flightKeys(this.flights),
      int4Array(this.#bits),
      int4Array(this.flights.map(({ inFlight }, place) => Number(inFlight === this.#bits[place]))),
      int4Array(this.flights.map((_, place) => place)),
      lease,
    ];
  }

  /** The row says so. */
  landed(place: number): void {
    this.flights[place]!.inFlight &= ~this.#bits[place]!;
  }
}

export function isInFlight(flight: Flight, deliveryId: Id): boolean {
  return (flight.inFlight & (1 << flight.deliveryIds.indexOf(deliveryId))) !== 0;
}

/** What the rows say of these flights: where an answer was lost it is more than is known here. */
export async function readAgain(connections: Connections, flights: readonly Flight[], lease: number): Promise<void> {
  const { rows } = await connections.query<{ id: Id; in_flight: number }>({
    name: 'flights_again',
    sql: `SELECT f.id, f.in_flight FROM posthorn.flights f JOIN (${rowsOf({
      tenant_id: '$1::text[]',
      event_id: '$2::text[]',
      id: '$3::text[]',
    })}) s ON ${SAME_FLIGHT} WHERE f.lease = $4::bigint`,
    parameters: [...flightKeys(flights), lease],
  });
  const bits = new Map(rows.map((row) => [row.id, row.in_flight]));
  for (const flight of flights) flight.inFlight = bits.get(flight.id) ?? 0;
}
