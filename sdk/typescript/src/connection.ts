import { waitBefore } from './backoff.ts';
import { readAnswer, readText } from './answer.ts';
import { errorOf, PosthornError } from './error.ts';
import type { Operations } from './types.ts';
import { toHex } from './verify/bytes.ts';
import { version } from './version.ts';

/** Settings of a client. */
export interface PosthornOptions {
  /** Where Posthorn is: `https://posthorn.example.com`. A path before `/v1` is kept. */
  baseUrl: string;
  /** Without one, only what needs none can be called: sign-up, public keys, health. */
  apiKey?: string;
  /** The tenant that an operator's key acts for; default the server's. Other keys act for their own. */
  tenant?: string;
  /** Longest that one attempt may take, from connecting to the last byte; default 30,000. */
  timeoutMs?: number;
  /** Attempts after the first that failed; default 2. See the README for what is tried again. */
  maxRetries?: number;
  /** Default the runtime's `fetch`. */
  fetch?: typeof fetch;
  /** Sent with every request. */
  headers?: Readonly<Record<string, string>>;
}

/** Settings of one call, before those of the client. */
export interface CallOptions {
  /** Ends the call, also while it waits to try again; it then rejects with the signal's reason. */
  signal?: AbortSignal;
  tenant?: string;
  timeoutMs?: number;
  maxRetries?: number;
  headers?: Readonly<Record<string, string>>;
}

/** Of calls that make something. */
export interface CreateOptions extends CallOptions {
  /** The same key makes it once, however often it is sent; default a random one for each call. */
  idempotencyKey?: string;
}

type Part<Name extends string, Value> = [Value] extends [never]
  ? unknown
  : Partial<Value> extends Value
    ? { [Key in Name]?: Value | undefined }
    : { [Key in Name]: Value };

/** What an operation takes. */
export type Given<Name extends keyof Operations> = Part<'path', Operations[Name]['path']> &
  Part<'query', Operations[Name]['query']> &
  Part<'body', Operations[Name]['body']>;

type QueryValue = string | number | boolean | Date | readonly string[] | undefined;

interface AnyGiven {
  path?: Record<string, string>;
  query?: Record<string, QueryValue>;
  body?: unknown;
}

/** Operations that make a repeat safe by a key. */
export type KeyedOperation = {
  [Name in keyof Operations]: Operations[Name]['takesIdempotencyKey'] extends true ? Name : never;
}[keyof Operations];

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_RETRIES = 2;
/** Timers that are longer go off at once. */
const MAX_TIMEOUT_MS = 2_147_483_647;

/** Statuses after which it may go better the next time. */
const passing = new Set([408, 429, 502, 503, 504]);
/** Those of them with which the server says that it did nothing. */
const untouched = new Set([429, 503]);

/** One attempt as `fetch` takes it. */
interface Attempt {
  url: string;
  method: string;
  headers: Headers;
  body: string | undefined;
}

/** Sends requests: headers, time limit, repeats, errors. Knows nothing of what they are about. */
export class Connection {
  readonly #baseUrl: string;
  // Private in earnest, so that no log of this object shows it.
  readonly #apiKey: string | undefined;
  readonly #options: PosthornOptions;

  constructor(options: PosthornOptions) {
    this.#baseUrl = checkBaseUrl((options as PosthornOptions | undefined)?.baseUrl);
    checkLimits(options);
    this.#apiKey = options.apiKey === undefined ? undefined : checkKey(options.apiKey);
    const { apiKey: _, ...rest } = options;
    this.#options = rest;
  }

