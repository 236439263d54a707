import type { CallOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type { Member } from '../types.ts';

/** The people of a tenant. */
export class Members extends Resource {
  /** Newest first. */
  list(query: Query<'GET /v1/members'> = {}, options?: CallOptions): List<Answer<'GET /v1/members'>, Member> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/members', { query: { ...query, cursor } }, options),
      (page) => page.members,
    );
  }

  create(member: Body<'POST /v1/members'>, options?: CallOptions): Promise<Member> {
    return this.connection.call('POST /v1/members', { body: member }, options);
  }

  get(id: string, options?: CallOptions): Promise<Member> {
    return this.connection.call('GET /v1/members/{id}', { path: { id } }, options);
  }

  update(id: string, change: Body<'PATCH /v1/members/{id}'>, options?: CallOptions): Promise<Member> {
    return this.connection.call('PATCH /v1/members/{id}', { path: { id }, body: change }, options);
  }

  /** Ends their sessions and keys too. The last owner stays. */
  async delete(id: string, options?: CallOptions): Promise<void> {
    await this.connection.call('DELETE /v1/members/{id}', { path: { id } }, options);
  }
}
