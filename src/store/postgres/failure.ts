import { PosthornError } from '../../errors.ts';

/** SQLSTATE classes after which the same call can succeed later: connection, resources, operator intervention, system. */
const PASSING = /^(08|53|57|58|XX)/;
/** Someone else's transaction was in the way: the same statement again will do. */
const REPEATABLE = new Set(['40001', '40P01', '55P03']);
/** Statement and lock time-outs, and a statement cancelled by hand. */
const CANCELLED = '57014';
const FULL = new Set(['53100', '53000']);
const UNIQUE = '23505';
/** Bytes that are no text in UTF-8, or a zero byte, which PostgreSQL does not keep. */
const UNTRANSLATABLE = '22021';
/** A named statement that the server behind a pooler does not have, or has already. */
const UNPREPARED = new Set(['26000', '42P05']);

/** What PostgreSQL, or the driver, says: an SQLSTATE and a few fields. */
interface ServerError {
  code?: unknown;
  message?: unknown;
  constraint?: unknown;
  table?: unknown;
}

/** The SQLSTATE of an error that the server sent; null where the connection itself failed, or it is a mistake of ours. */
export function sqlState(error: unknown): string | null {
  const { code } = (error ?? {}) as ServerError;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E') ? code : null;
}

const unsent = new WeakSet<object>();

/** Marks the error of a connection that never came about: nothing was sent over it. */
export function neverSent(error: unknown): unknown {
  if (typeof error === 'object' && error !== null) unsent.add(error);
  return error;
}

/** Whether the statement may have been carried out all the same: the answer to its commit never came. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (typeof error === 'object' && error !== null && unsent.has(error)) return false;
  const state = sqlState(error);
  // 57P01 to 57P05: the backend was told to end, which it also is behind a commit.
  return state === null ? isConnectionFault(error) : state.startsWith('08') || /^57P/.test(state);
}

export function isRepeatable(error: unknown): boolean {
  return REPEATABLE.has(sqlState(error) ?? '');
}

export function isUnprepared(error: unknown): boolean {
  return UNPREPARED.has(sqlState(error) ?? '');
}

/** A row with this key exists. With `table`, only where it is that table's (partitions carry names of their own). */
export function isUniqueViolation(error: unknown, table?: string): boolean {
  if (sqlState(error) !== UNIQUE) return false;
  const name = (error as ServerError).table;
  return table === undefined || (typeof name === 'string' && (name === table || name.startsWith(`${table}_`)));
}

/** Network faults, and what `pg` calls them. */
function isConnectionFault(error: unknown): boolean {
  const { code, message } = (error ?? {}) as ServerError;
  if (typeof code === 'string' && /^(E[A-Z]+|UND_|ERR_)/.test(code)) return true;
  return /connection|timeout|terminated|socket|Client (has|was)/i.test(String(message));
}

/** The error a caller sees. A PosthornError stays what it is; what is no fault of the database stays a plain Error. */
export function toStoreError(error: unknown): Error {
  if (error instanceof PosthornError) return error;
  const state = sqlState(error);
  const message = String((error as ServerError | undefined)?.message ?? error);
  const failed = (code: 'STORE_UNAVAILABLE' | 'STORE_FULL', text: string): PosthornError =>
    new PosthornError(code, text, { retryAfterSeconds: 1, cause: error });
  if (state !== null && FULL.has(state)) {
    return failed(
      'STORE_FULL',
      'The disk of the database is full. Nothing was stored. Free space or lower the retention; accepted events are safe.',
    );
  }
  if (state === UNIQUE) return new PosthornError('ALREADY_EXISTS', 'It exists already.', { cause: error });
  if (state === UNTRANSLATABLE) {
    return new PosthornError(
      'BAD_REQUEST',
      'A text holds a zero character (U+0000), which cannot be stored. Leave it out.',
      {
        cause: error,
      },
    );
  }
  if (state === CANCELLED) {
    return failed('STORE_UNAVAILABLE', 'The database took too long to answer. Nothing was stored; try again.');
  }
  if (state === '25006') {
    return failed('STORE_UNAVAILABLE', 'The database is read-only now (a standby?). Nothing was stored; try again.');
  }
  if (state === '42501') {
    return failed(
      'STORE_UNAVAILABLE',
      'The database refuses its rights to Posthorn. Grant what docs/postgres.md lists.',
    );
  }
  const passes =
    state === null ? isConnectionFault(error) : PASSING.test(state) || REPEATABLE.has(state) || isUnprepared(error);
  if (passes) {
    return failed(
      'STORE_UNAVAILABLE',
      `The database does not answer now (${inShort(error)}). Nothing is accepted until it does; try again.`,
    );
  }
  return error instanceof Error ? error : new Error(message);
}

/** True where nothing is wrong with the call: the database is away or full, and its neighbours would fare alike. */
export function isOfTheStore(error: unknown): boolean {
  const fault = toStoreError(error);
  return fault instanceof PosthornError && (fault.code === 'STORE_UNAVAILABLE' || fault.code === 'STORE_FULL');
}

/** What may be told to strangers: not where the database is. The log has the cause. */
function inShort(error: unknown): string {
  const { code } = (error ?? {}) as ServerError;
  if (typeof code === 'string') return code;
  return /timeout/i.test(String((error as ServerError).message)) ? 'time-out' : 'connection lost';
}
