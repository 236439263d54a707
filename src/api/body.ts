import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { PosthornError } from '../errors.ts';
import { JsonError, parseStrictJson } from '../model/json.ts';

const JSON_TYPE = 'application/json';
const JSON_WITH_CHARSET = /^application\/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i;

/**
 * Collects a request's body as text and calls back once. `limitBytes` bounds what is kept in memory; `setting` says
 * what raises it. Errors: UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE, BAD_REQUEST (not UTF-8, or cut off).
 *
 * A callback and not a promise: this is the way of every event.
 */
export function collectBody(
  request: IncomingMessage,
  limitBytes: number,
  done: (error: PosthornError | null, text: string) => void,
): void {
  const { headers } = request;
  const length = headers['content-length'];
  if (length === undefined ? headers['transfer-encoding'] === undefined : length === '0') {
    request.resume();
    done(null, '');
    return;
  }
  if (headers['content-type'] !== JSON_TYPE || headers['content-encoding'] !== undefined) {
    const problem = mediaTypeProblem(headers['content-type'], headers['content-encoding']);
    if (problem !== null) {
      done(problem, '');
      return;
    }
  }
  if (length !== undefined && Number(length) > limitBytes) {
    done(tooLarge('The body', limitBytes), '');
    return;
  }

  let first: Buffer | null = null;
  let more: Buffer[] | null = null;
  let size = 0;
  let isDone = false;
  function finish(error: PosthornError | null, text: string): void {
    if (isDone) return;
    isDone = true;
    done(error, text);
  }
  request.on('data', (chunk: Buffer) => {
    if (isDone) return;
    size += chunk.length;
    if (size > limitBytes) finish(tooLarge('The body', limitBytes), '');
    else if (first === null) first = chunk;
    else (more ??= [first]).push(chunk);
  });
  request.on('end', () => {
    const bytes = more === null ? first : Buffer.concat(more, size);
    if (bytes === null) finish(null, '');
    else if (isUtf8(bytes)) finish(null, bytes.toString('utf8'));
    else finish(new PosthornError('BAD_REQUEST', 'body: is not valid UTF-8; send JSON in UTF-8'), '');
  });
  // Nobody is there to read an answer then, but whoever waits must be told.
  request.on('error', () =>
    finish(new PosthornError('BAD_REQUEST', 'body: the connection ended before it was whole'), ''),
  );
}

/** Parses a body, or throws BAD_REQUEST that says what to correct. */
export function parseBody(text: string): unknown {
  if (text === '') throw bodyProblem('is empty; send a JSON object');
  try {
    return parseStrictJson(text);
  } catch (error) {
    if (error instanceof JsonError) throw bodyProblem(error.message);
    throw error;
  }
}

/** `what` begins the sentence: `The body`, `events[3]`. */
export function tooLarge(what: string, limitBytes: number): PosthornError {
  return new PosthornError(
    'PAYLOAD_TOO_LARGE',
    `${what} is larger than ${limitBytes} bytes. Send less, or have the operator raise POSTHORN_MAX_BODY.`,
  );
}

function bodyProblem(message: string): PosthornError {
  return new PosthornError('BAD_REQUEST', `body: ${message}`, { fields: [{ field: 'body', message }] });
}

function mediaTypeProblem(type: string | undefined, encoding: string | undefined): PosthornError | null {
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return new PosthornError('UNSUPPORTED_MEDIA_TYPE', 'The body is compressed; send it without Content-Encoding.');
  }
  if (type !== undefined && JSON_WITH_CHARSET.test(type)) return null;
  const found = type === undefined ? 'missing' : JSON.stringify(type.slice(0, 80));
  return new PosthornError(
    'UNSUPPORTED_MEDIA_TYPE',
    `Content-Type is ${found}; send "Content-Type: application/json".`,
  );
}
