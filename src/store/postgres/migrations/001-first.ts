/**
 * A delivery begins in flight, mostly: the node that accepts an event sends its deliveries itself, and until they end they
 * are bits of a row that they share (`flights`). What has to be tried again, is held or waits for a claim is a row of
 * `open_deliveries` (small, or a backlog; every row of it changes), what has ended one of `ended_deliveries` (partitioned by
 * time, hardly ever changed), so that history is never vacuumed and never slows a claim; the view `deliveries` is all
 * three. docs/decisions/0011-postgres-layout.md has the measurements.
 *
 * Ids sort by time, so a range of ids is a range of time: partitions need no further column. They are made and dropped by
 * `partitions.ts`; the default ones take what lies outside. Payloads are apart, to be dropped earlier.
 *
 * "WHERE … IS NOT NULL" of columns that are never null keeps an index for those who name the column: while a table is, or
 * was when it was last looked at, all but empty, all indexes that begin with the tenant cost alike to the planner, and it
 * keeps the plan. test/store/postgres-plans.test.ts shows what becomes of that.
 *
 * Every key of a tenant's table begins with the tenant. Texts that are compared are in byte order, as in the embedded store.
 */
export const sql = `
CREATE TABLE posthorn.meta (
  key text COLLATE "C" PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE posthorn.tenants (
  id text COLLATE "C" PRIMARY KEY,
  name text,
  wire_format text,
  plan text COLLATE "C",
  created_at bigint NOT NULL
);

CREATE TABLE posthorn.api_keys (
  id text COLLATE "C" PRIMARY KEY,
  tenant_id text COLLATE "C",
  role text NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner', 'operator')),
  member_id text COLLATE "C",
  scopes text,
  name text,
  hint text NOT NULL,
  hash text COLLATE "C" NOT NULL UNIQUE,
  created_at bigint NOT NULL,
  last_used_at bigint,
  expires_at bigint,
  revoked_at bigint
);

CREATE TABLE posthorn.event_types (
  name text COLLATE "C" PRIMARY KEY,
  description text,
  json_schema text,
  examples text NOT NULL,
  is_archived smallint NOT NULL CHECK (is_archived IN (0, 1)),
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL
);

CREATE TABLE posthorn.plans (
  name text COLLATE "C" PRIMARY KEY,
  endpoint_limit bigint CHECK (endpoint_limit >= 0),
  events_per_day bigint CHECK (events_per_day >= 0),
  retention_days bigint CHECK (retention_days >= 0),
  features text NOT NULL,
  is_default smallint NOT NULL CHECK (is_default IN (0, 1)),
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL
);
CREATE UNIQUE INDEX plans_default ON posthorn.plans (is_default) WHERE is_default = 1;

CREATE TABLE posthorn.members (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  name text,
  email text COLLATE "C",
  role text NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX members_by_email ON posthorn.members (tenant_id, email) WHERE email IS NOT NULL;

CREATE TABLE posthorn.member_sessions (
  tenant_id text COLLATE "C" NOT NULL,
  hash text COLLATE "C" NOT NULL,
  member_id text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (tenant_id, hash)
);
CREATE INDEX member_sessions_by_hash ON posthorn.member_sessions (hash);
CREATE INDEX member_sessions_by_member ON posthorn.member_sessions (tenant_id, member_id);
CREATE INDEX member_sessions_by_end ON posthorn.member_sessions (expires_at);

CREATE TABLE posthorn.endpoints (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  own_id text COLLATE "C",
  url text NOT NULL,
  events text NOT NULL,
  description text,
  is_active smallint NOT NULL CHECK (is_active IN (0, 1)),
  disabled_reason text CHECK (disabled_reason IN ('by_user', 'gone', 'failing')),
  wire_format text NOT NULL,
  headers text,
  retry_schedule_ms text,
  timeout_ms integer,
  concurrency integer,
  metadata text,
  created_at bigint NOT NULL,
  updated_at bigint NOT NULL,
  deleted_at bigint,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX endpoints_by_id ON posthorn.endpoints (id);
CREATE UNIQUE INDEX endpoints_by_own_id ON posthorn.endpoints (tenant_id, own_id)
  WHERE own_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX endpoints_live ON posthorn.endpoints (tenant_id, deleted_at);

CREATE TABLE posthorn.endpoint_keys (
  tenant_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  fingerprint text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  PRIMARY KEY (tenant_id, key)
);
CREATE INDEX endpoint_keys_by_age ON posthorn.endpoint_keys (created_at);

CREATE TABLE posthorn.secrets (
  tenant_id text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  sealed text NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint,
  PRIMARY KEY (tenant_id, endpoint_id, id)
);

CREATE TABLE posthorn.events (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  own_id text COLLATE "C",
  type text COLLATE "C" NOT NULL,
  occurred_at bigint NOT NULL,
  category text,
  group_key text COLLATE "C",
  source text,
  created_at bigint NOT NULL,
  fan_out_after text COLLATE "C",
  fan_out_node bigint,
  PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE posthorn.events_default PARTITION OF posthorn.events DEFAULT;
CREATE INDEX events_by_type ON posthorn.events (tenant_id, type, id) WHERE type IS NOT NULL;
CREATE INDEX events_by_group ON posthorn.events (tenant_id, group_key, id) WHERE group_key IS NOT NULL;
CREATE INDEX events_unfinished ON posthorn.events (id) WHERE fan_out_after IS NOT NULL;

CREATE TABLE posthorn.payloads (
  tenant_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  data text NOT NULL,
  PRIMARY KEY (tenant_id, event_id)
) PARTITION BY RANGE (event_id);
CREATE TABLE posthorn.payloads_default PARTITION OF posthorn.payloads DEFAULT;

CREATE VIEW posthorn.events_with_data AS
  SELECT e.tenant_id, e.id, e.own_id, e.type, e.occurred_at, e.category, e.group_key, e.source, e.created_at,
         e.fan_out_after, coalesce(p.data, '') AS data
  FROM posthorn.events e
  LEFT JOIN posthorn.payloads p ON p.tenant_id = e.tenant_id AND p.event_id = e.id;

CREATE TABLE posthorn.dedupe (
  tenant_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  fingerprint text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, key)
);
CREATE INDEX dedupe_by_event ON posthorn.dedupe (event_id);

CREATE TABLE posthorn.flights (
  tenant_id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  /** Of its first delivery. */
  id text COLLATE "C" NOT NULL,
  lease bigint NOT NULL,
  created_at bigint NOT NULL,
  /** Characters of the event's payload. */
  size integer NOT NULL,
  delivery_ids text[] COLLATE "C" NOT NULL,
  endpoint_ids text[] COLLATE "C" NOT NULL,
  /** Bit n is set while the delivery with index n (from 0) is in flight. */
  in_flight integer NOT NULL CHECK (in_flight <> 0),
  PRIMARY KEY (tenant_id, event_id, id)
) WITH (
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_insert_threshold = -1,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_analyze_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0
);

CREATE VIEW posthorn.deliveries_in_flight AS
  SELECT tenant_id, id, event_id, endpoint_id, lease, created_at, size
  FROM (
    SELECT tenant_id, event_id, lease, created_at, size, in_flight,
      unnest(delivery_ids) AS id, unnest(endpoint_ids) AS endpoint_id, generate_subscripts(delivery_ids, 1) AS place
    FROM posthorn.flights
  ) d
  WHERE in_flight & (1 << (place - 1)) <> 0;

CREATE TABLE posthorn.open_deliveries (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  status text NOT NULL,
  reason text,
  attempt_count integer NOT NULL,
  schedule_start integer NOT NULL,
  due_at bigint,
  lease bigint,
  last_error text,
  created_at bigint NOT NULL,
  /** Characters of the event's payload: a claim takes no more than fits in memory. */
  size integer NOT NULL,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT state CHECK (CASE status
    WHEN 'sending' THEN lease IS NOT NULL AND due_at IS NULL
    WHEN 'pending' THEN lease IS NULL AND due_at IS NOT NULL
    WHEN 'held' THEN lease IS NULL AND due_at IS NULL
    ELSE false END)
) WITH (
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_insert_threshold = -1,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_analyze_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX open_deliveries_by_endpoint ON posthorn.open_deliveries (tenant_id, endpoint_id, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX open_deliveries_by_event ON posthorn.open_deliveries (tenant_id, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX open_deliveries_due ON posthorn.open_deliveries (tenant_id, endpoint_id, due_at, id) WHERE status = 'pending';

CREATE TABLE posthorn.ended_deliveries (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  event_id text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  status text NOT NULL CHECK (status IN ('delivered', 'dead_letter', 'cancelled')),
  reason text,
  attempt_count integer NOT NULL,
  schedule_start integer NOT NULL,
  last_error text,
  created_at bigint NOT NULL,
  ended_at bigint NOT NULL,
  acknowledged_at bigint,
  PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE posthorn.ended_deliveries_default PARTITION OF posthorn.ended_deliveries DEFAULT;
CREATE INDEX ended_deliveries_by_endpoint ON posthorn.ended_deliveries (tenant_id, endpoint_id, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX ended_deliveries_by_event ON posthorn.ended_deliveries (tenant_id, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX ended_deliveries_dead ON posthorn.ended_deliveries (tenant_id, id) WHERE status = 'dead_letter';
CREATE INDEX ended_deliveries_failed ON posthorn.ended_deliveries (tenant_id, id)
  WHERE status IN ('dead_letter', 'cancelled');
CREATE INDEX ended_deliveries_failed_of ON posthorn.ended_deliveries (tenant_id, endpoint_id, id)
  WHERE status IN ('dead_letter', 'cancelled');

CREATE VIEW posthorn.deliveries AS
  SELECT tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, due_at, lease, last_error,
         created_at, NULL::bigint AS ended_at, NULL::bigint AS acknowledged_at
  FROM posthorn.open_deliveries
  UNION ALL
  SELECT tenant_id, id, event_id, endpoint_id, 'sending', NULL, 0, 0, NULL, lease, NULL, created_at, NULL, NULL
  FROM posthorn.deliveries_in_flight
  UNION ALL
  SELECT tenant_id, id, event_id, endpoint_id, status, reason, attempt_count, schedule_start, NULL::bigint, NULL::bigint,
         last_error, created_at, ended_at, acknowledged_at
  FROM posthorn.ended_deliveries;

CREATE TABLE posthorn.attempts (
  tenant_id text COLLATE "C" NOT NULL,
  delivery_id text COLLATE "C" NOT NULL,
  number integer NOT NULL,
  started_at bigint NOT NULL,
  duration_ms double precision NOT NULL,
  succeeded smallint NOT NULL,
  status_code integer,
  failure text,
  detail text NOT NULL,
  PRIMARY KEY (tenant_id, delivery_id, number)
) PARTITION BY RANGE (delivery_id);
CREATE TABLE posthorn.attempts_default PARTITION OF posthorn.attempts DEFAULT;

CREATE TABLE posthorn.nodes (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  delivers boolean NOT NULL,
  /** The newest migration that its code knows: what it cannot live with waits until it is gone. */
  knows integer NOT NULL,
  lease_ms integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  /** The newest node it knew of when it last renewed its lease. */
  seen bigint NOT NULL DEFAULT 0,
  ended_at timestamptz
);
CREATE INDEX nodes_live ON posthorn.nodes (number) WHERE ended_at IS NULL;

CREATE TABLE posthorn.changes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
  node bigint NOT NULL,
  kind text NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  key text NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX changes_by_tx ON posthorn.changes (tx);

CREATE TABLE posthorn.pauses (
  tenant_id text COLLATE "C" NOT NULL,
  endpoint_id text COLLATE "C" NOT NULL,
  until bigint NOT NULL,
  PRIMARY KEY (tenant_id, endpoint_id)
);

CREATE TABLE posthorn.counters (
  name text COLLATE "C" NOT NULL,
  "window" bigint NOT NULL,
  used bigint NOT NULL,
  PRIMARY KEY (name, "window")
);

CREATE TABLE posthorn.outbox (
  tenant_id text COLLATE "C" NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  type text NOT NULL,
  data text NOT NULL,
  own_id text,
  occurred_at timestamptz,
  category text,
  group_key text,
  source text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  /** Both of an event that can never be sent: it is set aside until somebody looks. */
  failed_at timestamptz,
  error text,
  PRIMARY KEY (tenant_id, id)
) WITH (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_threshold = -1,
  autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX outbox_next ON posthorn.outbox (id) WHERE failed_at IS NULL;
CREATE INDEX outbox_failed ON posthorn.outbox (id) WHERE failed_at IS NOT NULL;

/**
 * Stores an event in the transaction of its caller, who needs USAGE on the schema and EXECUTE on this, and no more.
 * What could never be sent is refused here, where its author can be told.
 *
 * PostgreSQL lets those who notify commit one after the other. So of several transactions at a time only one does; the
 * others' events are found with its, or a moment later: whoever has just found some soon looks again.
 */
CREATE FUNCTION posthorn.emit(
  type text,
  data text,
  tenant text DEFAULT 'default',
  id text DEFAULT NULL,
  occurred_at timestamptz DEFAULT NULL,
  category text DEFAULT NULL,
  group_key text DEFAULT NULL,
  source text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $emit$
DECLARE
  fault text := CASE
    WHEN type IS NULL OR length(type) > 128 OR type !~ '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$'
      THEN 'type: must be a name like order.created: letters, digits, _ and -, joined by dots, 128 characters at most'
    WHEN data IS NULL THEN 'data: is missing; give any JSON'
    WHEN octet_length(data) > 16777216 THEN 'data: has more than 16 MiB; send a link to it'
    WHEN tenant IS NULL OR tenant !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$'
      THEN 'tenant: must be 1 to 128 letters, digits, ., _, : or -, and begin with a letter or digit'
    WHEN id !~ '^[\\x21-\\x2d\\x2f-\\x7e]{1,128}$' OR id ~* '^evt_'
      THEN 'id: must be 1 to 128 visible ASCII characters, without spaces and full stops, and not begin with evt_'
    WHEN occurred_at < '1000-01-01Z' OR occurred_at >= '10000-01-01Z' THEN 'occurred_at: must be in the years 1000 to 9999'
    WHEN length(category) NOT BETWEEN 1 AND 256 OR category ~ '[\\x01-\\x1f\\x7f-\\x9f]'
      THEN 'category: must be 1 to 256 characters, none of them a control character'
    WHEN length(group_key) NOT BETWEEN 1 AND 256 OR group_key ~ '[\\x01-\\x1f\\x7f-\\x9f]'
      THEN 'group_key: must be 1 to 256 characters, none of them a control character'
    WHEN length(source) NOT BETWEEN 1 AND 256 OR source ~ '[\\x01-\\x1f\\x7f-\\x9f]'
      THEN 'source: must be 1 to 256 characters, none of them a control character'
  END;
  row_id bigint;
BEGIN
  IF fault IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'posthorn: ' || fault;
  END IF;
  PERFORM data::json;
  INSERT INTO posthorn.outbox (tenant_id, type, data, own_id, occurred_at, category, group_key, source)
    VALUES (tenant, type, data, id, occurred_at, category, group_key, source)
    RETURNING outbox.id INTO row_id;
  IF pg_try_advisory_xact_lock(hashtextextended('posthorn.outbox knock', 0)) THEN
    PERFORM pg_notify(left('posthorn_' || translate('posthorn.', '".', ''), 63), 'outbox');
  END IF;
  RETURN row_id;
END
$emit$;

CREATE FUNCTION posthorn.emit(
  type text,
  data json,
  tenant text DEFAULT 'default',
  id text DEFAULT NULL,
  occurred_at timestamptz DEFAULT NULL,
  category text DEFAULT NULL,
  group_key text DEFAULT NULL,
  source text DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $emit$ SELECT posthorn.emit($1, $2::text, $3, $4, $5, $6, $7, $8) $emit$;

CREATE FUNCTION posthorn.emit(
  type text,
  data jsonb,
  tenant text DEFAULT 'default',
  id text DEFAULT NULL,
  occurred_at timestamptz DEFAULT NULL,
  category text DEFAULT NULL,
  group_key text DEFAULT NULL,
  source text DEFAULT NULL
) RETURNS bigint LANGUAGE sql AS $emit$ SELECT posthorn.emit($1, $2::text, $3, $4, $5, $6, $7, $8) $emit$;

REVOKE ALL ON FUNCTION posthorn.emit(text, text, text, text, timestamptz, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthorn.emit(text, json, text, text, timestamptz, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION posthorn.emit(text, jsonb, text, text, timestamptz, text, text, text) FROM PUBLIC;
`;
