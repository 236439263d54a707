import type { DeliveryColumns } from './accept.ts';
import { asciiArray } from './binary-array.ts';
import type { NamedStatement } from './connections.ts';
import type { Context } from './context.ts';
import { isOutcomeUnknown, isRepeatable, isUniqueViolation } from './failure.ts';

/** How long callers wait for the truth about a commit whose answer was lost. */
const PATIENCE_MS = 5_000;
const AGAIN_MS = 100;
/** A transaction that nobody hears of any more may still commit for so long (the server's own time-out, and some). */
const LATE_COMMIT_MS = 30_000;
const RELEASE_EVERY_MS = 1_000;

/** Leases of a batch that was given up: nobody sends them, so they are to be given back where they exist after all. */
interface GivenUp {
  readonly deliveries: DeliveryColumns;
  readonly node: number;
  /** By `performance.now`; null until the database answers. */
  until: number | null;
}

/**
 * Commits whose answer was lost with the connection. The same rows are sent again: they carry ids of their own, so either
 * they go in now, or the server says that they are there. Where it cannot be asked in time, callers hear that it is
 * away, and what may have been stored all the same is left for whoever claims it.
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
  async resolve(statement: NamedStatement, deliveries: DeliveryColumns, node: number, first: unknown): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    for (let error = first; ;) {
      if (this.#isClosed || performance.now() >= until) {
        this.giveUp(deliveries, node);
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      try {
        await this.#c.connections.raw(statement);
        return;
      } catch (again) {
        console.error('DOUBT', (again as any)?.code, (again as any)?.message, (again as any)?.table, (again as any)?.constraint);
        if (isUniqueViolation(again, 'events')) return; // it was stored the first time
        // The keys are stored: by this very batch, or by somebody else.
        if (isUniqueViolation(again, 'dedupe') && (await this.#isStored(statement))) return;
        const mayPass = isOutcomeUnknown(again) || isRepeatable(again) || isAway(again);
        if (!mayPass) throw again;
        error = again;
      }
    }
  }

  /** Whether the first event of the batch is there: all of it is, then. */
  async #isStored(statement: NamedStatement): Promise<boolean> {
    try {
      const { rowCount } = await this.#c.connections.raw({
        name: 'doubt',
        sql: `SELECT 1 FROM posthorn.events WHERE tenant_id = ($1::text[])[1] AND id = ($2::text[])[1]`,
        parameters: statement.parameters.slice(0, 2),
      });
      return rowCount > 0;
    } catch {
      return false;
    }
  }

  /** Nobody will send these, whether they were stored or not: where they were, whoever claims them may. */
  giveUp(deliveries: DeliveryColumns, node: number): void {
    if (deliveries.ids.length === 0) return;
    this.#givenUp.add({ deliveries, node, until: null });
    this.#arm();
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

  /** Again and again for as long as a late commit may come. */
  async #release(): Promise<void> {
    for (const batch of this.#givenUp) {
      const { deliveries, node } = batch;
      const now = this.#c.now();
      try {
        const { rows } = await this.#c.connections.query<{ tenant_id: string; endpoint_id: string }>({
          name: 'doubt_release',
          sql: `UPDATE posthorn.open_deliveries d SET status = 'pending', lease = NULL, due_at = $4::bigint
                FROM unnest($1::text[], $2::text[]) AS s(tenant_id, id)
                WHERE d.tenant_id = s.tenant_id AND d.id = s.id AND d.status = 'sending' AND d.lease = $3::bigint AND d.attempt_count = 0
                RETURNING d.tenant_id, d.endpoint_id`,
          parameters: [asciiArray(deliveries.tenantIds), asciiArray(deliveries.ids), node, now],
        });
        for (const row of rows) this.#c.noteDue(row.tenant_id, row.endpoint_id, now);
        batch.until ??= performance.now() + LATE_COMMIT_MS;
        if (performance.now() >= batch.until) this.#givenUp.delete(batch);
      } catch {
        return; // still away: once more in a second
      }
    }
  }
}

/** The connection did not come about: nothing new is known. */
function isAway(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return (
    (typeof code === 'string' && /^(E[A-Z]+|57P0[123]|53300)$/.test(code)) ||
    /timeout|terminated/i.test(String(message))
  );
}
