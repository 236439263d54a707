import { Connection, type CallOptions, type PosthornOptions } from './connection.ts';
import type { Answer, Body } from './resource.ts';
import { ApiKeys } from './resources/api-keys.ts';
import { DeadLetters } from './resources/dead-letters.ts';
import { Deliveries } from './resources/deliveries.ts';
import { Events } from './resources/events.ts';
import { EventTypes } from './resources/event-types.ts';
import { Members } from './resources/members.ts';
import { Plans } from './resources/plans.ts';
import { Sessions } from './resources/sessions.ts';
import { Tenants } from './resources/tenants.ts';
import { Webhooks } from './resources/webhooks.ts';

/**
 * A client of one Posthorn. Every call resolves with the answer as the API gives it, also with members that this version
 * does not know, or rejects with a {@link PosthornError}.
 *
 *     const posthorn = new Posthorn({ baseUrl: 'http://127.0.0.1:3001', apiKey: 'dev-api-key-local' });
 *     await posthorn.events.send({ type: 'order.paid', data: { orderId: 'o-1' } });
 */
export class Posthorn {
  readonly events: Events;
  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  readonly deadLetters: DeadLetters;
  readonly eventTypes: EventTypes;
  readonly tenants: Tenants;
  readonly plans: Plans;
  readonly members: Members;
  readonly apiKeys: ApiKeys;
  readonly sessions: Sessions;
  readonly #connection: Connection;

  /** Throws a TypeError where `baseUrl` or `apiKey` cannot be used. */
  constructor(options: PosthornOptions) {
    const connection = new Connection(options);
    this.#connection = connection;
    this.events = new Events(connection);
    this.webhooks = new Webhooks(connection);
    this.deliveries = new Deliveries(connection);
    this.deadLetters = new DeadLetters(connection);
    this.eventTypes = new EventTypes(connection);
    this.tenants = new Tenants(connection);
    this.plans = new Plans(connection);
    this.members = new Members(connection);
    this.apiKeys = new ApiKeys(connection);
    this.sessions = new Sessions(connection);
  }

  /** What the tenant's plan allows, and how much of it is used. */
  usage(options?: CallOptions): Promise<Answer<'GET /v1/usage'>> {
    return this.#connection.call('GET /v1/usage', {}, options);
  }

  /** Whose key this is, and what it may do. */
  whoami(options?: CallOptions): Promise<Answer<'GET /v1/whoami'>> {
    return this.#connection.call('GET /v1/whoami', {}, options);
  }

  /** A tenant of one's own with its first key, where the operator allows it. Needs no API key. */
  signup(body: Body<'POST /v1/signup'>, options?: CallOptions): Promise<Answer<'POST /v1/signup'>> {
    return this.#connection.call('POST /v1/signup', { body }, options);
  }

  /** Is the process alive? Needs no API key. */
  health(options?: CallOptions): Promise<Answer<'GET /healthz'>> {
    return this.#connection.call('GET /healthz', {}, options);
  }

  /** Can events be sent in? Rejects while they cannot. Needs no API key. */
  readiness(options?: CallOptions): Promise<Answer<'GET /readyz'>> {
    return this.#connection.call('GET /readyz', {}, options);
  }
}
