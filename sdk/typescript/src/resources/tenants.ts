import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type { Tenant } from '../types.ts';

/** Whose webhooks and events they are. For operators. */
export class Tenants extends Resource {
  /** By id. */
  list(query: Query<'GET /v1/tenants'> = {}, options?: CallOptions): List<Answer<'GET /v1/tenants'>, Tenant> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/tenants', { query: { ...query, cursor } }, options),
      (page) => page.tenants,
    );
  }

  create(tenant: Body<'POST /v1/tenants'>, options?: CallOptions): Promise<Tenant> {
    return this.connection.call('POST /v1/tenants', { body: tenant }, options);
  }

  get(id: string, options?: CallOptions): Promise<Tenant> {
    return this.connection.call('GET /v1/tenants/{id}', { path: { id } }, options);
  }

  update(id: string, change: Body<'PATCH /v1/tenants/{id}'>, options?: CallOptions): Promise<Tenant> {
    return this.connection.call('PATCH /v1/tenants/{id}', { path: { id }, body: change }, options);
  }
}
