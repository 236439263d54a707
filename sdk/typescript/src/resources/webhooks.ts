import type { CallOptions, CreateOptions } from '../connection.ts';
import { List } from '../list.ts';
import { Resource, type Answer, type Body, type Query } from '../resource.ts';
import type {
  TestResult,
  Webhook,
  WebhookCreate,
  WebhookDelivery,
  WebhookStats,
  WebhookUpdate,
  WebhookWithSecret,
} from '../types.ts';

type DeliveryQuery = Query<'GET /v1/webhooks/{id}/deliveries'>;
type DeliveryPage = Answer<'GET /v1/webhooks/{id}/deliveries'>;

/** Endpoints: a URL, the event types it gets, and how. */
export class Webhooks extends Resource {
  /** Makes one. `secret` is in this answer and in no other. */
  create(webhook: WebhookCreate, options?: CreateOptions): Promise<WebhookWithSecret> {
    return this.connection.callOnce('POST /v1/webhooks', { body: webhook }, options);
  }

  /** Newest first. `await` gives `{ webhooks, nextCursor }`: up to 1,000 where no limit is given. */
  list(query: Query<'GET /v1/webhooks'> = {}, options?: CallOptions): List<Answer<'GET /v1/webhooks'>, Webhook> {
    return new List(
      (cursor = query.cursor) => this.connection.call('GET /v1/webhooks', { query: { ...query, cursor } }, options),
      (page) => page.webhooks,
    );
  }

  get(id: string, options?: CallOptions): Promise<Webhook> {
    return this.connection.call('GET /v1/webhooks/{id}', { path: { id } }, options);
  }

  /** Changes what is given; the rest stays. */
  update(id: string, change: WebhookUpdate, options?: CallOptions): Promise<Webhook> {
    return this.connection.call('PATCH /v1/webhooks/{id}', { path: { id }, body: change }, options);
  }

  /** What waits is cancelled; the history stays. */
  async delete(id: string, options?: CallOptions): Promise<void> {
    await this.connection.call('DELETE /v1/webhooks/{id}', { path: { id } }, options);
  }

  /** One signed delivery, now, not tried again and not kept. Resolves when the receiver answered, whatever it answered. */
  test(id: string, body: Body<'POST /v1/webhooks/{id}/test'> = {}, options?: CallOptions): Promise<TestResult> {
    return this.connection.call('POST /v1/webhooks/{id}/test', { path: { id }, body }, options);
  }

  /** A new secret, in this answer only; the old one signs too until the grace period ends, 24 h unless given. */
  rotateSecret(
    id: string,
    body: Body<'POST /v1/webhooks/{id}/rotate-secret'> = {},
    options?: CallOptions,
  ): Promise<WebhookWithSecret> {
    return this.connection.call('POST /v1/webhooks/{id}/rotate-secret', { path: { id }, body }, options);
  }

  /** What was held goes on its way. */
  enable(id: string, options?: CallOptions): Promise<Webhook> {
    return this.connection.call('POST /v1/webhooks/{id}/enable', { path: { id } }, options);
  }

  /** Its deliveries are held, not dropped. */
  disable(id: string, options?: CallOptions): Promise<Webhook> {
    return this.connection.call('POST /v1/webhooks/{id}/disable', { path: { id } }, options);
  }

  /** Sends again what it did not get: dead letters and what is held, of a time range, or the statuses named. */
  replay(
    id: string,
    body: Body<'POST /v1/webhooks/{id}/replay'> = {},
    options?: CallOptions,
  ): Promise<Answer<'POST /v1/webhooks/{id}/replay'>> {
    return this.connection.call('POST /v1/webhooks/{id}/replay', { path: { id }, body }, options);
  }

  /** Its deliveries, newest first, by page number (`page`, `pageSize`) or by cursor; iteration goes by cursor. */
  deliveries(id: string, query: DeliveryQuery = {}, options?: CallOptions): List<DeliveryPage, WebhookDelivery> {
    const { page, pageSize, ...rest } = query;
    return new List(
      (cursor) => {
        // A page by number says where the next begins, but cannot be asked for together with a cursor.
        const next = { ...rest, cursor, limit: rest.limit ?? pageSize };
        const path = { id };
        const call = 'GET /v1/webhooks/{id}/deliveries';
        return this.connection.call(call, { path, query: cursor === undefined ? query : next }, options);
      },
      (found) => found.deliveries,
    );
  }

  /** The last 24 hours in numbers. */
  stats(id: string, options?: CallOptions): Promise<WebhookStats> {
    return this.connection.call('GET /v1/webhooks/{id}/stats', { path: { id } }, options);
  }

  /** Its ed25519 keys, newest first; none where it signs with a shared secret. Needs no API key. */
  publicKeys(id: string, options?: CallOptions): Promise<Answer<'GET /v1/webhooks/{id}/public-keys'>> {
    return this.connection.call('GET /v1/webhooks/{id}/public-keys', { path: { id } }, options);
  }

  /** Takes up to 500 over from another system, with their ids and secrets. A bad one stops no other. */
  import(body: Body<'POST /v1/webhooks/import'>, options?: CallOptions): Promise<Answer<'POST /v1/webhooks/import'>> {
    return this.connection.call('POST /v1/webhooks/import', { body }, options);
  }
}
