import type { Engine, PublishInput } from '../delivery/engine.ts';
import { badField, notFound, PosthornError } from '../errors.ts';
import { prefixes } from '../model/id.ts';
import { JsonError, parseStrictJson } from '../model/json.ts';
import type { DeliveryRow } from '../store/store.ts';
import type { Catalogue, DataOf, EventName } from './catalogue.ts';
import { attempt, type Result } from './result.ts';
import { ensureTenant, tenantOf } from './tenancy.ts';

/** An event that happened. */
export interface WebhookEvent<Types extends Catalogue = Catalogue, Name extends EventName<Types> = EventName<Types>> {
  /** Your own id: visible ASCII without full stops, 1 to 128 characters. The same id again is the same event. */
  id?: string;
  type: Name;
  payload: DataOf<Types, Name>;
  /** Default now. */
  occurredAt?: Date;
  source?: string | null;
  /** Whose subscriptions get it; absent or null: those without a tenant. */
  tenantId?: string | null;
  category?: string | null;
  group?: string | null;
  /** Another call with the same key stores nothing new. */
  idempotencyKey?: string;
}

export interface Dispatched {
  /** As receivers see it: your own id, or `evt_…`. */
  eventId: string;
  /** Subscriptions it goes to. */
  deliveries: number;
  /** It was dispatched before, under the same id or key. */
  duplicate: boolean;
}

/** A delivery that is on its way again. */
export interface Redelivery {
  /** `whd_…` */
  deliveryId: string;
  nextAttemptNumber: number;
}

export function toRedelivery(row: DeliveryRow): Redelivery {
  return { deliveryId: prefixes.delivery + row.id, nextAttemptNumber: row.attemptCount + 1 };
}

/** As JSON, characters. Every event is kept in memory while it is sent, and goes to each subscription. */
const MAX_PAYLOAD = 16 * 1024 * 1024;

/** The verbs on deliveries: `posthorn.deliveries`. */
export class Deliveries<Types extends Catalogue> {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Stores an event with a delivery for every active subscription of its tenant that matches, and answers once that is
   * on disk; sending goes on by itself. Deactivated subscriptions get theirs when they are activated again.
   */
  dispatch<const Name extends EventName<Types>>(event: WebhookEvent<Types, Name>): Promise<Result<Dispatched>> {
    return attempt(async () => {
      const tenantId = tenantOf(event.tenantId);
      const input: PublishInput = {
        type: event.type,
        ...jsonOf(event.payload),
        id: event.id ?? null,
        occurredAt: timeOf(event.occurredAt),
        category: event.category ?? null,
        group: event.group ?? null,
        source: event.source ?? null,
        idempotencyKey: event.idempotencyKey ?? null,
      };
      await ensureTenant(this.#engine, tenantId);
      const { id, deliveries, duplicate } = await this.#engine.publish(tenantId, input);
      return { eventId: id, deliveries, duplicate };
    });
  }

  /**
   * Sends the original payload again, as a new attempt with the next number.
   * @param id of an attempt (`att_…`) or of a delivery (`whd_…`)
   */
  async redeliver(id: string): Promise<Result<Redelivery>> {
    return attempt(
      async () => {
        const tenantId = await this.#engine.deliveries.tenantOf(id);
        if (tenantId === null) throw notFound('attempt or delivery', id);
        return toRedelivery(await this.#engine.deliveries.redeliver(tenantId, id));
      },
      { NOT_FOUND: 'attempt-not-found', INVALID_STATE: 'subscription-inactive' },
    );
  }
}

/** The payload as receivers see it, which the schema checks: dates are text by then, members without a value are gone. */
function jsonOf(payload: unknown): { data: string; value: unknown } {
  let data: string | undefined;
  try {
    data = JSON.stringify(payload);
  } catch (cause) {
    throw badField('payload', `cannot be written as JSON: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (data === undefined) throw badField('payload', 'is missing; give any JSON value');
  if (data.length > MAX_PAYLOAD) {
    const message = `payload: takes ${data.length} characters as JSON; send at most ${MAX_PAYLOAD}, or a link to the rest`;
    throw new PosthornError('PAYLOAD_TOO_LARGE', message);
  }
  try {
    return { data, value: parseStrictJson(data) };
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw badField('payload', `cannot be sent: ${cause.message}`);
  }
}

function timeOf(occurredAt: Date | undefined): number | null {
  if (occurredAt === undefined) return null;
  const ms = occurredAt instanceof Date ? occurredAt.getTime() : Number.NaN;
  if (!Number.isFinite(ms)) throw badField('occurredAt', 'must be a valid Date');
  return ms;
}
