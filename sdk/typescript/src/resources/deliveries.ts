import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type { Delivery, DeliveryDetail } from '../types.ts';

/** One event for one webhook each. */
export class Deliveries extends Resource {
  /** Newest first. */
  list(query: Query<'GET /v1/deliveries'> = {}, options?: CallOptions): List<Answer<'GET /v1/deliveries'>, Delivery> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/deliveries', { query: { ...query, cursor } }, options),
      (page) => page.deliveries,
    );
  }

  /** With every attempt. */
  get(id: string, options?: CallOptions): Promise<DeliveryDetail> {
    return this.connection.call('GET /v1/deliveries/{id}', { path: { id } }, options);
  }

  /** Sends the original bytes again, signed anew. */
  redeliver(id: string, options?: CallOptions): Promise<Delivery> {
    return this.connection.call('POST /v1/deliveries/{id}/redeliver', { path: { id } }, options);
  }

  /** The same for all that a filter finds; `dryRun` only counts them, `ratePerSecond` spreads them out. */
  redeliverMany(
    body: Body<'POST /v1/deliveries/redeliver'>,
    options?: CallOptions,
  ): Promise<Answer<'POST /v1/deliveries/redeliver'>> {
    return this.connection.call('POST /v1/deliveries/redeliver', { body }, options);
  }
}
