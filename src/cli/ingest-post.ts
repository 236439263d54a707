import { IngestFailure } from '../ingest/failure.ts';
import type { Post, PostOutcome } from '../ingest/publisher.ts';
import { callApi, type Connection } from './client.ts';
import { ApiFailure, CliFailure } from './failure.ts';

/**
 * Publishing through the API of a running server. What is wrong with an event is told from what is wrong with the
 * request as a whole, such as its key: that ends the work, since no message is to blame.
 */
export function createPost(connection: Connection): Post {
  return async (body) => {
    try {
      await callApi(connection, 'POST', '/v1/events/batch', { body });
      return { kind: 'accepted' };
    } catch (error) {
      return outcomeOf(error);
    }
  };
}

/**
 * Asks whom the key speaks for, so that a wrong one is told at the start and not with the first message. A server that is
 * away is none of that: it is waited for.
 */
export async function checkKey(connection: Connection): Promise<void> {
  try {
    await callApi(connection, 'GET', '/v1/whoami');
  } catch (error) {
    if (error instanceof ApiFailure ? [400, 401, 404].includes(error.status) : isSomethingElse(error)) throw error;
  }
}

function outcomeOf(error: unknown): PostOutcome {
  if (!(error instanceof ApiFailure)) {
    if (error instanceof CliFailure) return { kind: 'later', reason: error.message, afterMs: null };
    throw error;
  }
  const { status, problem, message, retryAfterSeconds } = error;
  if (status === 408 || status === 429 || status >= 500) {
    return { kind: 'later', reason: message, afterMs: retryAfterSeconds === null ? null : retryAfterSeconds * 1000 };
  }
  if (status === 413 || status === 422 || problem.code === 'IDEMPOTENCY_CONFLICT' || isAboutEvent(problem.errors)) {
    return { kind: 'refused', reason: message };
  }
  throw new IngestFailure(message, { cause: error });
}

function isAboutEvent(errors: unknown): boolean {
  const fields = (Array.isArray(errors) ? errors : []) as { field?: unknown }[];
  return fields.some(({ field }) => typeof field === 'string' && field.startsWith('events['));
}

/** Something answers there that is no Posthorn, rather than nothing. */
function isSomethingElse(error: unknown): boolean {
  return error instanceof CliFailure && error.cause === undefined;
}
