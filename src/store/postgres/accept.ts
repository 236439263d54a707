import type { Id } from '../../model/id.ts';
import type { AcceptEntry, AcceptOutcome, NewDelivery } from '../store.ts';
import { asciiArray, int4Array, int8Array, textArray } from './binary-array.ts';
import type { NamedStatement, Run } from './connections.ts';
import type { Context } from './context.ts';
import type { Doubtful, Doubts } from './doubts.ts';
import { isOfTheStore, isOutcomeUnknown, isRepeatable, isUniqueViolation, toStoreError } from './failure.ts';
import { flightColumns, flightRows, flightsOf, flightKeys, SAME_FLIGHT } from './flights.ts';
import type { Flight, Flights } from './flights.ts';
import type { Call } from './lane.ts';
import { rowsOf } from './rows.ts';

type AcceptCall = Call<readonly AcceptEntry[], AcceptOutcome[]>;

const ACCEPTED: AcceptOutcome = { kind: 'accepted' };
/** Tries of a batch that meets another transaction, or keys which another node is storing at the same moment. */
const TRIES = 5;

const EVENT_ROWS = rowsOf({
  tenant_id: '$1::text[]',
  id: '$2::text[]',
  own_id: '$3::text[]',
  type: '$4::text[]',
  occurred_at: '$5::bigint[]',
  category: '$6::text[]',
  group_key: '$7::text[]',
  source: '$8::text[]',
  created_at: '$9::bigint[]',
  fan_out_after: '$10::text[]',
});
const EVENTS = `
  e AS (
    INSERT INTO posthorn.events (tenant_id, id, own_id, type, occurred_at, category, group_key, source, created_at, fan_out_after, fan_out_node)
    SELECT u.*, CASE WHEN u.fan_out_after IS NOT NULL THEN $12::bigint END FROM (${EVENT_ROWS}) u
  ), p AS (
    INSERT INTO posthorn.payloads (tenant_id, event_id, data)
    ${rowsOf({ tenant_id: '$1::text[]', event_id: '$2::text[]', data: '$11::text[]' })}
  )`;
const KEYS = `, k AS (
    INSERT INTO posthorn.dedupe (tenant_id, key, event_id, fingerprint)
    ${rowsOf({ tenant_id: '$$1::text[]', key: '$$2::text[]', event_id: '$$3::text[]', fingerprint: '$$4::text[]' })}
  )`;
/** The usual deliveries: born leased. */
const FLIGHTS = `
  INSERT INTO posthorn.flights (tenant_id, event_id, id, lease, created_at, size, in_flight, delivery_ids, endpoint_ids)
  SELECT tenant_id, event_id, id, $12::bigint, created_at, size, in_flight, delivery_ids, endpoint_ids FROM (${flightRows(13)}) u`;
const OPEN = `
  INSERT INTO posthorn.open_deliveries (tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, due_at, created_at, size)
  SELECT tenant_id, id, event_id, endpoint_id, status, reason, 0, 0, due_at, created_at, size FROM (${rowsOf({
    tenant_id: '$21::text[]',
    id: '$22::text[]',
    event_id: '$23::text[]',
    endpoint_id: '$24::text[]',
    created_at: '$25::bigint[]',
    size: '$26::int[]',
    status: '$27::text[]',
    reason: '$28::text[]',
    due_at: '$29::bigint[]',
  })}) u`;

function withKeys(first: number): string {
  return KEYS.replaceAll(/\$\$(\d)/g, (_, n) => `$${first - 1 + Number(n)}`);
}

const STATEMENTS = {
  accept: `WITH ${EVENTS} ${FLIGHTS}`,
  accept_open: `WITH ${EVENTS}, f AS (${FLIGHTS}) ${OPEN}`,
  accept_keys: `WITH ${EVENTS}${withKeys(21)} ${FLIGHTS}`,
  accept_open_keys: `WITH ${EVENTS}${withKeys(30)}, f AS (${FLIGHTS}) ${OPEN}`,
} as const;

/** The columns of deliveries that are to be stored, gathered. */
export class DeliveryColumns {
  readonly tenantIds: string[] = [];
  readonly ids: Id[] = [];
  readonly #eventIds: Id[] = [];
  readonly endpointIds: Id[] = [];
  readonly #createdAt: number[] = [];
  readonly #sizes: number[] = [];
  readonly statuses: NewDelivery['status'][] = [];
  readonly #reasons: (string | null)[] = [];
  readonly dueAt: (number | null)[] = [];

