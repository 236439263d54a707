/**
 * Column and key order is the layout on disk; docs/decisions/0002-embedded-store-layout.md has the measurements.
 * The statistics are those of a store in use, written once: without any, SQLite's planner walks the primary key where an
 * index leads straight there, and with measured ones plans would change under us.
 * In `events`, `data` is last so that scans read the other columns without following a large row's overflow pages.
 */
export const sql = `
CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at INTEGER NOT NULL,
  ended_at INTEGER
) STRICT;

CREATE TABLE tenants (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT,
  wire_format TEXT,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  id TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner', 'operator')),
  name TEXT,
  hint TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE event_types (
  name TEXT NOT NULL PRIMARY KEY,
  description TEXT,
  json_schema TEXT,
  examples TEXT NOT NULL,
  is_archived INTEGER NOT NULL CHECK (is_archived IN (0, 1)),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  url TEXT NOT NULL,
  events TEXT NOT NULL,
  description TEXT,
  is_active INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  disabled_reason TEXT CHECK (disabled_reason IN ('by_user', 'gone', 'failing')),
  wire_format TEXT NOT NULL,
  headers TEXT,
  retry_schedule_ms TEXT,
  timeout_ms INTEGER,
  concurrency INTEGER,
  metadata TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
  tenant_id TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  id TEXT NOT NULL,
  sealed TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (tenant_id, endpoint_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  own_id TEXT,
  type TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  category TEXT,
  group_key TEXT,
  source TEXT,
  created_at INTEGER NOT NULL,
  fan_out_after TEXT,
  data TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_id ON events (tenant_id, id, type);
CREATE INDEX events_unfinished ON events (id) WHERE fan_out_after IS NOT NULL;

CREATE TABLE dedupe (
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  event_id TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dedupe_by_event ON dedupe (event_id);

CREATE TABLE deliveries (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  event_id TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  attempt_count INTEGER NOT NULL,
  schedule_start INTEGER NOT NULL,
  due_at INTEGER,
  lease INTEGER,
  last_error TEXT,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  acknowledged_at INTEGER,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT state CHECK (CASE status
    WHEN 'sending' THEN lease IS NOT NULL AND due_at IS NULL AND ended_at IS NULL
    WHEN 'delivered' THEN lease IS NULL AND due_at IS NULL AND ended_at IS NOT NULL
    WHEN 'pending' THEN lease IS NULL AND due_at IS NOT NULL AND ended_at IS NULL
    WHEN 'held' THEN lease IS NULL AND due_at IS NULL AND ended_at IS NULL
    WHEN 'dead_letter' THEN lease IS NULL AND due_at IS NULL AND ended_at IS NOT NULL
    WHEN 'cancelled' THEN lease IS NULL AND due_at IS NULL AND ended_at IS NOT NULL
    ELSE 0 END)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_by_endpoint ON deliveries (tenant_id, endpoint_id, id);
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_due ON deliveries (tenant_id, endpoint_id, due_at, id) WHERE status = 'pending';
CREATE INDEX deliveries_next ON deliveries (due_at) WHERE status = 'pending';
CREATE INDEX deliveries_leased ON deliveries (tenant_id, id) WHERE status = 'sending';
CREATE INDEX deliveries_held ON deliveries (tenant_id, endpoint_id, id) WHERE status = 'held';
CREATE INDEX deliveries_dead ON deliveries (tenant_id, id) WHERE status = 'dead_letter';

CREATE TABLE attempts (
  tenant_id TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  duration_ms REAL NOT NULL,
  succeeded INTEGER NOT NULL,
  status_code INTEGER,
  failure TEXT,
  detail TEXT NOT NULL,
  PRIMARY KEY (delivery_id, number, tenant_id)
) STRICT, WITHOUT ROWID;

ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('events', 'events_by_id', '10000000 5000000 1 1'),
  ('events', 'events_unfinished', '10 1'),
  ('deliveries', 'deliveries', '10000000 5000000 1'),
  ('deliveries', 'deliveries_by_endpoint', '10000000 5000000 5000 1'),
  ('deliveries', 'deliveries_by_event', '10000000 2'),
  ('deliveries', 'deliveries_due', '200 100 5 1 1'),
  ('deliveries', 'deliveries_next', '200 1'),
  ('deliveries', 'deliveries_leased', '1000 100 1'),
  ('deliveries', 'deliveries_held', '200 100 5 1'),
  ('deliveries', 'deliveries_dead', '1000 500 1'),
  ('attempts', 'attempts', '10000000 1 1 1');
`;
