import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import type { Static, TObject, TSchema } from 'typebox';
import type { Engine } from '../delivery/engine.ts';
import type { ErrorCode } from '../errors.ts';
import type { Scope } from '../model/scope.ts';
import type { Role } from '../model/tenant.ts';
import type { Face } from './face.ts';
import type { KeyVerifier } from './keys.ts';
import type { People } from './people.ts';
import type { Principal } from './principal.ts';

/** What every route can reach. */
export interface ApiContext {
  readonly engine: Engine;
  readonly keys: KeyVerifier;
  readonly people: People;
  /** Largest body, bytes, and so the largest event; a route may take a multiple ({@link Route.bodies}). */
  readonly maxBodyBytes: number;
  readonly version: string;
  /** The instance's waits between attempts, for endpoints that have none of their own. */
  readonly retryScheduleMs: readonly number[];
  /** True from when the node was asked to stop: it takes no changes then. */
  readonly isStopping: () => boolean;
  readonly openApiJson: () => string;
  readonly log: Logger | null;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The names in a path: `/v1/webhooks/:id` has `{ id: string }`. */
export type Params<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? { [Key in Name]: string } & Params<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? { [Key in Name]: string }
    : unknown;

/** One request, checked: what a route's handler gets. */
export interface Call<Parameters = Record<string, string>, Query = unknown, Body = unknown> {
  readonly api: ApiContext;
  readonly principal: Principal;
  readonly tenantId: string;
  readonly params: Parameters;
  readonly query: Query;
  readonly body: Body;
  /** The body's JSON text as it came; `''` where there was none. */
  readonly text: string;
  readonly idempotencyKey: string | undefined;
  /** For cookies and the address it came from; its body is read already. */
  readonly request: IncomingMessage;
  /** Headers of the answer. */
  readonly replyHeaders: Record<string, string>;
}

/** A JSON text that goes out as it is, so that an event's data keeps its bytes. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A page for people: goes out as HTML. */
export class HtmlText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A route: what Fastify serves and what the OpenAPI document says, from one declaration. */
export interface Route {
  readonly method: Method;
  readonly path: string;
  /** The least role that may; `public` asks for no key. */
  readonly role: Role | 'public';
  /** What a key with scopes must have; absent: such keys may not. */
  readonly scope?: Scope;
  /** The handler makes a tenant that is named for the first time, or leaves it: a dry run must. */
  readonly makesTenantItself?: true;
  /** Whose way of speaking it has; absent: the native one. */
  readonly face?: Face;
  /** Name of the operation for generated clients. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly query?: TObject;
  /** Absent: a body is ignored. */
  readonly body?: TSchema;
  /** The handler checks the body itself, as `body` says. */
  readonly checksBodyItself?: boolean;
  /** An empty body counts as `{}`. */
  readonly bodyIsOptional?: boolean;
  /** Limit of the body, in multiples of the instance's; default 1. */
  readonly bodies?: number;
  /** Takes the `Idempotency-Key` header. */
  readonly takesIdempotencyKey?: boolean;
  readonly answer: {
    readonly status: 200 | 201 | 202 | 204;
    readonly description: string;
    /** Absent where the answer has no body, or is a page for people. */
    readonly schema?: TSchema;
    /** True where the answer is a page for people ({@link HtmlText}). */
    readonly isHtml?: boolean;
    readonly headers?: Readonly<Record<string, string>>;
  };
  /** Errors beside those that any route with such parts can give. */
  readonly errors?: readonly ErrorCode[];
  /** A body that is accepted. */
  readonly example?: unknown;
  /** Gives the answer's body; `ingest` is the way of every event, which ingest.ts serves. */
  readonly handle: ((call: Call) => unknown) | 'ingest';
}

/** Declares a route; its handler's types follow from path, query and body. */
export function route<const Path extends string, Query extends TObject = TObject, Body extends TSchema = TSchema>(
  definition: Omit<Route, 'path' | 'query' | 'body' | 'handle'> & {
    path: Path;
    query?: Query;
    body?: Body;
    handle: ((call: Call<Params<Path>, Static<Query>, Static<Body>>) => unknown) | 'ingest';
  },
): Route {
  return definition as unknown as Route;
}
