import type { Engine } from '../delivery/engine.ts';
import { known } from '../delivery/known.ts';
import { publicEndpointId } from '../delivery/message.ts';
import { notFound } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { matchesPattern } from '../model/event.ts';
import { attempt, type Result } from './result.ts';
import { ensureTenant, shownTenant, tenantOf, tenantsFor } from './tenancy.ts';

/** Somebody's URL and what is sent there. */
export interface Subscription {
  id: string;
  url: string;
  /** The one that signs now. */
  secret: string;
  /** Types and patterns (`order.*`); null = all. */
  eventTypes: readonly string[] | null;
  active: boolean;
  description: string | null;
  tenantId: string | null;
  createdAt: Date;
  metadata: Readonly<Record<string, string>>;
  /** Until when the secret before this one signs and verifies too; null when it does not. */
  previousSecretExpiresAt: Date | null;
}

export interface SubscriptionInput {
  /** Absolute, https (http where `allowHttp`), to a public address unless `allowPrivateUrls`. */
  url: string;
  /** Types and patterns; absent or null = all. */
  eventTypes?: readonly string[] | null;
  description?: string | null;
  /** Whose it is; events of this tenant alone reach it. Absent or null: of nobody in particular. */
  tenantId?: string | null;
  /** At most 32 names of 64 characters with values of 512. */
  metadata?: Readonly<Record<string, string>>;
  /** Signing secret of your own; default: one is made. */
  secret?: string;
  /** A preset's name or a format of its own; default that of `createPosthorn`. */
  wireFormat?: string | object;
}

export interface SubscriptionFilter {
  /** Those that get events of this type. */
  eventType?: string;
  /** Those of this tenant; null: those without; absent: all. */
  tenantId?: string | null;
  /** Default false. */
  activeOnly?: boolean;
  /** Default 100. */
  limit?: number;
  /** Default 0. */
  offset?: number;
}

export type SubscriptionPatch = Partial<Omit<SubscriptionInput, 'tenantId'>> & { active?: boolean };

/** The verbs on subscriptions: `posthorn.subscriptions`. */
export class Subscriptions {
  readonly #engine: Engine;
  readonly #graceMs: number;

  constructor(engine: Engine, graceMs: number) {
    this.#engine = engine;
    this.#graceMs = graceMs;
  }

  /** Err `invalid-url` where nothing may be sent there, `bad-request` for other fields. */
  create(input: SubscriptionInput): Promise<Result<Subscription>> {
    return attempt(async () => {
      const tenantId = tenantOf(input.tenantId);
      await ensureTenant(this.#engine, tenantId);
      const { eventTypes, description = null, metadata = null, secret = null, wireFormat = null } = input;
      const { endpoint } = await this.#engine.endpoints.create(tenantId, {
        url: input.url ?? '',
        events: eventTypes ?? ['*'],
        description,
        metadata,
        secret,
        wireFormat,
      });
      return toSubscription(endpoint);
    });
  }

  /** Err `subscription-not-found`. */
  get(id: string): Promise<Result<Subscription>> {
    return this.#with(id, (endpoint) => endpoint);
  }

  /** Newest first. */
  list(filter: SubscriptionFilter = {}): Promise<Result<Subscription[]>> {
    const { eventType, tenantId, activeOnly = false, limit = 100, offset = 0 } = filter;
    return attempt(() =>
      tenantsFor(this.#engine, tenantId)
        .flatMap((tenant) => this.#engine.endpoints.list(tenant))
        .filter(({ isActive }) => isActive || !activeOnly)
        .filter(({ events }) => eventType === undefined || events.some((pattern) => matchesPattern(pattern, eventType)))
        .sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
        .slice(offset, offset + limit)
        .map(toSubscription),
    );
  }

  /** What is not given stays; a new `secret` takes the place of the old one at once. */
  update(id: string, patch: SubscriptionPatch): Promise<Result<Subscription>> {
    const { eventTypes, active, metadata, ...rest } = patch;
    return this.#with(id, ({ tenantId }) =>
      this.#engine.endpoints.update(tenantId, id, {
        ...rest,
        ...(eventTypes === undefined ? {} : { events: eventTypes ?? ['*'] }),
        ...(active === undefined ? {} : { isActive: active }),
        ...(metadata === undefined ? {} : { metadata }),
      }),
    );
  }

  /** What waits is cancelled, the history stays. Err `subscription-not-found` for unknown ids. */
  async delete(id: string): Promise<Result<null>> {
    const deleted = await this.#with(id, async (endpoint) => {
      await this.#engine.endpoints.remove(endpoint.tenantId, id);
      return endpoint;
    });
    return deleted.ok ? { ok: true, value: null } : deleted;
  }

  /**
   * A new secret. Both sign, and verify, until `previousSecretExpiresAt`.
   * @param options `secret`: one of your own; `graceMs`: from 0 to 7 days, default that of `createPosthorn`
   */
  async rotateSecret(
    id: string,
    options: { secret?: string; graceMs?: number } = {},
  ): Promise<Result<{ secret: string; previousSecretExpiresAt: Date | null }>> {
    const rotated = await this.#with(
      id,
      async ({ tenantId }) => {
        const { secret = null, graceMs = this.#graceMs } = options;
        return (await this.#engine.endpoints.rotateSecret(tenantId, id, { secret, graceMs })).endpoint;
      },
      'rotation-failed',
    );
    if (!rotated.ok) return rotated;
    const { secret, previousSecretExpiresAt } = rotated.value;
    return { ok: true, value: { secret, previousSecretExpiresAt } };
  }

  /** What was held goes on its way. Idempotent. */
  activate(id: string): Promise<Result<Subscription>> {
    return this.#with(id, ({ tenantId }) => this.#engine.endpoints.enable(tenantId, id));
  }

  /** Deliveries are held from now on, retries too. Idempotent. */
  deactivate(id: string): Promise<Result<Subscription>> {
    return this.#with(id, ({ tenantId }) => this.#engine.endpoints.disable(tenantId, id));
  }

  #with(
    id: string,
    work: (endpoint: Endpoint) => Endpoint | Promise<Endpoint>,
    refused?: 'rotation-failed',
  ): Promise<Result<Subscription>> {
    return attempt(
      async () => {
        const endpoint = await known(this.#engine, () => this.#engine.endpoints.find(id));
        if (!endpoint) throw notFound('subscription', id);
        return toSubscription(await work(endpoint));
      },
      {
        NOT_FOUND: 'subscription-not-found',
        ...(refused ? { INVALID_STATE: refused, BAD_REQUEST: refused } : {}),
      },
    );
  }
}

function toSubscription(endpoint: Endpoint): Subscription {
  const previous = endpoint.secrets.flatMap(({ expiresAt }) => expiresAt ?? []);
  return {
    id: publicEndpointId(endpoint),
    url: endpoint.url,
    secret: endpoint.secrets[0]!.value,
    eventTypes: endpoint.events.length === 1 && endpoint.events[0] === '*' ? null : endpoint.events,
    active: endpoint.isActive,
    description: endpoint.description,
    tenantId: shownTenant(endpoint.tenantId),
    createdAt: new Date(endpoint.createdAt),
    metadata: endpoint.metadata ?? {},
    previousSecretExpiresAt: previous.length === 0 ? null : new Date(Math.max(...previous)),
  };
}
