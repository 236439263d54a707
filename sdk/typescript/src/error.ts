import type { ApiErrorCode, Problem } from './types.ts';

/**
 * `code` of an error: one of the API's own (docs/errors.md), or one made here. `CONNECTION_FAILED`: no answer came.
 * `TIMED_OUT`: none came in time. `UNEXPECTED_RESPONSE`: it is not one of Posthorn's; a proxy may stand in between.
 */
export type ErrorCode = ApiErrorCode | 'CONNECTION_FAILED' | 'TIMED_OUT' | 'UNEXPECTED_RESPONSE';

/** One field that is wrong: `events[0]`, and what to do about it. */
export interface FieldError {
  field: string;
  message: string;
}

interface Details {
  status?: number;
  requestId?: string | null;
  fields?: readonly FieldError[];
  retryAfterSeconds?: number | null;
  cause?: unknown;
}

/** Every call that does not succeed rejects with one; decide by `code`, show `message`. */
export class PosthornError extends Error {
  override readonly name = 'PosthornError';
  readonly code: ErrorCode;
  /** HTTP status; null where no answer came. */
  readonly status: number | null;
  /** By which the operator finds the request in the log. */
  readonly requestId: string | null;
  /** The fields that are wrong; empty where the error is about none. */
  readonly fields: readonly FieldError[];
  /** Seconds after which the server wants to be asked again. */
  readonly retryAfterSeconds: number | null;

  constructor(code: ErrorCode, message: string, details: Details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.status = details.status ?? null;
    this.requestId = details.requestId ?? null;
    this.fields = details.fields ?? [];
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
  }
}

/** The error of an answer that is not a success; `text` is its body. */
export function errorOf(response: Response, text: string): PosthornError {
  const { status, headers } = response;
  const problem = readProblem(text);
  const requestId = headers.get('x-request-id') ?? textOrNull(problem?.requestId);
  const details = { status, requestId, retryAfterSeconds: retryAfter(headers) };
  if (problem !== null) {
    return new PosthornError(problem.code, problem.message, { ...details, fields: readFields(problem.errors) });
  }
  const where = headers.get('location');
  const what =
    where === null
      ? 'without an error of Posthorn in it. Is the address right, or does a proxy stand in between?'
      : `a redirect to ${where}, which is not followed. Give the address it leads to as \`baseUrl\`.`;
  return new PosthornError('UNEXPECTED_RESPONSE', `The answer is ${status}, ${what}`, details);
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function readFields(errors: unknown): FieldError[] {
  if (!Array.isArray(errors)) return [];
  return (errors as (Partial<FieldError> | null)[]).flatMap((error) => {
    const [field, message] = [textOrNull(error?.field), textOrNull(error?.message)];
    return field === null || message === null ? [] : [{ field, message }];
  });
}

function readProblem(text: string): Problem | null {
  try {
    const value = JSON.parse(text) as Partial<Problem> | null;
    return typeof value?.code === 'string' && typeof value.message === 'string' ? (value as Problem) : null;
  } catch {
    return null;
  }
}

/** The header `Retry-After`, seconds or a date, in seconds from now (RFC 9110, section 10.2.3). */
function retryAfter(headers: Headers): number | null {
  const value = headers.get('retry-after');
  if (value === null) return null;
  if (/^\d+$/.test(value)) return Number(value);
  // `Date.parse` alone makes dates of "-5" and "1.5" too.
  const at = /^[A-Z][a-z]{2,8},? /.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}
