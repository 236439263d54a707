import type { DeliveryReason, DeliveryStatus } from '../../model/delivery.ts';
import type { DisabledReason } from '../../model/endpoint.ts';
import type { MemberRole, Role } from '../../model/tenant.ts';

/** The tables as Kysely sees them, the same in every dialect: times are epoch ms, flags 0 or 1, structures JSON text. */
export interface Tables {
  meta: { key: string; value: string };
  tenants: { id: string; name: string | null; wire_format: string | null; plan: string | null; created_at: number };
  api_keys: {
    id: string;
    tenant_id: string | null;
    role: Role;
    member_id: string | null;
    scopes: string | null;
    name: string | null;
    hint: string;
    hash: string;
    created_at: number;
    last_used_at: number | null;
    expires_at: number | null;
    revoked_at: number | null;
  };
  plans: {
    name: string;
    endpoint_limit: number | null;
    events_per_day: number | null;
    retention_days: number | null;
    features: string;
    is_default: number;
    created_at: number;
    updated_at: number;
  };
  members: {
    tenant_id: string;
    id: string;
    name: string | null;
    email: string | null;
    role: MemberRole;
    created_at: number;
    updated_at: number;
  };
  member_sessions: {
    hash: string;
    tenant_id: string;
    member_id: string;
    created_at: number;
    expires_at: number;
  };
  event_types: {
    name: string;
    description: string | null;
    json_schema: string | null;
    examples: string;
    is_archived: number;
    created_at: number;
    updated_at: number;
  };
  endpoints: {
    tenant_id: string;
    id: string;
    own_id: string | null;
    url: string;
    events: string;
    description: string | null;
    is_active: number;
    disabled_reason: DisabledReason | null;
    wire_format: string;
    headers: string | null;
    retry_schedule_ms: string | null;
    timeout_ms: number | null;
    concurrency: number | null;
    metadata: string | null;
    created_at: number;
    updated_at: number;
    deleted_at: number | null;
  };
  /** Idempotency keys of endpoint creations, of the last 24 hours. */
  endpoint_keys: { tenant_id: string; key: string; fingerprint: string; endpoint_id: string; created_at: number };
  secrets: {
    tenant_id: string;
    endpoint_id: string;
    id: string;
    sealed: string;
    created_at: number;
    expires_at: number | null;
  };
  events: EventColumns;
  /** The same, on PostgreSQL, where payloads are apart from the events. */
  events_with_data: EventColumns;
  dedupe: { tenant_id: string; key: string; event_id: string; fingerprint: string };
  deliveries: {
    tenant_id: string;
    id: string;
    event_id: string;
    endpoint_id: string;
    status: DeliveryStatus;
    reason: DeliveryReason | null;
    attempt_count: number;
    schedule_start: number;
    due_at: number | null;
    lease: number | null;
    last_error: string | null;
    created_at: number;
    ended_at: number | null;
    acknowledged_at: number | null;
  };
  attempts: {
    tenant_id: string;
    delivery_id: string;
    number: number;
    started_at: number;
    duration_ms: number;
    succeeded: number;
    status_code: number | null;
    failure: string | null;
    detail: string;
  };
}

interface EventColumns {
  tenant_id: string;
  id: string;
  own_id: string | null;
  type: string;
  occurred_at: number;
  category: string | null;
  group_key: string | null;
  source: string | null;
  created_at: number;
  fan_out_after: string | null;
  data: string;
}