  push(tenantId: string, eventId: Id, size: number, now: number, deliveries: readonly NewDelivery[]): void {
    for (const { id, endpointId, status, dueAt, reason } of deliveries) {
      this.tenantIds.push(tenantId);
      this.ids.push(id);
      this.#eventIds.push(eventId);
      this.endpointIds.push(endpointId);
      this.#createdAt.push(now);
      this.#sizes.push(size);
      this.statuses.push(status);
      this.#reasons.push(status === 'held' ? (reason ?? 'endpoint_disabled') : null);
      this.dueAt.push(status === 'pending' ? (dueAt ?? now) : null);
    }
  }

  /** Those that are born leased. */
  leased(): Doubtful[] {
    return this.ids.flatMap((id, i) => (this.statuses[i] === 'sending' ? [{ tenantId: this.tenantIds[i]!, id }] : []));
  }

  /** They are stored: those that nobody has are there to be claimed. */
  noteDue({ noteDue }: Pick<Context, 'noteDue'>): void {
    this.dueAt.forEach((dueAt, i) => {
      if (dueAt !== null) noteDue(this.tenantIds[i]!, this.endpointIds[i]!, dueAt);
    });
  }

  /** Of tenant, id, event, endpoint, created_at, size, status, reason and due_at. */
  parameters(): Buffer[] {
    return [
      asciiArray(this.tenantIds),
      asciiArray(this.ids),
      asciiArray(this.#eventIds),
      asciiArray(this.endpointIds),
      int8Array(this.#createdAt),
      int4Array(this.#sizes),
      asciiArray(this.statuses),
      asciiArray(this.#reasons),
      int8Array(this.dueAt),
    ];
  }
}

interface Insertion {
  statement: NamedStatement;
  /** The deliveries that are born leased. */
  flights: Flight[];
  /** The others. */
  open: DeliveryColumns;
}

/** Stores entries of which nothing is known to be stored. */
function insertion(entries: readonly AcceptEntry[], node: number): Insertion {
  const flights = flightsOf(entries, node);
  const open = new DeliveryColumns();
  const keys: { tenantId: string; key: string; eventId: Id; fingerprint: string }[] = [];
  for (const { event, dedupe, deliveries } of entries) {
    const those = deliveries.filter(({ status }) => status !== 'sending');
    open.push(event.tenantId, event.id, event.data.length, event.createdAt, those);
    for (const { key, fingerprint } of dedupe)
      keys.push({ tenantId: event.tenantId, key, eventId: event.id, fingerprint });
  }
  // In one order everywhere, so that two nodes with the same keys wait for each other and never in a circle.
  if (keys.length > 1)
    keys.sort((a, b) => (a.tenantId < b.tenantId || (a.tenantId === b.tenantId && a.key < b.key) ? -1 : 1));
  const of = <Value>(pick: (entry: AcceptEntry) => Value): Value[] => entries.map(pick);
  const areSomeOpen = open.ids.length > 0;
  const parameters: unknown[] = [
    asciiArray(of(({ event }) => event.tenantId)),
    asciiArray(of(({ event }) => event.id)),
    textArray(of(({ event }) => event.ownId)),
    textArray(of(({ event }) => event.type)),
    int8Array(of(({ event }) => event.occurredAt)),
    textArray(of(({ event }) => event.category)),
    textArray(of(({ event }) => event.group)),
    textArray(of(({ event }) => event.source)),
    int8Array(of(({ event }) => event.createdAt)),
    asciiArray(of(({ fanOutAfter }) => fanOutAfter)),
    textArray(of(({ event }) => event.data)),
    node,
    ...flightColumns(flights),
    ...(areSomeOpen ? open.parameters() : []),
  ];
  if (keys.length > 0) {
    parameters.push(
      asciiArray(keys.map(({ tenantId }) => tenantId)),
      textArray(keys.map(({ key }) => key)),
      asciiArray(keys.map(({ eventId }) => eventId)),
      textArray(keys.map(({ fingerprint }) => fingerprint)),
    );
  }
  const name: keyof typeof STATEMENTS = `accept${areSomeOpen ? '_open' : ''}${keys.length > 0 ? '_keys' : ''}`;
  return { statement: { name, sql: STATEMENTS[name], parameters }, flights, open };
}

interface KnownRow {
  tenant_id: string;
  key: string;
  event_id: Id;
  fingerprint: string;
  own_id: string | null;
  is_there: boolean;
  deliveries: number;
}

interface Known {
  eventId: Id;
  fingerprint: string;
  ownId: string | null;
  deliveries: number;
}

/**
 * Accepts the calls of one batch: one statement, and so one transaction, where none of them repeats a key. Where one
 * does, they are looked at one by one inside a transaction, and what remains is stored.
 */
export class Accepting {
  readonly #c: Context;
  readonly #doubts: Doubts;
  readonly #flights: Flights;

  constructor(context: Context, doubts: Doubts, flights: Flights) {
    this.#c = context;
    this.#doubts = doubts;
    this.#flights = flights;
  }

  readonly run = async (calls: readonly AcceptCall[]): Promise<void> => {
    const entries = calls.flatMap(({ input }) => input);
    const node = this.#c.node();
    const stored = insertion(entries, node);
    for (let left = TRIES; ; left--) {
      try {
        await this.#c.connections.raw(stored.statement);
        break;
      } catch (error) {
        if (isRepeatable(error) && left > 1) continue;
        await this.#wentWrong(calls, stored, node, error);
        return;
      }
    }
    await this.#stored(stored, node);
    acceptAll(calls);
  };

  /** It is durable. */
  async #stored({ flights, open }: Insertion, node: number): Promise<void> {
    if (node !== this.#c.node()) await this.#adopt(flights, node);
    // Lost once more meanwhile: what becomes of them is said by whoever has them.
    this.#flights.begin(flights.filter(({ lease }) => lease === this.#c.node()));
    open.noteDue(this.#c);
  }

  /** The lease was lost between the statement and its answer: what it covered goes under the new one, unless it was taken. */
  async #adopt(flights: readonly Flight[], from: number): Promise<void> {
    const node = this.#c.node();
    try {
      await this.#c.connections.query({
        sql: `UPDATE posthorn.flights f SET lease = $5::bigint
              FROM unnest($1::text[], $2::text[], $3::text[]) AS s(tenant_id, event_id, id)
              WHERE ${SAME_FLIGHT} AND f.lease = $4::bigint`,
        parameters: [...flightKeys(flights), from, node],
      });
    } catch {
      // They are given back with the old lease, and sent by whoever claims them.
    }
    for (const flight of flights) flight.lease = node;
  }

  async #wentWrong(calls: readonly AcceptCall[], stored: Insertion, node: number, error: unknown): Promise<void> {
    if (isUniqueViolation(error, 'dedupe')) return this.#acceptEach(calls);
    if (isOutcomeUnknown(error)) {
      // Not in this lane: those behind it must hear at once that the database is away.
      void this.#doubts.resolve(stored.statement, stored.flights, node, error).then(
        async () => {
          await this.#stored(stored, node);
          acceptAll(calls);
        },
        (fault: unknown) => {
          if (isUniqueViolation(fault, 'dedupe')) void this.#acceptEach(calls);
          else rejectAll(calls, fault);
        },
      );
      return;
    }
    if (calls.length === 1 || isOfTheStore(error)) {
      rejectAll(calls, error);
      return;
    }
    // One of them is wrong, which its neighbours must not suffer for.
    for (const call of calls) await this.run([call]);
  }

