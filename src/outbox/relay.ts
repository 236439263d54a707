import type { Logger } from 'pino';
import type { Engine } from '../delivery/engine.ts';
import { PosthornError } from '../errors.ts';
import { parseStrictJson } from '../model/json.ts';
import type { OutboxRow, OutboxSource, OutboxVerdict } from '../store/outbox.ts';
import { isMomentAt } from './outbox-event.ts';

/** Rows of one take: one round trip each for reading and deleting them, and one commit for the events. */
const TAKE_ROWS = 500;
/** After a take that found something, the next look comes this soon; each that finds nothing doubles the wait. */
const SOON_MS = 5;
/** After a take that went wrong; doubles up to {@link MAX_FAULT_MS}. */
const FAULT_MS = 100;
const MAX_FAULT_MS = 5_000;
/**
 * A row that was refused is tried again after this, and set aside only then: what it lacks (its tenant, its type) may
 * just have been made on another node, which this one hears of within a second.
 */
const GRACE_MS = 2_000;
/** Rows that are in their grace; more are set aside at once. */
const MAX_IN_GRACE = 1_000;
/** A row that did not come again so long after its grace is gone: somebody else took it, or deleted it. */
const FORGET_MS = 60_000;

export interface RelayOptions {
  source: OutboxSource;
  /** Tells the rows of this source from those of others: `postgres`, `file`. */
  name: string;
  engine: Engine;
  /** Whether an event makes the tenant that it names. */
  createTenants: boolean;
  log?: Pick<Logger, 'warn' | 'error'> | undefined;
}

/** Brings events from where applications left them into the engine: each at least once, and stored no more than once. */
export class Relay {
  readonly #o: RelayOptions;
  /** When the grace of a refused row ends, by `performance.now()`. */
  readonly #inGrace = new Map<number, number>();
  #state: 'new' | 'running' | 'stopped' = 'new';
  #running: Promise<void> = Promise.resolve();
  /** Ends the present wait; null while there is none. */
  #endWait: (() => void) | null = null;
  #isFilled = false;
  #hearsHints = true;
  /** What kept rows of the present take from being stored, where that was no fault of theirs. */
  #trouble: PosthornError | null = null;

  constructor(options: RelayOptions) {
    this.#o = options;
  }

