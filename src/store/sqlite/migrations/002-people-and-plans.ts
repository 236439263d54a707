/**
 * Plans, members, their sessions in browsers, and what endpoints need to come from elsewhere.
 * `sessions` are those of the process (001); members have theirs in `member_sessions`.
 * `endpoints_live` counts a tenant's endpoints; a partial index would not do: the planner reads the row for `deleted_at`.
 * `events_by_group` and the indexes of failed deliveries are partial, so that the usual delivery pays nothing for them.
 * The statistics are pinned as in 001.
 */
export const sql = `
ALTER TABLE tenants ADD COLUMN plan TEXT;

ALTER TABLE api_keys ADD COLUMN member_id TEXT;
ALTER TABLE api_keys ADD COLUMN scopes TEXT;
CREATE INDEX api_keys_by_member ON api_keys (tenant_id, member_id) WHERE member_id IS NOT NULL;

ALTER TABLE endpoints ADD COLUMN own_id TEXT;
CREATE UNIQUE INDEX endpoints_by_id ON endpoints (id);
CREATE UNIQUE INDEX endpoints_by_own_id ON endpoints (tenant_id, own_id) WHERE own_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX endpoints_live ON endpoints (tenant_id, deleted_at);

CREATE TABLE endpoint_keys (
  tenant_id TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX endpoint_keys_by_age ON endpoint_keys (created_at);

CREATE TABLE plans (
  name TEXT NOT NULL PRIMARY KEY,
  endpoint_limit INTEGER CHECK (endpoint_limit >= 0),
  events_per_day INTEGER CHECK (events_per_day >= 0),
  retention_days INTEGER CHECK (retention_days >= 0),
  features TEXT NOT NULL,
  is_default INTEGER NOT NULL CHECK (is_default IN (0, 1)),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX plans_default ON plans (is_default) WHERE is_default = 1;

CREATE TABLE members (
  tenant_id TEXT NOT NULL,
  id TEXT NOT NULL,
  name TEXT,
  email TEXT,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'member', 'admin', 'owner')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX members_by_email ON members (tenant_id, email) WHERE email IS NOT NULL;

CREATE TABLE member_sessions (
  hash TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  member_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX member_sessions_by_member ON member_sessions (tenant_id, member_id);
CREATE INDEX member_sessions_by_end ON member_sessions (expires_at);

CREATE INDEX events_by_group ON events (tenant_id, group_key, id) WHERE group_key IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries (tenant_id, id) WHERE status IN ('dead_letter', 'cancelled');
CREATE INDEX deliveries_failed_of ON deliveries (tenant_id, endpoint_id, id) WHERE status IN ('dead_letter', 'cancelled');

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('tenants', 'tenants', '1000 1'),
  ('api_keys', 'api_keys', '2000 1'),
  ('api_keys', 'sqlite_autoindex_api_keys_2', '2000 1'),
  ('api_keys', 'api_keys_by_member', '500 5 1'),
  ('endpoints', 'endpoints', '20000 200 1'),
  ('endpoints', 'endpoints_by_id', '20000 1'),
  ('endpoints', 'endpoints_by_own_id', '1000 100 1'),
  ('endpoints', 'endpoints_live', '20000 200 100 1'),
  ('endpoint_keys', 'endpoint_keys', '1000 10 1'),
  ('endpoint_keys', 'endpoint_keys_by_age', '1000 1'),
  ('members', 'members', '2000 5 1'),
  ('members', 'members_by_email', '2000 5 1'),
  ('member_sessions', 'member_sessions', '5000 1'),
  ('member_sessions', 'member_sessions_by_member', '5000 20 5'),
  ('member_sessions', 'member_sessions_by_end', '5000 1'),
  ('events', 'events_by_group', '1000000 500000 5 1'),
  ('deliveries', 'deliveries_failed', '2000 1000 1'),
  ('deliveries', 'deliveries_failed_of', '2000 1000 10 1');
`;
