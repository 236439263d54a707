import type { TSchema } from 'typebox';
import type { ErrorCode } from '../errors.ts';
import type { Problem } from './problem.ts';

/**
 * A product's way of speaking: where a request says who it is from, and what errors and limits look like. Its routes
 * differ in paths and field names only; whatever they do, the engine does.
 */
export interface Face {
  readonly name: 'posthorn' | 'grantiva' | 'gravv';
  /** `bearer`: `Authorization: Bearer …`, or a session cookie where that is missing. `api-key`: the header `Api-Key`. */
  readonly credentials: 'bearer' | 'api-key';
  /** What `X-RateLimit-Reset` holds: seconds to go, or a unix time. */
  readonly rateLimitReset: 'seconds' | 'unix';
  /** True for paths that are this face's, also where no route is: their 404 and 405 speak its language. */
  owns(path: string): boolean;
  /** What an error looks like from outside. */
  problemOf(error: unknown, requestId: string): Problem;
  /** Its errors, for the OpenAPI document: their body, and the statuses that one of the table can have here. */
  readonly errors: {
    readonly contentType: string;
    readonly schema: TSchema;
    statusesOf(code: ErrorCode): readonly number[];
  };
}
