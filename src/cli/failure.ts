import type { ErrorCode } from '../errors.ts';
import { errorTable } from '../errors.ts';

/** Something the command line cannot do, said in one line. Exit code 1 = it failed, 2 = it was asked for wrongly. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2 = 1, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
  }
}

/** The command was written wrongly: exit code 2. */
export function usage(message: string): CliFailure {
  return new CliFailure(message, 2);
}

/** An error that Posthorn's API answered with, as `application/problem+json` has it. */
export class ApiFailure extends CliFailure {
  readonly status: number;
  readonly problem: Readonly<Record<string, unknown>>;
  /** As `Retry-After` says; null without. */
  readonly retryAfterSeconds: number | null;

  constructor(status: number, problem: Readonly<Record<string, unknown>>, retryAfterSeconds: number | null = null) {
    super(describeProblem(status, problem));
    this.status = status;
    this.problem = problem;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * The message and the request's id. A message says what to do as a rule; the table's remedy stands in where it is only
 * the title. A key comes here from an option, so what the API says about headers is left out.
 */
function describeProblem(status: number, problem: Readonly<Record<string, unknown>>): string {
  const { code, message, detail, requestId } = problem;
  const said = typeof message === 'string' ? message : typeof detail === 'string' ? detail : `HTTP ${status}`;
  const parts = [said];
  if (code === 'UNAUTHORIZED') {
    parts[0] = said.replace(/ Send .*$/s, '');
    parts.push('Give a valid one with --api-key or POSTHORN_API_KEY.');
  } else if (isErrorCode(code) && said.replace(/\.$/, '') === errorTable[code].title) {
    parts.push(errorTable[code].remedy);
  }
  if (typeof requestId === 'string') parts.push(`(${requestId})`);
  return parts.join(' ');
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorTable, code);
}

/** What to tell people about an error that ends a command: one line, without the leading `posthorn: `. */
export function describeFailure(error: unknown): string {
  const text = describeSystemError(error as NodeJS.ErrnoException & { address?: string; port?: number });
  return text.replaceAll(/\s*[\r\n]+\s*/g, ' ').trim();
}

function describeSystemError(error: NodeJS.ErrnoException & { address?: string; port?: number }): string {
  const { code, address, port, path } = error;
  if (error.syscall === 'listen') {
    const where = `port ${port} on ${address}`;
    if (code === 'EADDRINUSE') return `${where} is in use; stop what listens there, or choose another with --port`;
    if (code === 'EACCES') return `${where} may not be used by this user; choose one above 1023 with --port`;
    if (code === 'EADDRNOTAVAIL') return `${address} is no address of this machine; choose another with --host`;
  }
  if (error.syscall === 'getaddrinfo') return 'the host to listen on has no address; choose another with --host';
  if (path !== undefined) {
    // Node calls a directory that cannot be made on a read-only file system "not found".
    const isUnmakable = code === 'ENOENT' && error.syscall === 'mkdir';
    if (isUnmakable || code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      return `${path} is not writable; give it to this user, or choose another directory with --data-dir`;
    }
    if (code === 'ENOTDIR' || code === 'EEXIST') {
      return `${path} is not a directory; choose another with --data-dir`;
    }
  }
  return error instanceof Error ? error.message : String(error);
}
