import type { Event } from '../../model/event.ts';
import type { Id } from '../../model/id.ts';

/** An event as every store has it, with its payload. */
export interface EventRow {
  id: Id;
  tenant_id: string;
  own_id: string | null;
  type: string;
  occurred_at: number;
  category: string | null;
  group_key: string | null;
  source: string | null;
  created_at: number;
  data: string;
}

export function toEvent(row: EventRow): Event {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    ownId: row.own_id,
    type: row.type,
    data: row.data,
    occurredAt: row.occurred_at,
    category: row.category,
    group: row.group_key,
    source: row.source,
    createdAt: row.created_at,
  };
}
