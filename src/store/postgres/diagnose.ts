import { PosthornError } from '../../errors.ts';
import type { Connections } from './connections.ts';
import { sqlState } from './failure.ts';

/** Where the database is, and as whom, in words that may be shown. */
export interface Place {
  /** `db.internal:5432`, or the folder of a socket. */
  address: string;
  host: string;
  port: number;
  user: string;
  database: string;
  schema: string;
}

interface Fault {
  code?: unknown;
  message?: unknown;
  errors?: unknown;
}

/** The newest of the releases that lack something we use. */
const TOO_OLD = 13;

const CERTIFICATE =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_|ERR_SSL_|ERR_OSSL)/;
const SETTING = 'POSTHORN_DATABASE_URL';

/**
 * Why a process cannot start on its database: one line that names the remedy. Errors that say so already come back as
 * they are, and so do mistakes of our own. Nothing here shows the URL, which may hold a password.
 */
export function diagnose(error: unknown, connections: Connections): unknown {
  const cause = rootOf(error);
  if (cause instanceof PosthornError) return cause;
  const place = placeOf(connections);
  const text = sqlState(cause) === null ? explainNetwork(cause, place) : explainServer(cause, place);
  return text === null ? error : new PosthornError('STORE_UNAVAILABLE', text, { cause });
}

/** What a server is, as far as it matters to us. */
export interface ServerFacts {
  /** `server_version_num`: 140011 is 14.11. */
  version: number;
  encoding: string;
  isStandby: boolean;
  isReadOnly: boolean;
}

/** Why this server will not do, or null. */
export function objectionTo({ version, encoding, isStandby, isReadOnly }: ServerFacts, place: Place): string | null {
  const major = Math.floor(version / 10_000);
  if (major <= TOO_OLD) {
    return `PostgreSQL at ${place.address} is version ${major}; Posthorn needs 14 or later. Upgrade it, or name another server in ${SETTING}.`;
  }
  if (isStandby) {
    return `PostgreSQL at ${place.address} is a read-only standby. Name the primary in ${SETTING}, or promote this one.`;
  }
  if (isReadOnly) {
    return `The database "${place.database}" is read-only for ${place.user}. Undo it: ALTER DATABASE "${place.database}" RESET default_transaction_read_only (or ALTER ROLE).`;
  }
  if (encoding !== 'UTF8') {
    return `The database "${place.database}" has the encoding ${encoding}; Posthorn needs UTF8. Make another one: ${createDatabase(place, '-E UTF8 -T template0')}.`;
  }
  return null;
}

const FACTS = `
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
  pg_is_in_recovery() AS "isStandby", current_setting('transaction_read_only') = 'on' AS "isReadOnly"`;

/** Throws where the server will not do, whatever it holds. */
export async function checkServer(connections: Connections): Promise<void> {
  const { rows } = await connections.query<{ [Fact in keyof ServerFacts]: ServerFacts[Fact] }>({
    sql: FACTS,
    parameters: [],
  });
  const objection = objectionTo(rows[0]!, placeOf(connections));
  if (objection !== null) throw new PosthornError('STORE_UNAVAILABLE', objection);
}

const MISSING_PRIVILEGE = `
SELECT c.relname::text AS name, privilege
FROM pg_class c, unnest(CASE WHEN c.relkind = 'v' OR c.relname = 'migrations' THEN ARRAY['SELECT']
  ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END) AS privilege
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND NOT has_table_privilege(c.oid, privilege)
ORDER BY c.relname, privilege LIMIT 1`;

const MAY_USE = `SELECT has_schema_privilege(to_regnamespace($1), 'USAGE') AS "mayUse"`;

/** Partitions are made and dropped as the tables' owner (see beginPartitionChange in partitions.ts). */
const OWNER = `
SELECT pg_get_userbyid(relowner)::text AS owner, pg_has_role(relowner, 'MEMBER') AS "isMember"
FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relname = 'events'`;

