import Type from 'typebox';
import type { Engine } from '../delivery/engine.ts';
import { known } from '../delivery/known.ts';
import { badField, PosthornError } from '../errors.ts';
import { deliveryStatuses, type DeliveryStatus } from '../model/delivery.ts';
import { parseId, prefixes, type Id } from '../model/id.ts';
import type { DeliveryFilter } from '../store/store.ts';
import { timeRange } from './schema.ts';
import { parseTime } from './time.ts';

/** How a request chooses deliveries, by query or body; the status is each route's own affair. */
export const filterFields = {
  webhookId: Type.Optional(Type.String({ maxLength: 128, description: 'Only of this webhook.' })),
  eventId: Type.Optional(Type.String({ maxLength: 128, description: 'Only of this event.' })),
  type: Type.Optional(Type.String({ maxLength: 128, description: 'Only of this event type.' })),
  ...timeRange,
};

export interface FilterRequest {
  webhookId?: string;
  eventId?: string;
  type?: string;
  from?: string;
  to?: string;
}

/** The filter that a request asks for; null where nothing can match, as there is no such event. */
export async function readFilter(
  engine: Engine,
  tenantId: string,
  request: FilterRequest,
): Promise<(DeliveryFilter & { status?: readonly DeliveryStatus[] }) | null> {
  const filter: DeliveryFilter = { tenantId, ...readRange(request) };
  if (request.type !== undefined) filter.eventType = request.type;
  if (request.webhookId !== undefined) {
    filter.endpointId = await endpointIdOf(engine, tenantId, request.webhookId);
  }
  if (request.eventId !== undefined) {
    const id = await eventIdOf(engine, tenantId, request.eventId);
    if (id === null) return null;
    filter.eventId = id;
  }
  return filter;
}

/** Epoch ms of a checked range. Throws BAD_REQUEST where it ends before it begins. */
export function readRange({ from, to }: { from?: string; to?: string }): { from?: number; to?: number } {
  const fromMs = from === undefined ? null : parseTime(from);
  const toMs = to === undefined ? null : parseTime(to);
  if (fromMs !== null && toMs !== null && fromMs >= toMs) throw badField('to', 'must be later than "from"');
  return { ...(fromMs === null ? {} : { from: fromMs }), ...(toMs === null ? {} : { to: toMs }) };
}

/** Statuses in a body: one, several with commas between, or a list. Undefined where none is given. */
export function readStatuses(given: string | readonly string[] | undefined): DeliveryStatus[] | undefined {
  if (given === undefined) return undefined;
  const statuses = typeof given === 'string' ? given.split(',') : given;
  for (const status of statuses) {
    if (!(deliveryStatuses as readonly string[]).includes(status)) {
      throw badField('status', `must be among ${deliveryStatuses.join(', ')}`);
    }
  }
  if (statuses.length === 0) throw badField('status', 'must have at least one status');
  return statuses as DeliveryStatus[];
}

/** By an id of ours also one that is deleted, whose history stays. Throws BAD_REQUEST where it is the id of none. */
export async function endpointIdOf(engine: Engine, tenantId: string, id: string): Promise<Id> {
  try {
    return (await known(engine, () => engine.endpoints.get(tenantId, id))).id;
  } catch (error) {
    if (!(error instanceof PosthornError) || error.code !== 'NOT_FOUND') throw error;
    const parsed = parseId(id, prefixes.endpoint);
    if (parsed === null) throw badField('webhookId', 'must be the id of a webhook, like "wh_01JXYZ…"');
    return parsed;
  }
}

async function eventIdOf(engine: Engine, tenantId: string, id: string): Promise<Id | null> {
  try {
    return (await engine.events.get(tenantId, id)).id;
  } catch (error) {
    if (error instanceof PosthornError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}
