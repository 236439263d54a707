/** How a column's values go over, and what both stores call its type. */
export type ColumnType = 'text' | 'bigint' | 'integer' | 'double precision';

export interface MovedColumn {
  /** In the database. */
  name: string;
  /** In the embedded store: a column, or an expression. */
  from: string;
  type: ColumnType;
}

/** One table of the database and where its rows come from. */
export interface MovedTable {
  name: string;
  /** The table in the embedded store. */
  from: string;
  /** Which of its rows; null = all. */
  where: string | null;
  /** The order in which the embedded store is walked: its own on disk. */
  key: readonly string[];
  columns: readonly MovedColumn[];
}

type Spelling = 'text' | 'int8' | 'int4' | 'float8';

const types: Record<Spelling, ColumnType> = {
  text: 'text',
  int8: 'bigint',
  int4: 'integer',
  float8: 'double precision',
};

/** `'id'` is text; `'created_at int8'`; `'event_id=id'` has another name in the embedded store. */
function columns(words: readonly (string | MovedColumn)[]): MovedColumn[] {
  return words.map((word) => {
    if (typeof word !== 'string') return word;
    const [names = '', type = 'text'] = word.split(' ');
    const [name = '', from = name] = names.split('=');
    return { name, from, type: types[type as Spelling] };
  });
}

function table(
  name: string,
  key: readonly string[],
  words: readonly (string | MovedColumn)[],
  from = name,
  where?: string,
): MovedTable {
  return { name, from, where: where ?? null, key, columns: columns(words) };
}

/** Without an index on the status: the table is walked in its own order, and once. */
const statusIn = (statuses: readonly string[]): string =>
  `+status IN (${statuses.map((one) => `'${one}'`).join(', ')})`;

const delivery = ['tenant_id', 'id', 'event_id', 'endpoint_id', 'status', 'reason', 'attempt_count int4'];

/** Characters of its event's payload, which a claim goes by. */
const size: MovedColumn = {
  name: 'size',
  from: '(SELECT length(e.data) FROM events e WHERE e.tenant_id = deliveries.tenant_id AND e.id = deliveries.event_id)',
  type: 'integer',
};

/** Everything that is moved, small tables first. Root and marks in `meta` go apart. */
export const movedTables: readonly MovedTable[] = [
  table(
    'plans',
    ['name'],
    [
      ...['name', 'endpoint_limit int8', 'events_per_day int8', 'retention_days int8', 'features', 'is_default int4'],
      ...['created_at int8', 'updated_at int8'],
    ],
  ),
  table('tenants', ['id'], ['id', 'name', 'wire_format', 'plan', 'created_at int8']),
  table(
    'event_types',
    ['name'],
    [...['name', 'description', 'json_schema', 'examples', 'is_archived int4', 'created_at int8', 'updated_at int8']],
  ),
  table(
    'api_keys',
    ['id'],
    [
      ...[
        'id',
        'tenant_id',
        'role',
        'member_id',
        'scopes',
        'name',
        'hint',
        'hash',
        'created_at int8',
        'last_used_at int8',
      ],
      ...['expires_at int8', 'revoked_at int8'],
    ],
  ),
  table(
    'members',
    ['tenant_id', 'id'],
    [...['tenant_id', 'id', 'name', 'email', 'role', 'created_at int8', 'updated_at int8']],
  ),
  table('member_sessions', ['hash'], ['tenant_id', 'hash', 'member_id', 'created_at int8', 'expires_at int8']),
  table(
    'endpoints',
    ['tenant_id', 'id'],
    [
      ...[
        'tenant_id',
        'id',
        'own_id',
        'url',
        'events',
        'description',
        'is_active int4',
        'disabled_reason',
        'wire_format',
      ],
      ...['headers', 'retry_schedule_ms', 'timeout_ms int4', 'concurrency int4', 'metadata'],
      ...['created_at int8', 'updated_at int8', 'deleted_at int8'],
    ],
  ),
  table(
    'secrets',
    ['tenant_id', 'endpoint_id', 'id'],
    [...['tenant_id', 'endpoint_id', 'id', 'sealed', 'created_at int8', 'expires_at int8']],
  ),
  table('endpoint_keys', ['tenant_id', 'key'], ['tenant_id', 'key', 'fingerprint', 'endpoint_id', 'created_at int8']),
  table(
    'events',
    ['rowid'],
    [
      ...[
        'tenant_id',
        'id',
        'own_id',
        'type',
        'occurred_at int8',
        'category',
        'group_key',
        'source',
        'created_at int8',
      ],
      'fan_out_after',
    ],
  ),
  // A payload that was forgotten is an empty text there, and no row here.
  table('payloads', ['rowid'], ['tenant_id', 'event_id=id', 'data'], 'events', "data <> ''"),
  table('dedupe', ['tenant_id', 'key'], ['tenant_id', 'key', 'event_id', 'fingerprint']),
  table(
    'open_deliveries',
    ['tenant_id', 'id'],
    [...delivery, 'schedule_start int4', 'due_at int8', 'last_error', 'created_at int8', size],
    'deliveries',
    statusIn(['pending', 'held', 'sending']),
  ),
  table(
    'ended_deliveries',
    ['tenant_id', 'id'],
    [...delivery, 'schedule_start int4', 'last_error', 'created_at int8', 'ended_at int8', 'acknowledged_at int8'],
    'deliveries',
    statusIn(['delivered', 'dead_letter', 'cancelled']),
  ),
  table(
    'attempts',
    ['delivery_id', 'number', 'tenant_id'],
    [
      ...['tenant_id', 'delivery_id', 'number int4', 'started_at int8', 'duration_ms float8', 'succeeded int4'],
      ...['status_code int4', 'failure', 'detail'],
    ],
  ),
];
