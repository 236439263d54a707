import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type { Plan } from '../types.ts';

/** How much a tenant may have and do. For operators. */
export class Plans extends Resource {
  /** By name. */
  list(query: Query<'GET /v1/plans'> = {}, options?: CallOptions): List<Answer<'GET /v1/plans'>, Plan> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/plans', { query: { ...query, cursor } }, options),
      (page) => page.plans,
    );
  }

  get(name: string, options?: CallOptions): Promise<Plan> {
    return this.connection.call('GET /v1/plans/{name}', { path: { name } }, options);
  }

  /** Makes or replaces one. */
  put(name: string, content: Body<'PUT /v1/plans/{name}'>, options?: CallOptions): Promise<Plan> {
    return this.connection.call('PUT /v1/plans/{name}', { path: { name }, body: content }, options);
  }

  async delete(name: string, options?: CallOptions): Promise<void> {
    await this.connection.call('DELETE /v1/plans/{name}', { path: { name } }, options);
  }
}
