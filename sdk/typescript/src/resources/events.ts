import type { CallOptions, CreateOptions } from '../connection.ts';
import { PosthornError } from '../error.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type { Event, EventDetail, Published, PublishRequest } from '../types.ts';

/** What happened: sent in by you, stored before the answer, delivered to every webhook that subscribed. */
export class Events extends Resource {
  /**
   * Sends one event in. Once this resolves it is on disk, and will be delivered. It carries an idempotency key, so an
   * attempt that is repeated makes no second event; give `id` or `idempotencyKey` to repeat a call of your own.
   */
  async send(event: PublishRequest, options?: CreateOptions): Promise<Published> {
    const published = await this.connection.callOnce('POST /v1/events', { body: event }, options);
    if (typeof (published as Partial<Published>).id !== 'string') throw notStored();
    return published;
  }

  /** Up to 1,000 at once, all or none. */
  async sendBatch(
    events: readonly PublishRequest[],
    options?: CreateOptions,
  ): Promise<Answer<'POST /v1/events/batch'>> {
    const published = await this.connection.callOnce('POST /v1/events/batch', { body: { events } }, options);
    if ((published as Partial<typeof published>).events?.length !== events.length) throw notStored();
    return published;
  }

  /** Newest first, without their data. */
  list(query: Query<'GET /v1/events'> = {}, options?: CallOptions): List<Answer<'GET /v1/events'>, Event> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/events', { query: { ...query, cursor } }, options),
      (page) => page.events,
    );
  }

  /** With its data and deliveries. Numbers in `data` past 2^53 lose digits, as JavaScript parses them. */
  get(id: string, options?: CallOptions): Promise<EventDetail> {
    return this.connection.call('GET /v1/events/{id}', { path: { id } }, options);
  }

  /** Sends it again, to all webhooks that got it or match it now, or to one. */
  replay(
    id: string,
    body: Body<'POST /v1/events/{id}/replay'> = {},
    options?: CallOptions,
  ): Promise<Answer<'POST /v1/events/{id}/replay'>> {
    return this.connection.call('POST /v1/events/{id}/replay', { path: { id }, body }, options);
  }
}

/** For a success that some other server gives, which stores no events. */
function notStored(): PosthornError {
  return new PosthornError(
    'UNEXPECTED_RESPONSE',
    'The answer is not Posthorn’s, so nothing may be stored; check baseUrl.',
  );
}
