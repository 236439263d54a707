import type { ServerResponse } from 'node:http';
import { errorTable, PosthornError, type ErrorCode } from '../errors.ts';
import { newId, prefixes } from '../model/id.ts';

/** An error as it goes out. */
export interface Problem {
  status: number;
  /** Without `content-length`. */
  headers: Record<string, string>;
  body: string;
}

/** Of the fields that are wrong, the answer names the first ones. */
export const MAX_FIELDS = 20;
/** Where nobody said how long to wait. */
const DEFAULT_RETRY_SECONDS = 1;

/** The id by which an answer is found in the log. */
export function newRequestId(): string {
  return prefixes.request + newId(Date.now());
}

/** `BAD_REQUEST` → `bad-request`: the anchor in docs/errors.md. */
export function anchorOf(code: ErrorCode): string {
  return code.toLowerCase().replaceAll('_', '-');
}

/** Whatever is not of the error table is `INTERNAL` and says nothing of itself. */
export function knownError(error: unknown): PosthornError {
  return error instanceof PosthornError ? error : new PosthornError('INTERNAL');
}

/** The headers of an error, whatever its body looks like. `challenge`: what a 401 asks for (RFC 9110, section 11.6.1). */
export function problemHeaders(
  { status, retryAfterSeconds }: PosthornError,
  requestId: string,
  { contentType, challenge }: { contentType: string; challenge: string },
): Record<string, string> {
  const headers: Record<string, string> = {
    'content-type': contentType,
    'cache-control': 'no-store',
    'x-request-id': requestId,
  };
  if (status === 401) headers['www-authenticate'] = challenge;
  if (status === 503 || status === 429 || retryAfterSeconds !== null) {
    headers['retry-after'] = String(retryAfterSeconds ?? DEFAULT_RETRY_SECONDS);
  }
  return headers;
}

/** RFC 9457 (`application/problem+json`), and `message` and `code` for those who read these. */
export function problemOf(error: unknown, requestId: string): Problem {
  const known = knownError(error);
  const { code, status, message } = known;
  const body = JSON.stringify({
    type: `/errors#${anchorOf(code)}`,
    title: errorTable[code].title,
    status,
    detail: message,
    code,
    message,
    requestId,
    ...(known.fields.length > 0 ? { errors: known.fields.slice(0, MAX_FIELDS) } : {}),
  });
  const headers = problemHeaders(known, requestId, { contentType: PROBLEM_CONTENT_TYPE, challenge: 'Bearer' });
  return { status, headers, body };
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

/**
 * Answers on a response that Fastify does not hold (any more). Does nothing where it is too late. What still comes of
 * the body is read and thrown away, by Node or by collectBody's own listeners, so that the connection can go on.
 */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(problem.status, { ...problem.headers, 'content-length': Buffer.byteLength(problem.body) });
  response.end(problem.body);
}