  /** With a look at every key first. */
  async #acceptEach(calls: readonly AcceptCall[]): Promise<void> {
    for (let left = TRIES; ; left--) {
      const node = this.#c.node();
      const tried: Insertion[] = [];
      try {
        const outcomes = await this.#c.connections.rawTransaction((run) => this.#sort(run, calls, node, tried));
        for (const stored of tried) await this.#stored(stored, node);
        calls.forEach(({ resolve }, i) => {
          resolve(outcomes[i]!);
        });
        return;
      } catch (error) {
        const isLate = isUniqueViolation(error, 'dedupe') || isRepeatable(error); // somebody was quicker
        if (isLate && left > 1) continue;
        if (isOutcomeUnknown(error)) for (const { flights } of tried) this.#doubts.giveUpFlights(flights, node);
        if (calls.length === 1 || isOfTheStore(error)) {
          rejectAll(calls, error);
          return;
        }
        for (const call of calls) await this.#acceptEach([call]);
        return;
      }
    }
  }

  /** `tried` gets what was sent to be stored. */
  async #sort(run: Run, calls: readonly AcceptCall[], node: number, tried: Insertion[]): Promise<AcceptOutcome[][]> {
    const known = await knownKeys(run, calls);
    const fresh: AcceptEntry[] = [];
    const outcomes = calls.map(({ input }) => {
      const found = input.map((entry) => duplicateOf(entry, known));
      // Several are accepted together or not at all.
      if (input.length > 1 && found.some((outcome) => outcome?.kind === 'duplicate' && !outcome.sameBody)) {
        const conflict = found.findIndex((outcome) => outcome?.kind === 'duplicate' && !outcome.sameBody);
        return input.map((_, i) => (i === conflict ? found[i]! : ACCEPTED));
      }
      return input.map((entry, i) => {
        const duplicate = found[i] ?? duplicateOf(entry, known); // of one before it in this batch
        if (duplicate) return duplicate;
        fresh.push(entry);
        remember(entry, known);
        return ACCEPTED;
      });
    });
    if (fresh.length > 0) {
      const stored = insertion(fresh, node);
      tried.splice(0, 1, stored);
      await run(stored.statement);
    }
    return outcomes;
  }
}

