import type { Id } from './id.ts';

/** A signing secret of an endpoint, unsealed. */
export interface Secret {
  id: Id;
  /** The text the endpoint's owner holds, as `whsec_…`. */
  value: string;
  createdAt: number;
  /** Epoch ms at which it stops signing; null for the present one. */
  expiresAt: number | null;
}

/** Why an endpoint does not receive; null while it is active. */
export type DisabledReason = 'by_user' | 'gone' | 'failing';

/** A URL with its subscription, policy, wire format and secrets. `webhooks` in the public paths. */
export interface Endpoint {
  id: Id;
  tenantId: string;
  /** The id it had where it came from, shown instead of `wh_…` everywhere; null for most. Unique within the tenant. */
  ownId: string | null;
  /** Normalised href, at most 2,048 characters. */
  url: string;
  /** Event types and patterns (`*`, `order.*`) in the order given; at least one. */
  events: readonly string[];
  description: string | null;
  isActive: boolean;
  disabledReason: DisabledReason | null;
  /** Preset name or custom format: the one given at creation, else that of the tenant, else of the instance at that time. */
  wireFormat: string | object;
  /** Headers of the owner's own, sent with every delivery. */
  headers: Readonly<Record<string, string>> | null;
  /** Waits in ms between attempts; null = the instance's. */
  retryScheduleMs: readonly number[] | null;
  /** One deadline for the whole exchange, ms; null = the instance's. */
  timeoutMs: number | null;
  /** Exchanges under way at once; null = the instance's. */
  concurrency: number | null;
  metadata: Readonly<Record<string, string>> | null;
  /** Newest first; live ones only (an expired one is dropped on read). */
  secrets: readonly Secret[];
  createdAt: number;
  updatedAt: number;
}
