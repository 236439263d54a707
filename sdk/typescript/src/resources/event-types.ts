import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Query } from '../resource.ts';
import type { EventType, EventTypeContent, EventTypeCreate } from '../types.ts';

/** The catalogue: what events there are, and the JSON Schema their data must match. */
export class EventTypes extends Resource {
  /** By name. */
  list(
    query: Query<'GET /v1/event-types'> = {},
    options?: CallOptions,
  ): List<Answer<'GET /v1/event-types'>, EventType> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/event-types', { query: { ...query, cursor } }, options),
      (page) => page.eventTypes,
    );
  }

  /** Registers one that is not there yet. */
  create(eventType: EventTypeCreate, options?: CallOptions): Promise<EventType> {
    return this.connection.call('POST /v1/event-types', { body: eventType }, options);
  }

  get(name: string, options?: CallOptions): Promise<EventType> {
    return this.connection.call('GET /v1/event-types/{name}', { path: { name } }, options);
  }

  /** Registers or replaces one. */
  put(name: string, content: EventTypeContent, options?: CallOptions): Promise<EventType> {
    return this.connection.call('PUT /v1/event-types/{name}', { path: { name }, body: content }, options);
  }

  /** Events of it stay. */
  async delete(name: string, options?: CallOptions): Promise<void> {
    await this.connection.call('DELETE /v1/event-types/{name}', { path: { name } }, options);
  }
}
