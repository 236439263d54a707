import type { Id } from '../../model/id.ts';
import type { AcceptEntry, AcceptOutcome, NewDelivery } from '../store.ts';
import { asciiArray, int4Array, int8Array, textArray } from './binary-array.ts';
import type { NamedStatement, Run } from './connections.ts';
import type { Context } from './context.ts';
import type { Doubtful, Doubts } from './doubts.ts';
import { isOfTheStore, isOutcomeUnknown, isRepeatable, isUniqueViolation, toStoreError } from './failure.ts';
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
const USUAL_COLUMNS = {
  tenant_id: '$13::text[]',
  id: '$14::text[]',
  event_id: '$15::text[]',
  endpoint_id: '$16::text[]',
  created_at: '$17::bigint[]',
  size: '$18::int[]',
};
/** The usual deliveries: born leased, which binds only what varies. */
const LEASED = `
  INSERT INTO posthorn.open_deliveries (tenant_id, id, event_id, endpoint_id, status, attempt_count, schedule_start, lease, created_at, size)
  SELECT tenant_id, id, event_id, endpoint_id, 'sending', 0, 0, $12::bigint, created_at, size FROM (${rowsOf(USUAL_COLUMNS)}) u`;
const ANY_ROWS = rowsOf({ ...USUAL_COLUMNS, status: '$19::text[]', reason: '$20::text[]', due_at: '$21::bigint[]' });
const ANY = `
  INSERT INTO posthorn.open_deliveries (tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, due_at, lease, created_at, size)
  SELECT tenant_id, id, event_id, endpoint_id, status, reason, 0, 0, due_at,
    CASE WHEN status = 'sending' THEN $12::bigint END, created_at, size FROM (${ANY_ROWS}) u`;

function withKeys(first: number): string {
  return KEYS.replaceAll(/\$\$(\d)/g, (_, n) => `$${first - 1 + Number(n)}`);
}

