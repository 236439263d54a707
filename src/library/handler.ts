import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { Door } from '../posthorn.ts';

/** Takes a request of Node's `http`; `next` is called for paths that are not Posthorn's, where there is one. */
export type Handler = (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void) => void;

export interface HandlerOptions {
  /** Where it is mounted, where the framework leaves that in the URL: `/webhooks`. Express takes it off by itself. */
  prefix?: string;
}

/** @param doorOf throws while there is none: before `start()` */
export function createHandler(doorOf: () => Promise<Door>, { prefix = '' }: HandlerOptions = {}): Handler {
  const strip = prefixStripper(prefix);
  return (request, response, next) => {
    doorOf().then(
      (door) => {
        const url = strip(request.url ?? '/');
        if (url === null || (next && !door.owns(pathOf(url)))) {
          if (next) next();
          else answer(response, 404, 'NOT_FOUND', `Posthorn is mounted at ${prefix}; this is not below it.`);
          return;
        }
        // A body that somebody read is gone: waiting for it would hang until the time-out.
        if (request.readableEnded && hasBody(request)) {
          const remedy = 'mount Posthorn in front of body parsers (Express), or set bodyParser: false (Next.js pages)';
          answer(response, 500, 'INTERNAL', `The body was read before Posthorn got the request; ${remedy}.`);
          return;
        }
        request.url = url;
        door.handle(request, response);
      },
      (error: unknown) => {
        if (next) next(error);
        else answer(response, 503, 'SHUTTING_DOWN', (error as Error).message);
      },
    );
  };
}

/** The same for frameworks with the Request and Response of the Fetch standard: Next.js' app router, Hono. */
export async function handleFetch(
  doorOf: () => Promise<Door>,
  request: Request,
  { prefix = '' }: HandlerOptions = {},
): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const url = prefixStripper(prefix)(pathname + search);
  if (url === null) {
    return Response.json(problem('NOT_FOUND', `Posthorn is mounted at ${prefix}; this is not below it.`), {
      status: 404,
    });
  }
  let door: Door;
  try {
    door = await doorOf();
  } catch (error) {
    return Response.json(problem('SHUTTING_DOWN', (error as Error).message), { status: 503 });
  }
  // Read by the route, and only as far as it allows: a body can be of any size, and its sender a stranger.
  const payload = request.body === null ? undefined : Readable.fromWeb(request.body);
  payload?.on('error', () => undefined); // the sender went away: the route sees a body cut short
  const headers = Object.fromEntries(request.headers);
  if (payload && headers['content-length'] === undefined) headers['transfer-encoding'] = 'chunked';
  const {
    statusCode,
    headers: answered,
    rawPayload,
  } = await door.inject({ method: request.method, url, headers, payload });
  payload?.destroy();
  const kept = new Headers();
  for (const [name, value] of Object.entries(answered)) {
    if (name === 'content-length' || name === 'connection' || name === 'transfer-encoding') continue;
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) kept.append(name, String(one));
  }
  const isEmpty = statusCode === 204 || statusCode === 304 || request.method === 'HEAD';
  return new Response(isEmpty ? null : new Uint8Array(rawPayload), { status: statusCode, headers: kept });
}

function prefixStripper(prefix: string): (url: string) => string | null {
  const base = prefix.replace(/\/+$/, '');
  if (base !== '' && !base.startsWith('/')) throw new Error(`prefix: is ${JSON.stringify(prefix)}; begin it with "/"`);
  return (url) => {
    if (base === '') return url;
    if (!url.startsWith(base)) return null;
    const rest = url.slice(base.length);
    if (rest === '' || rest.startsWith('?')) return `/${rest}`;
    return rest.startsWith('/') ? rest : null;
  };
}

function pathOf(url: string): string {
  return url.split('?', 1)[0]!;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function problem(code: string, message: string): object {
  return { code, message };
}

function answer(response: ServerResponse, status: number, code: string, message: string): void {
  const body = JSON.stringify(problem(code, message));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
