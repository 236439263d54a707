import { ApiFailure, CliFailure } from './failure.ts';

export interface Connection {
  /** Address of the server, without a slash at its end. */
  url: string;
  apiKey: string;
  /** The tenant an operator's key acts for; null = the key's own. */
  tenant: string | null;
}

export interface Call {
  query?: Readonly<Record<string, string | number | undefined>>;
  /** JSON text. */
  body?: string;
  headers?: Readonly<Record<string, string | undefined>>;
}

export interface Answer<Body> {
  status: number;
  headers: Headers;
  body: Body;
}

const answerTimeoutMs = 30_000;

/**
 * Calls the API of a running server. The caller says what `Body` the contract promises; only that it is JSON is checked.
 * Throws {@link ApiFailure} with what the server says, {@link CliFailure} where no server is or something else answers.
 */
export async function callApi<Body>(
  connection: Connection,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  call: Call = {},
): Promise<Answer<Body>> {
  const headers = new Headers({ authorization: `Bearer ${connection.apiKey}`, accept: 'application/json' });
  if (connection.tenant !== null) headers.set('posthorn-tenant', connection.tenant);
  if (call.body !== undefined) headers.set('content-type', 'application/json');
  for (const [name, value] of Object.entries(call.headers ?? {})) if (value !== undefined) headers.set(name, value);

  const response = await reach(connection.url, path + queryText(call.query), {
    method,
    headers,
    ...(call.body === undefined ? {} : { body: call.body }),
  });
  const body = parseBody(response.text);
  if (response.status >= 400 && isObject(body)) throw new ApiFailure(response.status, body, waitOf(response.headers));
  if (response.status >= 300 || (body === undefined && response.status !== 204)) {
    throw new CliFailure(
      `${connection.url} answers (HTTP ${response.status}), but not as Posthorn does; check --url or POSTHORN_URL`,
    );
  }
  return { status: response.status, headers: response.headers, body: body as Body };
}

async function reach(
  url: string,
  path: string,
  init: RequestInit,
): Promise<{ status: number; headers: Headers; text: string }> {
  try {
    // A redirect could carry the key to somebody else.
    const response = await fetch(url + path, {
      ...init,
      redirect: 'manual',
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  } catch (error) {
    throw new CliFailure(describeConnectFailure(url, error as Error), 1, error);
  }
}

function describeConnectFailure(url: string, error: Error): string {
  if (error.name === 'TimeoutError') return `${url} did not answer within ${answerTimeoutMs / 1000} s`;
  const cause = (error.cause ?? error) as NodeJS.ErrnoException;
  if (cause.code === 'ECONNREFUSED') {
    return `nothing answers at ${url}; is Posthorn running? Start it with \`npm start\` or \`posthorn dev\``;
  }
  if (cause.code === 'ENOTFOUND') return `the host of ${url} is unknown; check --url or POSTHORN_URL`;
  return `${url} cannot be reached: ${cause.message}; check --url or POSTHORN_URL`;
}

function waitOf(headers: Headers): number | null {
  const seconds = Number(headers.get('retry-after') ?? NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}

function queryText(query: Call['query'] = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.append(name, String(value));
  return search.size === 0 ? '' : `?${search.toString()}`;
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