/** What the store has of the keys of these calls. Keys whose event is past its retention are forgotten with it. */
async function knownKeys(run: Run, calls: readonly AcceptCall[]): Promise<Map<string, Known>> {
  const asked = calls.flatMap(({ input }) =>
    input.flatMap(({ event, dedupe }) => dedupe.map(({ key }) => ({ tenantId: event.tenantId, key }))),
  );
  const tenantIds = asciiArray(asked.map(({ tenantId }) => tenantId));
  const keys = textArray(asked.map(({ key }) => key));
  const { rows } = await run<KnownRow & Record<string, unknown>>({
    name: 'accept_known',
    sql: `SELECT k.tenant_id, k.key, k.event_id, k.fingerprint, e.own_id, e.id IS NOT NULL AS is_there,
            (SELECT count(*) FROM posthorn.deliveries d WHERE d.tenant_id = k.tenant_id AND d.event_id = k.event_id) AS deliveries
          FROM unnest($1::text[], $2::text[]) AS asked(tenant_id, key)
          JOIN posthorn.dedupe k ON k.tenant_id = asked.tenant_id AND k.key = asked.key
          LEFT JOIN posthorn.events e ON e.tenant_id = k.tenant_id AND e.id = k.event_id`,
    parameters: [tenantIds, keys],
  });
  const stale = rows.filter((row) => !row.is_there);
  if (stale.length > 0) {
    await run({
      name: 'accept_stale',
      sql: `DELETE FROM posthorn.dedupe k USING unnest($1::text[], $2::text[], $3::text[]) AS s(tenant_id, key, event_id)
            WHERE k.tenant_id = s.tenant_id AND k.key = s.key AND k.event_id = s.event_id`,
      parameters: [
        asciiArray(stale.map((row) => row.tenant_id)),
        textArray(stale.map((row) => row.key)),
        asciiArray(stale.map((row) => row.event_id)),
      ],
    });
  }
  return new Map(
    rows
      .filter((row) => row.is_there)
      .map((row) => [
        keyOf(row.tenant_id, row.key),
        { eventId: row.event_id, fingerprint: row.fingerprint, ownId: row.own_id, deliveries: row.deliveries },
      ]),
  );
}

function duplicateOf({ event, dedupe }: AcceptEntry, known: ReadonlyMap<string, Known>): AcceptOutcome | null {
  let found: Known | null = null;
  let sameBody = true;
  for (const { key, fingerprint } of dedupe) {
    const one = known.get(keyOf(event.tenantId, key));
    if (!one) continue;
    // Two keys that name two events cannot both mean this body.
    if (one.fingerprint !== fingerprint || (found && found.eventId !== one.eventId)) sameBody = false;
    found ??= one;
  }
  if (!found) return null;
  return { kind: 'duplicate', eventId: found.eventId, ownId: found.ownId, deliveries: found.deliveries, sameBody };
}

function remember({ event, dedupe, deliveries }: AcceptEntry, known: Map<string, Known>): void {
  for (const { key, fingerprint } of dedupe) {
    known.set(keyOf(event.tenantId, key), {
      eventId: event.id,
      fingerprint,
      ownId: event.ownId,
      deliveries: deliveries.length,
    });
  }
}

function keyOf(tenantId: string, key: string): string {
  return `${tenantId}\0${key}`;
}

function acceptAll(calls: readonly AcceptCall[]): void {
  for (const { input, resolve } of calls) resolve(input.length === 1 ? [ACCEPTED] : input.map(() => ACCEPTED));
}

function rejectAll(calls: readonly AcceptCall[], error: unknown): void {
  const fault = toStoreError(error);
  for (const { reject } of calls) reject(fault);
}
