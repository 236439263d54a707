import { readText } from './values.ts';

/*
 * Readers of what names a database. As in values.ts, a message goes on after the setting's name; and none of them shows
 * any part of the URL but names of parameters, since it may hold a password, at any place if it is written wrongly.
 */

const EXAMPLE = 'postgres://user:password@host:5432/database';

/** What is passed on to the driver; another one would be lost without a word, or change what we rely on. */
const PARAMETERS = [
  ...['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation', 'ssl', 'uselibpqcompat', 'channel_binding'],
  ...['host', 'port', 'user', 'password', 'application_name', 'options'],
];
const SSL_MODES = ['disable', 'no-verify', 'require', 'verify-ca', 'verify-full'];
/** Modes that the driver understands as libpq does only when it is told to. */
const LIBPQ_MODES = ['require', 'verify-ca'];

/**
 * A URL of PostgreSQL as the driver takes it; null = the embedded store. The files that it names for TLS must be there:
 * the driver reads them at each connection.
 */
export function parseDatabaseUrl(text: string): string | null {
  if (text === '') return null;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme !== 'postgres' && scheme !== 'postgresql') {
    throw new Error(`is not the URL of a PostgreSQL database; give one such as ${EXAMPLE}`);
  }
  const url = parseUrl(text);
  if (url.pathname.length < 2) throw new Error(`names no database; write its name behind the host: ${EXAMPLE}`);
  checkParameters(url.searchParams);
  checkTls(url.searchParams);
  if (LIBPQ_MODES.includes(url.searchParams.get('sslmode') ?? '') && !url.searchParams.has('uselibpqcompat')) {
    url.searchParams.set('uselibpqcompat', 'true');
  }
  return url.href;
}

/** The name of a schema, without need of quotes. */
export function parseSchema(text: string): string {
  if (!/^[a-z_][a-z0-9_]{0,40}$/.test(text)) {
    throw new Error(`is not a name that fits; give at most 41 small letters, digits and _, the first of them no digit`);
  }
  if (text.startsWith('pg_') || text === 'information_schema') {
    throw new Error("is a name of PostgreSQL's own; give another one, such as posthorn");
  }
  return text;
}

function parseUrl(text: string): URL {
  // Before parsing: these make a URL of something else, or none.
  if (text.includes('#')) throw new Error('holds a #; write it %23, also in the password');
  if (/%(?![0-9a-f]{2})/i.test(text))
    throw new Error('holds a % that begins no code; write it %25, also in the password');
  if (/\s/.test(text)) throw new Error('holds a space; write it %20, also in the password');
  const authority = text.slice(text.indexOf('//') + 2).split(/[/?]/, 1)[0]!;
  if (authority.slice(authority.lastIndexOf('@') + 1).includes(',')) {
    throw new Error('names several hosts; give one name that always leads to the primary');
  }
  const url = URL.canParse(text) ? new URL(text) : tryWithoutHost(text);
  if (url === null) {
    throw new Error(
      `is not a valid URL; give one such as ${EXAMPLE}, with : / ? # @ in the password written %3A %2F %3F %23 %40`,
    );
  }
  return url;
}

/** `postgres://user@/database` has no host, which libpq allows: the driver's default, or the parameter `host`. */
function tryWithoutHost(text: string): URL | null {
  const named = text.replace('@/', '@localhost/');
  return URL.canParse(named) ? new URL(named) : null;
}

function checkParameters(parameters: URLSearchParams): void {
  for (const name of parameters.keys()) {
    if (PARAMETERS.includes(name)) continue;
    if (name === 'schema') throw new Error('names a schema; leave that out and set POSTHORN_DATABASE_SCHEMA');
    const shown = /^\w{1,30}$/.test(name) ? `the parameter ${name}` : 'a parameter';
    throw new Error(`has ${shown}, which Posthorn does not take; leave it out`);
  }
}

function checkTls(parameters: URLSearchParams): void {
  const mode = parameters.get('sslmode');
  if (mode !== null && !SSL_MODES.includes(mode)) {
    throw new Error(`has an sslmode that is unknown here; give one of ${SSL_MODES.join(', ')}`);
  }
  if (mode === 'verify-ca' && !parameters.has('sslrootcert')) {
    throw new Error(
      'has sslmode=verify-ca without a certificate to check against; add sslrootcert=<file>, or give verify-full',
    );
  }
  for (const name of ['sslrootcert', 'sslcert', 'sslkey']) {
    const path = parameters.get(name);
    if (path === null) continue;
    try {
      readText(path);
    } catch (cause) {
      throw new Error(`has an ${name} that does not work: ${(cause as Error).message}`, { cause });
    }
  }
}

/** `PostgreSQL posthorn at db.internal:5432`: what may be shown of a URL that {@link parseDatabaseUrl} gave. */
export function databaseName(text: string): string {
  const url = new URL(text);
  const host = url.searchParams.get('host') ?? (url.hostname === '' ? 'localhost' : decodeURIComponent(url.hostname));
  const port = host.startsWith('/') ? '' : `:${url.searchParams.get('port') ?? (url.port === '' ? '5432' : url.port)}`;
  return `PostgreSQL ${decodeURIComponent(url.pathname.slice(1))} at ${host}${port}`;
}