/** Throws where a right that every node needs is missing, on a schema that is there. */
export async function checkPrivileges(connections: Connections): Promise<void> {
  const place = placeOf(connections);
  const schema = `"${place.schema}"`;
  const { rows: uses } = await connections.query<{ mayUse: boolean | null }>({ sql: MAY_USE, parameters: [schema] });
  if (uses[0]?.mayUse === false) throw missing(place, `USAGE ON SCHEMA ${schema}`);
  const { rows } = await connections.query<{ name: string; privilege: string }>({
    sql: MISSING_PRIVILEGE,
    parameters: [schema],
  });
  const [first] = rows;
  if (first) throw missing(place, `${first.privilege} ON ${schema}."${first.name}"`);
  const { rows: owners } = await connections.query<{ owner: string; isMember: boolean }>({
    sql: OWNER,
    parameters: [schema],
  });
  const [owner] = owners;
  if (owner?.isMember === false) throw missing(place, `"${owner.owner}"`);
}

function missing({ user }: Place, what: string): PosthornError {
  return new PosthornError(
    'STORE_UNAVAILABLE',
    `The role "${user}" may not use Posthorn's tables. As their owner: GRANT ${what} TO "${user}"; docs/postgres.md lists all grants.`,
  );
}

/** The error that the driver threw, below the ones made of it. */
function rootOf(error: unknown): unknown {
  let root = error;
  while (root instanceof PosthornError && root.cause !== undefined) root = root.cause;
  // Each address of a host was tried, and each failed.
  const { errors } = (root ?? {}) as Fault;
  return Array.isArray(errors) && errors.length > 0 ? (errors[0] as unknown) : root;
}

function placeOf(connections: Connections): Place {
  // The driver knows what it makes of the URL, its own defaults and the environment (PGUSER and the like).
  const { host, port, user = '', database = '' } = connections.single();
  const address = host.startsWith('/') ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return { address, host, port, user, database, schema: connections.schema };
}

/** What never got as far as an answer of PostgreSQL's. Null: it is something else. */
function explainNetwork(error: unknown, { address, host }: Place): string | null {
  const { code, message } = (error ?? {}) as Fault;
  const text = String(message);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return `The host "${host}" of the database is not found (${code}). Correct it in ${SETTING}, or the DNS of this machine.`;
  }
  if (code === 'ECONNREFUSED' || code === 'ENOENT') {
    return `Nothing takes connections at ${address}. Start PostgreSQL there, or correct host and port in ${SETTING}.`;
  }
  if (code === 'EACCES')
    return `The socket in ${address} may not be used by this user. Give it the right, or use a host and port.`;
  if (isTimeout(code, text)) {
    return `PostgreSQL at ${address} does not answer in time. Check host and port in ${SETTING}, and the firewall between.`;
  }
  if (text.includes('does not support SSL')) {
    return `PostgreSQL at ${address} has no TLS. Turn it on there (ssl = on), or give sslmode=disable in ${SETTING}.`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `The certificate of PostgreSQL at ${address} is for another host. Name the host that it is for in ${SETTING}, or give it one for this host.`;
  }
  if (code === 'CERT_HAS_EXPIRED') return `The certificate of PostgreSQL at ${address} has expired. Renew it there.`;
  if (typeof code === 'string' && CERTIFICATE.test(code)) {
    return `The certificate of PostgreSQL at ${address} is not trusted (${code}). Name the one that signed it with sslrootcert=<file> in ${SETTING}.`;
  }
  if (/client password must be a (non-empty )?string/i.test(text)) {
    return `PostgreSQL at ${address} wants a password. Put it into ${SETTING}: postgres://user:password@host/database.`;
  }
  if (isNoPostgres(code, text)) {
    return `What listens at ${address} does not speak as PostgreSQL does. Correct host and port in ${SETTING}.`;
  }
  return null;
}

function isTimeout(code: unknown, text: string): boolean {
  return code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH' || /timeout|timed out/i.test(text);
}

