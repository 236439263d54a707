/**
 * The one table of errors: what the API answers, what docs/errors.md and spec/errors.json are made from, and what
 * clients may rely on. `code` is stable; `title` and `remedy` are for people.
 */
export const errorTable = {
  BAD_REQUEST: {
    status: 400,
    title: 'The request is not valid',
    remedy: 'Correct the fields named in `errors` and send it again.',
  },
  UNAUTHORIZED: {
    status: 401,
    title: 'No valid API key',
    remedy: 'Send `Authorization: Bearer <key>` with a key that is neither revoked nor expired.',
  },
  PLAN_LIMIT_EXCEEDED: {
    status: 402,
    title: 'The plan allows no more of these',
    remedy: 'Delete what is not needed, or ask the operator for a larger plan.',
  },
  PLAN_FEATURE_REQUIRED: {
    status: 402,
    title: 'The plan does not include this',
    remedy: 'Ask the operator for a plan that includes the feature that the message names.',
  },
  FORBIDDEN: {
    status: 403,
    title: 'The key may not do this',
    remedy: 'Use a key with the role that the message names.',
  },
  NOT_FOUND: {
    status: 404,
    title: 'There is no such thing',
    remedy: 'Check the id, and that the key belongs to the tenant that owns it.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    title: 'This path does not take this method',
    remedy: 'Use one of the methods in the `Allow` header.',
  },
  REQUEST_TIMEOUT: {
    status: 408,
    title: 'The request did not arrive in time',
    remedy: 'Send the whole request without pausing.',
  },
  IDEMPOTENCY_CONFLICT: {
    status: 409,
    title: 'The idempotency key was used with another body',
    remedy: 'Use a new key for a new event; repeat a key only with the same body.',
  },
  INVALID_STATE: {
    status: 409,
    title: 'That cannot be done in its present state',
    remedy: 'Read it again; the message names the state and what leads out of it.',
  },
  ALREADY_EXISTS: {
    status: 409,
    title: 'It exists already',
    remedy: 'Choose another name, or change the one that exists.',
  },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    title: 'The body is too large',
    remedy: 'Send less, split the batch, or have the operator raise the limit.',
  },
  URI_TOO_LONG: { status: 414, title: 'The path is too long', remedy: 'Shorten the path or the query.' },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    title: 'The body is not JSON',
    remedy: 'Send `Content-Type: application/json`.',
  },
  UNKNOWN_EVENT_TYPE: {
    status: 422,
    title: 'The event type is not in the catalogue',
    remedy: 'Register it with `POST /v1/event-types`, or use one of those that the message names.',
  },
  INVALID_EVENT_DATA: {
    status: 422,
    title: 'The event does not match the schema of its type',
    remedy: 'Correct the paths named in `errors`.',
  },
  TOO_MANY_REQUESTS: { status: 429, title: 'Too many requests', remedy: 'Wait as long as `Retry-After` says.' },
  HEADERS_TOO_LARGE: {
    status: 431,
    title: 'The request headers are too large',
    remedy: 'Send less than 16 KiB of headers.',
  },
  INTERNAL: {
    status: 500,
    title: 'Something went wrong on our side',
    remedy: 'Try again; if it stays, give the operator the `requestId`.',
  },
  OVERLOADED: {
    status: 503,
    title: 'The queue is full',
    remedy: 'Wait as long as `Retry-After` says, and repeat with the same idempotency key.',
  },
  STORE_UNAVAILABLE: {
    status: 503,
    title: 'The store does not take writes now',
    remedy: 'Wait as long as `Retry-After` says, and repeat with the same idempotency key.',
  },
  DELIVERS_ONLY: {
    status: 503,
    title: 'This node only delivers',
    remedy: 'Send the request to a node with the role `api`.',
  },
  SHUTTING_DOWN: {
    status: 503,
    title: 'This node is stopping',
    remedy: 'Repeat at once; another node or the next start answers.',
  },
  STORE_FULL: {
    status: 503,
    title: 'The disk of the store is full',
    remedy: 'Nothing was accepted. Free space or lower the retention; accepted events are safe.',
  },
} as const satisfies Record<string, { status: number; title: string; remedy: string }>;

export type ErrorCode = keyof typeof errorTable;

/** One thing wrong with one field: a JSON pointer-like path (`events[0]`, `data.total`) and what to do about it. */
export interface FieldError {
  field: string;
  message: string;
}

/** An error of the table, thrown by verbs that cannot do what was asked. Expected outcomes of deliveries are values instead. */
export class PosthornError extends Error {
  override readonly name = 'PosthornError';
  readonly code: ErrorCode;
  readonly fields: readonly FieldError[];
  /** Seconds after which to try again, where waiting helps. */
  readonly retryAfterSeconds: number | null;

  constructor(
    code: ErrorCode,
    message?: string,
    options: { fields?: readonly FieldError[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(
      message ?? `${errorTable[code].title}. ${errorTable[code].remedy}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.fields = options.fields ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
  }

  get status(): number {
    return errorTable[this.code].status;
  }
}

/** One field is wrong: 400 that names it. */
export function badField(field: string, message: string): PosthornError {
  return new PosthornError('BAD_REQUEST', `${field}: ${message}`, { fields: [{ field, message }] });
}

/** Not every store keeps U+0000 in a text, so none gets it. Throws BAD_REQUEST that names the field. */
export function refuseZero(field: string, text: string | null | undefined): void {
  if (text?.includes('\0')) throw badField(field, 'holds a zero character (U+0000); leave it out');
}

/** There is no such thing, or it is somebody else's: the two look alike on purpose. */
export function notFound(what: string, id: string): PosthornError {
  return new PosthornError('NOT_FOUND', `There is no ${what} ${JSON.stringify(id.slice(0, 80))} here.`);
}