  /** The answer's JSON, undefined where it has no body. Rejects with a {@link PosthornError}. */
  async call<Name extends keyof Operations>(
    name: Name,
    given: Given<Name>,
    options: CallOptions = {},
  ): Promise<Operations[Name]['answer']> {
    return (await this.#send(name, given as AnyGiven, options, undefined)) as Operations[Name]['answer'];
  }

  /** The same with an `Idempotency-Key`, one for all attempts, so that all of them may be repeated. */
  async callOnce<Name extends KeyedOperation>(
    name: Name,
    given: Given<Name>,
    options: CreateOptions = {},
  ): Promise<Operations[Name]['answer']> {
    const key = options.idempotencyKey ?? toHex(globalThis.crypto.getRandomValues(new Uint8Array(16)));
    // An empty one would be none, and what is repeated under it would be done twice.
    if (!/^[!-~]{1,255}$/.test(key)) throw new TypeError('idempotencyKey: must be 1 to 255 visible ASCII characters');
    return (await this.#send(name, given as AnyGiven, options, key)) as Operations[Name]['answer'];
  }

  async #send(name: string, given: AnyGiven, options: CallOptions, key: string | undefined): Promise<unknown> {
    checkLimits(options);
    const attempt = this.#attemptOf(name, given, options, key);
    const { signal } = options;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const maxRetries = options.maxRetries ?? this.#options.maxRetries ?? DEFAULT_MAX_RETRIES;
    const isRepeatable = attempt.method !== 'POST' || key !== undefined;
    let mayBeDone = false;
    for (let retries = 0; ; retries++) {
      signal?.throwIfAborted();
      let failure: PosthornError;
      try {
        return await this.#try(attempt, timeoutMs, signal);
      } catch (error) {
        if (!(error instanceof PosthornError)) throw error;
        failure = error;
      }
      const { status } = failure;
      // An attempt before this one deleted it, and its answer got lost.
      if (status === 404 && attempt.method === 'DELETE' && mayBeDone) return undefined;
      const isUntouched = status !== null && untouched.has(status);
      const isPassing = status === null || passing.has(status);
      if (!isPassing || retries >= maxRetries || !(isRepeatable || isUntouched)) throw failure;
      const waitMs = waitBefore(retries, failure.retryAfterSeconds, Math.random());
      if (waitMs === null) throw failure;
      if (!isUntouched) mayBeDone = true;
      await sleep(waitMs, signal);
    }
  }

  #attemptOf(name: string, { path, query, body }: AnyGiven, options: CallOptions, key: string | undefined): Attempt {
    const space = name.indexOf(' ');
    const tenant = options.tenant ?? this.#options.tenant;
    // Made here, where a value that cannot be one is the caller's mistake and no failed attempt.
    const headers = new Headers({
      accept: 'application/json',
      'user-agent': `posthorn-sdk-typescript/${version}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(tenant === undefined ? {} : { 'posthorn-tenant': tenant }),
      ...(this.#apiKey === undefined ? {} : { authorization: `Bearer ${this.#apiKey}` }),
    });
    const own = { ...this.#options.headers, ...options.headers };
    for (const [header, value] of Object.entries(own)) headers.set(header, value);
    return {
      url: this.#baseUrl + fillIn(name.slice(space + 1), path ?? {}) + queryText(query ?? {}),
      method: name.slice(0, space),
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    };
  }

  /** One attempt within its time, which covers the whole answer. */
  async #try({ url, ...init }: Attempt, timeoutMs: number, signal: AbortSignal | undefined): Promise<unknown> {
    const send = this.#options.fetch ?? globalThis.fetch;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      controller.abort();
    }, timeoutMs);
    const stop = (): void => {
      controller.abort();
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const response = await send(url, { ...init, redirect: 'manual', signal: controller.signal });
      const text = await readText(response);
      if (!response.ok) throw errorOf(response, text);
      return readAnswer(response, text);
    } catch (error) {
      if (error instanceof PosthornError) throw error;
      if (signal?.aborted) throw signal.reason;
      if (controller.signal.aborted) {
        throw new PosthornError('TIMED_OUT', `No complete answer from ${originOf(url)} within ${timeoutMs} ms.`);
      }
      const reason = reasonOf(error);
      throw new PosthornError('CONNECTION_FAILED', `No answer from ${originOf(url)}: ${reason}`, { cause: error });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    }
  }
}

function checkBaseUrl(text: string | undefined): string {
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new TypeError('baseUrl: must be an absolute http or https URL, like "https://posthorn.example.com"');
  }
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    throw new TypeError('baseUrl: must not have a query, a fragment or credentials');
  }
  return url.href.replace(/\/+$/, '');
}

/** With `NaN`, which is what a variable that is not set becomes, calls would end at once, or be repeated for ever. */
function checkLimits({ timeoutMs = DEFAULT_TIMEOUT_MS, maxRetries = DEFAULT_MAX_RETRIES }: CallOptions): void {
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new TypeError(`timeoutMs: must be more than 0, and at most ${MAX_TIMEOUT_MS}`);
  }
  if (!Number.isInteger(maxRetries) || maxRetries < 0) {
    throw new TypeError('maxRetries: must be a whole number, 0 or more');
  }
}

/** `fetch` would refuse such a header with a message that holds the key. */
function checkKey(text: string): string {
  if (typeof text === 'string' && /^[!-~]+$/.test(text)) return text;
  throw new TypeError('apiKey: must be visible ASCII without spaces and line breaks');
}

/** The path with its names filled in. A segment `..` would reach another resource, however it is escaped. */
function fillIn(path: string, values: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value: unknown = values[name];
    if (typeof value !== 'string' || /^\.{0,2}$/.test(value)) throw new TypeError(`${name}: must be an id or a name`);
    return encodeURIComponent(value);
  });
}

/** Lists go out with commas between. */
function queryText(query: Record<string, QueryValue>): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    parts.set(name, value instanceof Date ? value.toISOString() : String(value));
  }
  return parts.size === 0 ? '' : `?${parts.toString()}`;
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = (): void => {
      clearTimeout(timer);
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the caller chose the reason
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

function originOf(url: string): string {
  return new URL(url).origin;
}

/** `fetch failed` says nothing; its cause does. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error as { cause?: { code?: unknown; message?: unknown } };
  const detail = cause?.message === undefined || cause.message === '' ? cause?.code : cause.message;
  return typeof detail === 'string' ? detail : error.message;
}