/** A server that hangs up on our first message, or answers it with something else. */
function isNoPostgres(code: unknown, text: string): boolean {
  return (
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    /terminated unexpectedly|received invalid response|error establishing an SSL connection/i.test(text)
  );
}

/** What PostgreSQL, or a pooler before it, answered. Null: a mistake of ours. */
function explainServer(error: unknown, place: Place): string | null {
  const { address, user, database, schema } = place;
  const text = String((error as Fault).message);
  switch (sqlState(error)) {
    case '28P01':
      return `PostgreSQL at ${address} refuses the password of "${user}", or has no such role. Correct user and password in ${SETTING}.`;
    case '28000':
      return explainRefusal(text, place);
    case '3D000':
      return `PostgreSQL at ${address} has no database "${database}". Make it: ${createDatabase(place)}; or correct its name in ${SETTING}.`;
    case '53300':
      return `PostgreSQL at ${address} has no connection left (${text}). Raise its max_connections, lower POSTHORN_DATABASE_POOL_SIZE, or put PgBouncer before it.`;
    case '57P03':
      return `PostgreSQL at ${address} takes no connections yet (${text}). Start Posthorn again when it does.`;
    case '25006':
      return `PostgreSQL at ${address} is read-only (${text}). Name the primary in ${SETTING}.`;
    case '42501':
      return explainPrivilege(text, place);
    case '3F000':
    case '42P01':
      return `The schema "${schema}" of the database lacks what Posthorn keeps there (${text}). Run \`posthorn migrate\` with the same settings.`;
    case '08P01':
      return `What listens at ${address} refuses to connect (${text}). Correct ${SETTING}; parameters that it does not know must go.`;
    default:
      return /^(08|53|57|58)/.test(sqlState(error)!)
        ? `PostgreSQL at ${address} does not serve now (${text}). Start Posthorn again when it does.`
        : null;
  }
}

function explainRefusal(text: string, { address, user, database }: Place): string {
  if (/does not exist/.test(text)) {
    return `PostgreSQL at ${address} has no role "${user}". Make it with createuser, or correct the user in ${SETTING}.`;
  }
  if (/no encryption|SSL off/i.test(text)) {
    return `PostgreSQL at ${address} refuses "${user}" without TLS. Add ?sslmode=verify-full to ${SETTING}; or have its pg_hba.conf admit this host.`;
  }
  if (/pg_hba\.conf/.test(text)) {
    return `PostgreSQL at ${address} does not admit "${user}" to "${database}" from this machine. Add a line for it to the server's pg_hba.conf.`;
  }
  return `PostgreSQL at ${address} refuses "${user}" (${text}). Correct the user in ${SETTING}, or the server's pg_hba.conf.`;
}

function explainPrivilege(text: string, { user, database, schema }: Place): string {
  const [, kind, name] = /^permission denied for (\w+) "?([^"]*)"?$/.exec(text) ?? [];
  const grants: Record<string, string> = {
    database: `GRANT CONNECT ON DATABASE "${database}" TO "${user}"; to migrate, also CREATE SCHEMA "${schema}" AUTHORIZATION "${user}"`,
    schema: `GRANT USAGE ON SCHEMA "${name}" TO "${user}"; to migrate, use that owner`,
    table: `GRANT SELECT, INSERT, UPDATE, DELETE ON "${schema}"."${name}" TO "${user}"`,
  };
  const grant = grants[kind ?? ''];
  if (grant !== undefined) return `The role "${user}" may not use the ${kind} "${name}". As its owner: ${grant}.`;
  return `The role "${user}" lacks a right (${text}). Migrations are for the owner of the schema "${schema}"; docs/postgres.md lists all grants.`;
}

function createDatabase({ host, port, user, database }: Place, more = ''): string {
  return `createdb -h ${host} -p ${port} -O ${user} ${more === '' ? '' : `${more} `}${database}`;
}