const STATEMENTS = {
  accept_leased: `WITH ${EVENTS} ${LEASED}`,
  accept_any: `WITH ${EVENTS} ${ANY}`,
  accept_leased_keys: `WITH ${EVENTS}${withKeys(19)} ${LEASED}`,
  accept_any_keys: `WITH ${EVENTS}${withKeys(22)} ${ANY}`,
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
  areAllLeased = true;

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
      if (status !== 'sending') this.areAllLeased = false;
    }
  }

  /** Those that are born leased. */
  leased(): Doubtful[] {
    return this.ids.flatMap((id, i) => (this.statuses[i] === 'sending' ? [{ tenantId: this.tenantIds[i]!, id }] : []));
  }

  /** They are stored: those that nobody has are there to be claimed. */
  noteDue({ noteDue }: Pick<Context, 'noteDue'>): void {
    if (this.areAllLeased) return;
    this.dueAt.forEach((dueAt, i) => {
      if (dueAt !== null) noteDue(this.tenantIds[i]!, this.endpointIds[i]!, dueAt);
    });
  }

  /** Of tenant, id, event, endpoint, created_at and size; with `any`, of status, reason and due_at too. */
  parameters(any: boolean): Buffer[] {
    const usual = [
      asciiArray(this.tenantIds),
      asciiArray(this.ids),
      asciiArray(this.#eventIds),
      asciiArray(this.endpointIds),
      int8Array(this.#createdAt),
      int4Array(this.#sizes),
    ];
    return any ? [...usual, asciiArray(this.statuses), asciiArray(this.#reasons), int8Array(this.dueAt)] : usual;
  }
}

/** Stores entries of which nothing is known to be stored. */
function insertion(
  entries: readonly AcceptEntry[],
  node: number,
): { statement: NamedStatement; deliveries: DeliveryColumns } {
  const deliveries = new DeliveryColumns();
  const keys: { tenantId: string; key: string; eventId: Id; fingerprint: string }[] = [];
  for (const { event, dedupe, deliveries: those } of entries) {
    deliveries.push(event.tenantId, event.id, event.data.length, event.createdAt, those);
    for (const { key, fingerprint } of dedupe)
      keys.push({ tenantId: event.tenantId, key, eventId: event.id, fingerprint });
  }
  // In one order everywhere, so that two nodes with the same keys wait for each other and never in a circle.
  if (keys.length > 1)
    keys.sort((a, b) => (a.tenantId < b.tenantId || (a.tenantId === b.tenantId && a.key < b.key) ? -1 : 1));
  const of = <Value>(pick: (entry: AcceptEntry) => Value): Value[] => entries.map(pick);
  const any = !deliveries.areAllLeased;
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
    ...deliveries.parameters(any),
  ];
  if (keys.length > 0) {
    parameters.push(
      asciiArray(keys.map(({ tenantId }) => tenantId)),
      textArray(keys.map(({ key }) => key)),
      asciiArray(keys.map(({ eventId }) => eventId)),
      textArray(keys.map(({ fingerprint }) => fingerprint)),
    );
  }
  const name: keyof typeof STATEMENTS = `accept_${any ? 'any' : 'leased'}${keys.length > 0 ? '_keys' : ''}`;
  return { statement: { name, sql: STATEMENTS[name], parameters }, deliveries };
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

  constructor(context: Context, doubts: Doubts) {
    this.#c = context;
    this.#doubts = doubts;
  }

  readonly run = async (calls: readonly AcceptCall[]): Promise<void> => {
    const entries = calls.flatMap(({ input }) => input);
    const node = this.#c.node();
    const { statement, deliveries } = insertion(entries, node);
    for (let left = TRIES; ; left--) {
      try {
        await this.#c.connections.raw(statement);
        break;
      } catch (error) {
        if (isRepeatable(error) && left > 1) continue;
        await this.#wentWrong(calls, statement, deliveries, node, error);
        return;
      }
    }
    await this.#stored(calls, deliveries, node);
  };

  /** Everything of these calls is durable. */
  async #stored(calls: readonly AcceptCall[], deliveries: DeliveryColumns, node: number): Promise<void> {
    if (node !== this.#c.node()) await this.#adopt(deliveries, node);
    deliveries.noteDue(this.#c);
    for (const { input, resolve } of calls) resolve(input.length === 1 ? [ACCEPTED] : input.map(() => ACCEPTED));
  }

  /** The lease was lost between the statement and its answer: what it covered goes under the new one, unless it was taken. */
  async #adopt(deliveries: DeliveryColumns, from: number): Promise<void> {
    try {
      await this.#c.connections.query({
        sql: `UPDATE posthorn.open_deliveries d SET lease = $4::bigint
              FROM unnest($1::text[], $2::text[]) AS s(tenant_id, id)
              WHERE d.tenant_id = s.tenant_id AND d.id = s.id AND d.lease = $3::bigint`,
        parameters: [asciiArray(deliveries.tenantIds), asciiArray(deliveries.ids), from, this.#c.node()],
      });
    } catch {
      // They are given back with the old lease, and sent by whoever claims them.
    }
  }

  async #wentWrong(
    calls: readonly AcceptCall[],
    statement: NamedStatement,
    deliveries: DeliveryColumns,
    node: number,
    error: unknown,
  ): Promise<void> {
    if (isUniqueViolation(error, 'dedupe')) return this.#acceptEach(calls);
    if (isOutcomeUnknown(error)) {
      // Not in this lane: those behind it must hear at once that the database is away.
      void this.#doubts.resolve(statement, deliveries.leased(), node, error).then(
        () => this.#stored(calls, deliveries, node),
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
      const tried: DeliveryColumns[] = [];
      try {
        const outcomes = await this.#c.connections.rawTransaction((run) => this.#sort(run, calls, node, tried));
        const [deliveries] = tried;
        if (deliveries && node !== this.#c.node()) await this.#adopt(deliveries, node);
        if (deliveries) deliveries.noteDue(this.#c);
        calls.forEach(({ resolve }, i) => {
          resolve(outcomes[i]!);
        });
        return;
      } catch (error) {
        const isLate = isUniqueViolation(error, 'dedupe') || isRepeatable(error); // somebody was quicker
        if (isLate && left > 1) continue;
        if (isOutcomeUnknown(error)) for (const deliveries of tried) this.#doubts.giveUp(deliveries.leased(), node);
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
  async #sort(
    run: Run,
    calls: readonly AcceptCall[],
    node: number,
    tried: DeliveryColumns[],
  ): Promise<AcceptOutcome[][]> {
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
      const { statement, deliveries } = insertion(fresh, node);
      tried.splice(0, 1, deliveries);
      await run(statement);
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

function rejectAll(calls: readonly AcceptCall[], error: unknown): void {
  const fault = toStoreError(error);
  for (const { reject } of calls) reject(fault);
}