  /** Begins to take. The engine must have started. A second call does nothing. */
  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    this.#o.source.onFilled(() => {
      this.#isFilled = true;
      if (this.#hearsHints) this.#endWait?.();
    });
    this.#running = this.#run();
  }

  /** Finishes the take under way. Call it before the engine stops. Tolerates never-started and twice-stopped. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#endWait?.();
    await this.#running;
    this.#o.source.close();
  }

  async #run(): Promise<void> {
    const { source, log, name } = this.#o;
    let idleMs = source.pollMs;
    let faultMs = FAULT_MS;
    while (this.#state === 'running') {
      this.#isFilled = false;
      this.#trouble = null;
      try {
        const count = await source.take({ limit: TAKE_ROWS, except: this.#except() }, (rows) => this.#publish(rows));
        this.#throwTrouble();
        faultMs = FAULT_MS;
        // Another node is at it, and hears every hint that this one hears: it needs no second pair of eyes.
        this.#hearsHints = count !== null;
        if (count === TAKE_ROWS) continue;
        if (count === null) idleMs = source.pollMs;
        else idleMs = count > 0 ? SOON_MS : Math.min(idleMs * 2, source.pollMs);
      } catch (error) {
        log?.warn({ err: error, outbox: name }, 'outbox.not_taken');
        this.#hearsHints = false;
        idleMs = faultMs;
        faultMs = Math.min(faultMs * 2, MAX_FAULT_MS);
      }
      if (!(this.#isFilled && this.#hearsHints)) await this.#wait(idleMs);
    }
  }

  #throwTrouble(): void {
    if (this.#trouble !== null) throw this.#trouble;
  }

  async #wait(ms: number): Promise<void> {
    if (this.#state !== 'running') return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endWait = null;
  }

  #except(): number[] {
    const now = performance.now();
    const ids: number[] = [];
    for (const [id, until] of this.#inGrace) {
      if (until > now) ids.push(id);
      else if (until + FORGET_MS < now) this.#inGrace.delete(id);
    }
    return ids;
  }

  async #publish(rows: readonly OutboxRow[]): Promise<OutboxVerdict[]> {
    const faults = await this.#makeTenants(rows);
    // All in one turn, so that they are stored in their order, and in one commit.
    const published = rows.map((row) => this.#publishOne(row, faults));
    const settled = await Promise.allSettled(published);
    return settled.map((outcome, i) =>
      outcome.status === 'fulfilled' ? this.#taken(rows[i]!) : this.#failed(rows[i]!, outcome.reason),
    );
  }

  /** Makes the tenants that are new, where that is allowed. Resolves to what went wrong, by tenant. */
  async #makeTenants(rows: readonly OutboxRow[]): Promise<Map<string, Error>> {
    const { tenants } = this.#o.engine;
    const faults = new Map<string, Error>();
    if (!this.#o.createTenants) return faults;
    for (const { tenantId } of rows) {
      if (tenants.find(tenantId) || faults.has(tenantId) || typeof tenantId !== 'string') continue;
      await tenants.create({ id: tenantId }).catch((error: unknown) => faults.set(tenantId, error as Error));
    }
    return faults;
  }

  async #publishOne(row: OutboxRow, faults: ReadonlyMap<string, Error>): Promise<void> {
    const { engine, name } = this.#o;
    checkShape(row);
    const fault = faults.get(row.tenantId);
    if (fault) throw fault;
    if (!engine.tenants.find(row.tenantId)) {
      throw new Error(`tenant: there is no tenant "${row.tenantId}"; create it, then try again`);
    }
    await engine.publish(row.tenantId, {
      type: row.type,
      data: row.data,
      value: parseStrictJson(row.data),
      id: row.ownId,
      occurredAt: row.occurredAt,
      emittedAt: row.createdAt,
      category: row.category,
      group: row.group,
      source: row.source,
      // A line break is in no key that came by itself.
      idempotencyKey: `outbox\n${name}\n${row.key}`,
    });
  }

  #taken(row: OutboxRow): OutboxVerdict {
    this.#inGrace.delete(row.id);
    return 'done';
  }

  #failed(row: OutboxRow, error: unknown): OutboxVerdict {
    if (error instanceof PosthornError && error.status >= 500) {
      this.#trouble = error;
      return 'later';
    }
    const { id, tenantId: tenant, type } = row;
    if (!this.#inGrace.has(id) && this.#inGrace.size < MAX_IN_GRACE) {
      this.#inGrace.set(id, performance.now() + GRACE_MS);
      return 'later';
    }
    this.#inGrace.delete(id);
    const refused = error instanceof Error ? error.message : String(error);
    this.#o.log?.error({ outbox: this.#o.name, id, tenant, type, error: refused }, 'outbox.set_aside');
    return { refused };
  }
}

/** Whoever inserts by hand may insert anything, into SQLite even of any type. The rest is checked by publishing. */
function checkShape(row: OutboxRow): void {
  for (const name of ['tenantId', 'type', 'data'] as const) {
    if (typeof row[name] !== 'string') throw new Error(`${name}: must be text`);
  }
  for (const name of ['ownId', 'category', 'group', 'source'] as const) {
    if (row[name] !== null && typeof row[name] !== 'string') throw new Error(`${name}: must be text`);
  }
  for (const name of ['occurredAt', 'createdAt'] as const) {
    const value = row[name];
    if (value === null || (Number.isSafeInteger(value) && isMomentAt(value))) continue;
    throw new Error(`${name}: must be a time in the years 1000 to 9999`);
  }
}
