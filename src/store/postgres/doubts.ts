import type { Id } from '../../model/id.ts';
import { asciiArray } from './binary-array.ts';
import type { NamedStatement } from './connections.ts';
import type { Context } from './context.ts';
import { flightKeys, giveBackFlights } from './flights.ts';
import type { FlightKey } from './flights.ts';
import { isOutcomeUnknown, isRepeatable, isUniqueViolation } from './failure.ts';

/** How long callers wait for the truth about a commit whose answer was lost. */
const PATIENCE_MS = 5_000;
const AGAIN_MS = 100;
/** A transaction that nobody hears of any more may still commit for so long (the server's own time-out, and some). */
const LATE_COMMIT_MS = 30_000;
const RELEASE_EVERY_MS = 1_000;

export interface Doubtful {
  readonly tenantId: string;
  readonly id: Id;
}

/** Leases of a batch that was given up: nobody sends them, so they are to be given back where they exist after all. */
interface GivenUp {
  /** Tenants by the ids of their deliveries. */
  readonly tenants: Map<Id, string>;
  readonly flights: readonly FlightKey[];
  readonly node: number;
  /** By `performance.now`; null until the database answers. */
  until: number | null;
}

/**
 * Commits whose answer was lost with the connection. Events are sent again: they carry ids of their own, so either they go
 * in now, or the server says that they are there. Where it cannot be asked in time, callers hear that it is away. What may
 * be leased all the same, by whatever verb, is left for whoever claims it.
 */
export class Doubts {
  readonly #c: Context;
  readonly #givenUp = new Set<GivenUp>();
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(context: Context) {
    this.#c = context;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
  }

  /** Resolves when the rows are known to be stored; rejects with the last error, as the driver throws it. */
  async resolve(statement: NamedStatement, flights: readonly FlightKey[], node: number, first: unknown): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    for (let error = first; ;) {
      if (this.#isClosed || performance.now() >= until) {
        this.giveUpFlights(flights, node);
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      try {
        await this.#c.connections.raw(statement);
        return;
      } catch (again) {
        // Ids are made once: a row that is there, of whichever table, was stored the first time.
        if (isUniqueViolation(again) && !isUniqueViolation(again, 'dedupe')) return;
        // The keys are stored: by this very batch, or by somebody else.
        if (isUniqueViolation(again, 'dedupe')) {
          const isStored = await this.#isStored(statement);
          if (isStored === true) return;
          if (isStored === false) throw again;
        } else if (!(isOutcomeUnknown(again) || isRepeatable(again) || isAway(again))) {
          this.giveUpFlights(flights, node);
          throw again;
        }
        error = again;
      }
    }
  }

  /** Whether the first event of the batch is there: all of it is, then. Null where the database does not say. */
  async #isStored(statement: NamedStatement): Promise<boolean | null> {
    try {
      const { rowCount } = await this.#c.connections.raw({
        name: 'doubt',
        sql: `SELECT 1 FROM posthorn.events WHERE tenant_id = ($1::text[])[1] AND id = ($2::text[])[1]`,
        parameters: statement.parameters.slice(0, 2),
      });
      return rowCount > 0;
    } catch {
      return null;
    }
  }

  /** Nobody will send these, whether they are leased or not: where they are, whoever claims them may. */
  giveUp(deliveries: readonly Doubtful[], node: number): void {
    if (deliveries.length === 0) return;
    const tenants = new Map(deliveries.map(({ id, tenantId }) => [id, tenantId]));
    this.#givenUp.add({ tenants, flights: [], node, until: null });
    this.#arm();
  }

  /** The same of flights. */
  giveUpFlights(flights: readonly FlightKey[], node: number): void {
    if (flights.length === 0) return;
    this.#givenUp.add({ tenants: new Map(), flights, node, until: null });
    this.#arm();
  }

  get areAny(): boolean {
    return this.#givenUp.size > 0;
  }

  /** This node has claimed them since: they are sent, and must not be given back once more. */
  claimed(deliveries: readonly Doubtful[]): void {
    for (const batch of this.#givenUp) {
      if (batch.tenants.size === 0) continue;
      for (const { id } of deliveries) batch.tenants.delete(id);
      if (batch.tenants.size === 0) this.#givenUp.delete(batch);
    }
  }

  #arm(): void {
    if (this.#timer || this.#isClosed || this.#givenUp.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#release().finally(() => {
        this.#arm();
      });
    }, RELEASE_EVERY_MS).unref();
  }

  /** Again and again for as long as a late commit may come. It comes as a whole: what was released once is done with. */
  async #release(): Promise<void> {
    for (const batch of this.#givenUp) {
      const now = this.#c.now();
      try {
        const { rows } = await this.#c.connections.query<{ tenant_id: string; endpoint_id: string }>(
          batch.flights.length > 0 ? releaseFlights(batch, now) : releaseDeliveries(batch, now),
        );
        for (const row of rows) this.#c.noteDue(row.tenant_id, row.endpoint_id, now);
        batch.until ??= performance.now() + LATE_COMMIT_MS;
        if (rows.length > 0 || performance.now() >= batch.until) this.#givenUp.delete(batch);
      } catch {
        return; // still away: once more in a second
      }
    }
  }
}

function releaseDeliveries({ tenants, node }: GivenUp, now: number): NamedStatement {
  return {
    name: 'doubt_release',
    sql: `UPDATE posthorn.open_deliveries d SET status = 'pending', lease = NULL, due_at = $4::bigint
          FROM unnest($1::text[], $2::text[]) AS s(tenant_id, id)
          WHERE d.tenant_id = s.tenant_id AND d.id = s.id AND d.status = 'sending' AND d.lease = $3::bigint
          RETURNING d.tenant_id, d.endpoint_id`,
    parameters: [asciiArray([...tenants.values()]), asciiArray([...tenants.keys()]), node, now],
  };
}

function releaseFlights({ flights, node }: GivenUp, now: number): NamedStatement {
  return {
    name: 'doubt_release_flights',
    sql: giveBackFlights(
      `SELECT f.tenant_id, f.event_id, f.id FROM unnest($1::text[], $2::text[], $3::text[]) AS u(tenant_id, event_id, id)
       JOIN posthorn.flights f ON f.tenant_id = u.tenant_id AND f.event_id = u.event_id AND f.id = u.id AND f.lease = $4::bigint
       FOR UPDATE OF f`,
      '$5::bigint',
    ),
    parameters: [...flightKeys(flights), node, now],
  };
}

/** The connection did not come about: nothing new is known. */
function isAway(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return (
    (typeof code === 'string' && /^(E[A-Z]+|57P0[123]|53300)$/.test(code)) ||
    /timeout|terminated/i.test(String(message))
  );
}
