import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Query } from '../resource.ts';
import type { Delivery } from '../types.ts';

/** Deliveries whose schedule is used up. */
export class DeadLetters extends Resource {
  /** Newest first. */
  list(
    query: Query<'GET /v1/dead-letters'> = {},
    options?: CallOptions,
  ): List<Answer<'GET /v1/dead-letters'>, Answer<'GET /v1/dead-letters'>['deadLetters'][number]> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/dead-letters', { query: { ...query, cursor } }, options),
      (page) => page.deadLetters,
    );
  }

  /** Sends one again. */
  retry(id: string, options?: CallOptions): Promise<Delivery> {
    return this.connection.call('POST /v1/dead-letters/{id}/retry', { path: { id } }, options);
  }

  /** Marks one as seen. */
  acknowledge(id: string, options?: CallOptions): Promise<Delivery> {
    return this.connection.call('POST /v1/dead-letters/{id}/acknowledge', { path: { id } }, options);
  }
}
