import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type { ApiKey, ApiKeyWithText } from '../types.ts';

export class ApiKeys extends Resource {
  /** Newest first, never the keys themselves. */
  list(query: Query<'GET /v1/api-keys'> = {}, options?: CallOptions): List<Answer<'GET /v1/api-keys'>, ApiKey> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/api-keys', { query: { ...query, cursor } }, options),
      (page) => page.apiKeys,
    );
  }

  /** Makes one. `key` is in this answer and in no other. */
  create(apiKey: Body<'POST /v1/api-keys'>, options?: CallOptions): Promise<ApiKeyWithText> {
    return this.connection.call('POST /v1/api-keys', { body: apiKey }, options);
  }

  /** It is refused from that moment on. */
  async revoke(id: string, options?: CallOptions): Promise<void> {
    await this.connection.call('DELETE /v1/api-keys/{id}', { path: { id } }, options);
  }
}
